"""What T steps cost in other simulators: the same networks and images, turn by turn, in one process.

All of them run on the processor, in torch and float32, on the same threads. A peer that is not installed is left out.
"""

import contextlib
import importlib
import io
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.memory import extra_memory
from benchmarks.modules import as_module
from benchmarks.report import Section, Skipped, by_vectors, machine
from benchmarks.timed import BATCH, THREADS, Timed, median, networks
from snnconvert.graph import Graph
from snnconvert.network import Schedule, Weights

STEPS = 32
ANN_RUNS = 9  # of ONNX Runtime before each turn, since one is short
LEAST_TURNS, BUDGET = 3, 90  # turns of a network, and the seconds after which no more than these are begun
OURS = 2  # contenders that are no peers
TOLERANCE = 1e-4  # between the module that peers get and ONNX Runtime
Simulate = Callable[[Tensor], Tensor]  # a batch of images to the sum of the outputs of all steps


@dataclass(frozen=True)
class Contender:
    """One way to simulate one network, and what was measured of it: a number for each turn."""

    name: str
    simulate: Simulate
    times: list[float] = field(default_factory=list)  # s a batch
    passes: list[float] = field(default_factory=list)  # of the ANN, a step
    errors: list[float] = field(default_factory=list)  # of the outputs, relative to the ANN's


def snnconvert(network: Timed) -> Iterator[Contender]:
    """Yield the default schedule and neuron, with weights in float32 and in 8 bits."""

    def contender(name: str, weights: Weights) -> Contender:
        _, simulator = network.converted(Schedule(STEPS), weights)

        def simulate(x: Tensor) -> Tensor:
            *_, last = simulator.run(x, [STEPS])
            return last.output

        return Contender(f"snnconvert, {name}", simulate)

    yield contender("synchronous", "float32")
    yield contender("synchronous, 8-bit weights", "int8")


def spikingjelly(network: Timed) -> Iterator[Contender]:
    """Yield its own conversion (percentile 99.9 per channel, IFNode), step by step and with all steps at once.

    And its neurons on the weights of our normal form, which spares them two scalings around every layer.
    """
    from spikingjelly.activation_based import ann2snn, functional, neuron

    def contender(name: str, snn: nn.Module, mode: str) -> Contender:
        def simulate(x: Tensor) -> Tensor:
            functional.set_step_mode(snn, mode)
            functional.reset_net(snn)
            if mode == "m":
                return snn(x.expand(STEPS, *x.shape)).sum(0)
            return sum(snn(x) for _ in range(STEPS))

        return Contender(f"SpikingJelly, {name}", simulate)

    samples = [torch.from_numpy(x) for x in network.parts]
    recipe = ann2snn.RateCodingRecipe(samples, mode="99.9%", channel_wise=True)
    with contextlib.redirect_stderr(io.StringIO()):  # a bar
        converted = ann2snn.Converter(recipe).convert(checked_module(network, network.folded))
    yield contender("converted, single-step", converted, "s")
    yield contender("converted, multi-step", converted, "m")
    plain = checked_module(network, network.converted(Schedule(STEPS))[0].graph)
    for name, layer in plain.named_children():
        if isinstance(layer, nn.ReLU):
            setattr(plain, name, neuron.IFNode(v_reset=None))
    yield contender("IFNode on our weights, single-step", plain, "s")


