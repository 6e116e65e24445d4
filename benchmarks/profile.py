"""Where the time of a simulation goes, and how far that is from what the machine can do: one thread, T = 32."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.report import Section, by_vectors, machine
from benchmarks.timed import Timed, networks
from snnconvert.graph import Graph, Node
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import make_neuron
from snnconvert.operators.activation import ReLU
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.window import Window
from snnconvert.simulate import Simulator
from snnconvert.simulate.blocks import Blocks

STEPS, ROUNDS = 32, 5


@contextmanager
def watched(spent: dict[str, float], silent: dict[str, float]) -> Iterator[None]:
    """Time each value of a network; layers whose input is spikes are run once more, without any spikes in it."""
    original = Blocks._evaluate

    def timed(self: Blocks, node: Any, window: tuple[int, int]) -> Any:
        if node.arriving is not None:
            layer = self._neurons(node.name)
            kept = [each.clone() for each in (*layer.state, layer.count)]
            inputs = [torch.zeros_like(self._spans[value].block) for value in node.inputs]
            started = time.perf_counter()
            layer.advance_by_events(node.arriving, inputs, window[1] - window[0])
            silent[node.name] += time.perf_counter() - started
            for each, before in zip((*layer.state, layer.count), kept, strict=True):
                each.copy_(before)
        started = time.perf_counter()
        found = original(self, node, window)
        spent[node.name] += time.perf_counter() - started
        return found

    Blocks._evaluate = timed  # type: ignore[method-assign]
    try:
        yield
    finally:
        Blocks._evaluate = original  # type: ignore[method-assign]


def best(function: Callable[[], object]) -> float:
    """Return the shortest of some times."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def additions_at_best() -> float:
    """Return the additions a second of a convolution all of whose inputs fire: 64 to 64 channels, 3 x 3."""
    weight = torch.full((64, 64, 3, 3), 2.0**-12)
    nodes = [Node("c", Convolution(weight, None, Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1)), 1), ("r",))]
    graph = Graph("dense", "x", (64, 16, 16), (Node("r", ReLU(), ("x",)), *nodes, Node("s", ReLU(), ("c",))), "s")
    network = spiking_network(NormalForm(graph, {}), make_neuron("if", {}))
    spent: dict[str, float] = defaultdict(float)
    silent: dict[str, float] = defaultdict(float)
    x = torch.ones(8, 64, 16, 16)
    found = []
    for _ in range(ROUNDS):
        spent.clear()
        silent.clear()
        with watched(spent, silent):
            (readout,) = Simulator(network).run(x, [STEPS])
        found.append(additions(network, readout.events, ("r",)) / (spent["s"] - silent["s"]))
    return max(found)


def additions(network: SpikingNetwork, events: Any, names: Any) -> float:
    """Return the synaptic operations of the events that some layers sent."""
    return sum(float((events[name].sum(0, dtype=torch.float64) * network.fan_out[name]).sum()) for name in names)


def run() -> Section:
    """Percentile 99.9 per channel, batches of 16; the shortest of some turns of each."""
    made = networks()
    torch.set_num_threads(1)
    block = torch.zeros(2**25)
    other = torch.empty_like(block)
    copied = 2 * 4 * block.numel() / best(lambda: other.copy_(block)) / 1e9
    peak = additions_at_best() / 1e9
    rows = [row for network in made for row in _profiled(network, peak, copied)]
    verdict = (
        f"One thread. This machine adds up weights of spikes at {peak:.1f} G/s where every input fires (64 to 64 "
        f"channels, 3 x 3), and copies {copied:.1f} GB/s of memory: the shares of peak are of these. Looking for "
        "spikes is what a layer takes without any: to read its input, to write its sums, and the steps of its neurons."
    )
    header = ["network, T = 32", "an image", "share", "rate", "of peak"]
    return Section(*by_vectors("profile", "Where the time goes"), header, rows, verdict, machine())


def _profiled(timed: Timed, peak: float, copied: float) -> list[list[str]]:
    """Return the rows of a network."""
    _, simulator = timed.converted(Schedule(STEPS))
    network, x = simulator.network, torch.from_numpy(timed.parts[0])
    whole = best(lambda: list(simulator.run(x, [STEPS])))
    spent: dict[str, float] = defaultdict(float)
    silent: dict[str, float] = defaultdict(float)
    for _ in range(ROUNDS):
        with watched(spent, silent):
            (readout,) = simulator.run(x, [STEPS])
    fused = sum(spent[name] for name in silent) / ROUNDS
    still = sum(silent.values()) / ROUNDS
    rest = (sum(spent.values()) - sum(spent[name] for name in silent)) / ROUNDS
    added = additions(network, readout.events, [node.name for node in network.emitters]) / 1e9
    touched = 4 * STEPS * len(x) * sum(_read_and_sent(network, name) for name in silent) / 1e9
    adding = fused - still
    parts: list[tuple[str, float, str, str]] = [
        ("adding up weights", adding, f"{added / adding:.1f} G/s", f"{100 * added / adding / peak:.0f} %"),
        (
            "looking for spikes, neurons",
            still,
            f"{touched / still:.1f} GB/s",
            f"{100 * touched / still / copied:.0f} %",
        ),
        ("first layer, pools and others", rest, "", ""),
        ("between them (Python, torch)", whole - fused - rest, "", ""),
    ]
    return [[f"{timed.name}: all", f"{1e3 * whole / len(x):.2f} ms", "100 %", "", ""]] + [
        [f"{timed.name}: {name}", f"{1e3 * taken / len(x):.2f} ms", f"{100 * taken / whole:.0f} %", rate, of_peak]
        for name, taken, rate, of_peak in parts
    ]


def _read_and_sent(network: SpikingNetwork, name: str) -> int:
    """Return the numbers that a layer reads of the layers before it, and sends, in a step."""
    waiting, numbers = [*network.graph.by_name[name].inputs], network.graph.shapes[name]
    found = _size(numbers)
    while waiting:
        value = waiting.pop()
        if value in network.neurons or value == network.graph.input:
            found += _size(network.graph.shapes[value])
        else:
            waiting += network.graph.by_name[value].inputs
    return found


def _size(shape: tuple[int, ...]) -> int:
    return math.prod(shape)