def sinabs(network: Timed) -> Iterator[Contender]:
    """Yield its conversion of our normal form, as it has one threshold for all layers and scales no residual network.

    The floor under the potential is left out: it would cost time and accuracy.
    """
    from sinabs.activation import MultiSpike, SingleSpike
    from sinabs.from_torch import from_model

    ann = checked_module(network, network.converted(Schedule(STEPS))[0].graph)

    def contender(name: str, spikes: type, length: int) -> Contender:
        snn = from_model(ann, num_timesteps=length, spike_fn=spikes, min_v_mem=None)

        def simulate(x: Tensor) -> Tensor:
            snn.reset_states()
            block = x.repeat_interleave(length, 0)  # all steps of an image, then the next image
            outputs = (snn(block) for _ in range(STEPS // length))
            return sum(y.unflatten(0, (len(x), length)).sum(1) for y in outputs)

        return Contender(f"sinabs, {name}", simulate)

    yield contender("multi-spike, all steps at once", MultiSpike, STEPS)
    yield contender("multi-spike, step by step", MultiSpike, 1)
    yield contender("single-spike, all steps at once", SingleSpike, STEPS)
    yield contender("single-spike, step by step", SingleSpike, 1)


def checked_module(network: Timed, graph: Graph) -> nn.Module:
    """Return a graph as a torch module, after a look at what it computes.

    Raises:
        ValueError: it is not the network that ONNX Runtime runs.
    """
    module = as_module(graph)
    x = network.parts[0]
    error = float(np.abs(module(torch.from_numpy(x)).numpy() - network.ann(x)).max())
    if not error <= TOLERANCE:
        raise ValueError(f"{network.name}: the torch module is off by {error}, at most {TOLERANCE} expected")
    return module


PEERS = {  # by package: what must be importable, and what is made of it
    "spikingjelly": ("spikingjelly.activation_based.ann2snn", spikingjelly),
    "sinabs": ("sinabs.from_torch", sinabs),
}


@torch.no_grad()
def run() -> Section:
    """T = 32; every batch of images is a turn, in which each simulator has its go behind ONNX Runtime."""
    found = installed()
    if not found:
        raise Skipped("no peer is installed; benchmarks/README.md tells how")
    rows, verdict = [], ""
    for network in networks():
        contenders = [each for make in (snnconvert, *(PEERS[name][1] for name in found)) for each in make(network)]
        peaks = [extra_memory(partial(each.simulate, torch.from_numpy(network.parts[0]))) for each in contenders]
        ann = measure(network, contenders)
        slower = [statistics.median(np.divide(each.times, contenders[0].times)) for each in contenders]
        rows.append([f"{network.name}: the ANN in ONNX Runtime", f"{1e3 * ann / BATCH:.2f} ms", "1", "", "", ""])
        rows += [
            [
                f"{network.name}: {each.name}",
                f"{1e3 * statistics.median(each.times) / BATCH:.1f} ms",
                f"{statistics.median(each.passes):.2f}",
                f"{factor:.2f}",
                f"{100 * statistics.mean(each.errors):.0f} %",
                "" if peak is None else f"{peak / 2**20:.0f} MiB",
            ]
            for each, factor, peak in zip(contenders, slower, peaks, strict=True)
        ]
        factor, name = min(zip(slower[OURS:], (each.name for each in contenders[OURS:]), strict=True))
        verdict += (
            f"{network.name}: the fastest peer is {name}; snnconvert is **{factor:.2f}** times as fast, with 8-bit "
        )
        verdict += f"weights **{factor / slower[1]:.2f}** times (medians of {len(contenders[0].times)} turns). "
    missing = [name for name in PEERS if name not in found]
    verdict += f"Not installed: {', '.join(missing)}. " if missing else ""
    verdict += (
        f"T = {STEPS}, a batch of {BATCH} images a turn, {THREADS} threads. "
        "Error: mean distance of the outputs to the ANN's, relative to their mean size; potentials start at half a "
        "threshold in snnconvert and at 0 in the peers. Memory: what a batch takes beyond what the process has before."
    )
    header = ["network and simulator", "an image", "passes of the ANN a step", "x snnconvert", "error", "memory"]
    return Section(*by_vectors("peers", "Cost of simulating, in peers"), header, rows, verdict, machine(*found))


def installed() -> list[str]:
    """Return the peers that can be imported; say a line of each that cannot."""
    found = []
    for name, (needed, _) in PEERS.items():
        try:
            importlib.import_module(needed)
        except ImportError as problem:
            print(f"peers: {name} is left out: {problem}", flush=True)
        else:
            found.append(name)
    return found


def measure(network: Timed, contenders: list[Contender]) -> float:
    """Fill in what each contender takes in each turn; return the seconds that the ANN takes for a batch."""
    ann: list[float] = []
    begun = time.perf_counter()
    for turn, x in enumerate(network.parts):
        if turn >= LEAST_TURNS and time.perf_counter() - begun > BUDGET:  # the machine is busy
            break
        expected, images = torch.from_numpy(network.ann(x)), torch.from_numpy(x)
        for index in range(len(contenders)):
            each = contenders[(turn + index) % len(contenders)]  # nobody is always behind the same one
            around: list[float] = []
            for _ in range(ANN_RUNS):
                base = median(lambda x=x: network.ann(x), around)
            ann.append(base)
            started = time.perf_counter()
            output = each.simulate(images)
            each.times.append(time.perf_counter() - started)
            each.passes.append(each.times[-1] / (STEPS * base))
            each.errors.append(float((output / STEPS - expected).abs().mean() / expected.abs().mean()))
    return statistics.median(ann)
