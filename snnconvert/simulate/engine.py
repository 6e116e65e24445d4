"""Runs a spiking network layer by layer over blocks of time steps; the state is carried from block to block.

Memory does not grow with T. What does not change over time is computed once a batch, and what is linear behind the last
spikes only when it is read; under an onset delay a layer is computed only in the steps in which it has input, and under
one of T steps once (see sequential.py). On a CPU spikes are weighted event by event (see evaluations.py): a result
has the same bits, whatever block, batch or thread it is computed in.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.calibrate.collect import channels_last
from snnconvert.graph import Node
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.neurons.integrate_and_fire import is_plain
from snnconvert.simulate.blocks import Blocks, Plan
from snnconvert.simulate.evaluations import Evaluation, event_evaluations, plain_evaluations
from snnconvert.simulate.readout import LinearReadout, SteppedReadout, ahead_of_neurons, linear_tail
from snnconvert.simulate.sequential import Counts, SequentialPlan, is_sequential
from snnconvert.simulate.stopping import check_steps, settled

BLOCK = 8  # time steps that go through the network together, at most
ROOM = 2**25  # and bytes of the largest value in a block: its spikes, or its currents where these are written down
LEAST = 4  # samples that a thread of its own is worth


@dataclass(frozen=True)
class Readout:
    """The network after ``t`` steps of the readout.

    ``output`` is the sum of its outputs ``(N, ...)``, or the last one where rates are ``decoded``; for every emitter
    ``counts`` has the sums of spikes and ``events`` the events so far, also of an input that consists of events;
    ``rates`` those that its readers were told. All are of the ``samples`` of the batch, by number, that ran so far; the
    ``settled`` ones of these leave it.
    """

    t: int
    output: Tensor
    counts: Mapping[str, Tensor]
    events: Mapping[str, Tensor] = field(default_factory=dict)
    rates: Mapping[str, Tensor] = field(default_factory=dict)
    decoded: bool = False
    samples: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    settled: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def __repr__(self) -> str:
        return f"Readout(t={self.t}, samples={len(self.output)}, layers={len(self.counts)})"

    @property
    def estimate(self) -> Tensor:
        """What the spikes so far say of the ANN's output."""
        return self.output if self.decoded else self.output / self.t

    @property
    def total(self) -> Tensor:
        """The sum over the steps of what they say."""
        return self.output * self.t if self.decoded else self.output


class OnDemand(Mapping[str, Tensor]):
    """Tensors by name, each made when it is asked for: most are not."""

    def __init__(self, names: Iterable[str], make: Callable[[str], Tensor]) -> None:
        self._names, self._make = tuple(names), make

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _rates(counts: Mapping[str, Tensor], network: SpikingNetwork, now: int) -> OnDemand:
    """Return spikes a step, ``now`` steps after the first one."""

    def rate(name: str) -> Tensor:
        return counts[name] / max(network.schedule.fired(network.depths[name], now), 1)

    return OnDemand(counts, rate)


def _joined(parts: Sequence[Readout], starts: Sequence[int]) -> Readout:
    """Return the readout of a batch from those of its parts, which begin at these samples."""

    def together(of: Callable[[Readout], Mapping[str, Tensor]]) -> OnDemand:
        return OnDemand(of(parts[0]), lambda name: torch.cat([of(part)[name] for part in parts]))

    return Readout(
        parts[0].t,
        torch.cat([part.output for part in parts]),
        together(lambda part: part.counts),
        together(lambda part: part.events),
        together(lambda part: part.rates),
        parts[0].decoded,
        np.concatenate([start + part.samples for start, part in zip(starts, parts, strict=True)]),
        np.concatenate([part.settled for part in parts]),
    )


class Simulator:
    """A spiking network on a device, ready to run batches; ``fused=False`` runs the plain torch steps instead.

    Where layers run one after the other, the network is evaluated once on counts, and not on the spikes of each step;
    ``counting=False`` takes the steps there, too. ``block`` steps go through the network together, by default as many
    as caches like; they change no result.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        device: torch.device | str = "cpu",
        block: int | None = None,
        fused: bool = True,
        counting: bool = True,
    ) -> None:
        self.device = torch.device(device)
        self.block = block
        self.fused = fused
        self.network = network
        self.schedule = network.schedule
        self.graph = network.graph.mapped(lambda tensor: channels_last(tensor.to(self.device)))
        self._emitters = [node.name for node in network.emitters]
        self._largest = max(math.prod(shape) for shape in self.graph.shapes.values())
        self._largest *= 1 if self._sends_bytes() else 4
        varying = [node for node in self.graph.nodes if network.traffic[node.name] is not Traffic.CONSTANT]
        constant = [node for node in self.graph.nodes if network.traffic[node.name] is Traffic.CONSTANT]
        tail, needed = linear_tail(network), ahead_of_neurons(network)
        ahead = varying if tail is None else [node for node in varying if node.name in needed]
        self._constant = self._evaluations(constant)
        self._tail = None if tail is None else self._evaluations([node for node in varying if node.name in tail], True)
        rest = network.resting if network.schedule.onset_delay else {}
        rest = {name: channels_last(value.to(self.device)) for name, value in rest.items()}
        self._plan = Plan(network, self.graph, self._evaluations(ahead), rest, self.device, fused)
        sequential = counting and is_sequential(network)
        self._sequential = SequentialPlan(network, varying, rest, fused) if sequential else None

    def _evaluations(self, nodes: Sequence[Node], summed: bool = False) -> list[Evaluation]:
        by_events = self.fused and self.device.type == "cpu"
        return event_evaluations(self.network, self.graph, nodes, summed) if by_events else plain_evaluations(nodes)

    def _sends_bytes(self) -> bool:
        """Tell whether all that is written down of a step are spikes of fused neurons."""
        fused = self.fused and self.device.type == "cpu"
        return fused and all(is_plain(neuron) for neuron in self.network.neurons.values())

    def run(self, x: Tensor, steps: Sequence[int], stop_lead: float | None = None) -> Iterator[Readout]:
        """Present a batch ``(N, ...)`` as a constant current and yield a readout at each of the steps (ascending).

        A network that takes events is given ``(N, T, ...)``, what arrives in each of its T steps, times T.

        The tensors of a readout are the simulation's own: they change when the next one is asked for. With a
        ``stop_lead``, samples leave at the readout at which the best class leads the second by so much in the sum of
        outputs ``(N, classes)``, and there are no more readouts when none is left. Where layers run one after the
        other, all steps but the last layer's are over before the first readout, and no sample leaves.

        Raises:
            UsageError: under an onset delay, or of events, more steps than the network was made for (E003).
        """
        check_steps(max(steps), self.schedule.steps, self.schedule.onset_delay, self.network.encoding)
        parts = x.tensor_split(self._threads(len(x)))
        if len(parts) == 1:
            yield from self._run(x, steps, stop_lead)
            return
        starts = np.cumsum([0, *(len(part) for part in parts)])
        threads = torch.get_num_threads()
        try:  # a thread of each part's own is enough for torch's operators: more would fight for the processors
            with ThreadPoolExecutor(len(parts), "snnconvert-simulate", lambda: torch.set_num_threads(1)) as pool:
                runs = [self._run(part, steps, stop_lead) for part in parts]
                for _ in steps:
                    found = zip(pool.map(lambda run: next(run, None), runs), starts, strict=False)
                    running = [(part, start) for part, start in found if part is not None]
                    if not running:
                        return
                    yield _joined(*zip(*running, strict=True))
        finally:
            torch.set_num_threads(threads)

    def _threads(self, samples: int) -> int:
        """Return how many threads each run a part of a batch; a result does not depend on them."""
        if self._sequential is not None or not self.fused or self.device.type != "cpu":
            return 1  # torch's own threads
        return max(1, min(torch.get_num_threads(), samples // LEAST))

    @torch.no_grad()
    def _run(self, x: Tensor, steps: Sequence[int], stop_lead: float | None) -> Iterator[Readout]:
        """Run samples in this thread."""
        constants: dict[str, Tensor] = {}
        if self.network.bins is None:
            constants[self.graph.input] = channels_last(x.to(self.device))
        for node in self._constant:
            constants[node.name] = node.evaluate([constants[value] for value in node.inputs])
        if self._sequential is not None:
            summed, everyone = Counts(self._sequential, constants), np.arange(len(x))
            for stop, total in summed.run(steps):
                spikes, nobody = dict(summed.spikes), settled(everyone, None)
                told = _rates(spikes, self.network, stop + self.network.latency)
                yield Readout(stop, total, spikes, dict(summed.events), told, samples=everyone, settled=nobody)
            return
        blocks = Blocks(self._plan, constants, x.shape[0], None if self.network.bins is None else x.to(self.device))
        output: LinearReadout | SteppedReadout = SteppedReadout(self._plan, blocks)
        if self._tail is not None:
            output = LinearReadout(self._tail, self.graph.output, blocks)
        begins, latency = self.schedule.readout_from, self.network.latency
        block = self.block or max(1, min(BLOCK, ROOM // (len(x) * self._largest)))
        running = np.arange(len(x))
        for stop in steps:
            while blocks.now < stop + latency:
                length = min(block, stop + latency - blocks.now)
                if blocks.now < begins:  # a block ends where the readout begins
                    length = min(length, begins - blocks.now)
                blocks.advance(length)
                if blocks.now > begins:
                    output.add()
                elif blocks.now == begins:
                    output.begin()
            layers, names, decodes = blocks.layers, self._emitters, self.network.decodes
            counts = {name: layers[name].count for name in names}
            events = {name: layers[name].events for name in names}
            events |= {} if self.network.bins is None else {self.graph.input: blocks.arrived}
            rates: Mapping[str, Tensor] = _rates(counts, self.network, blocks.now)
            if decodes:
                rates = {name: layers[name].rate(stop) for name in names}
            readout = Readout(stop, output.read(stop), counts, events, rates, decodes, running)
            done = settled(readout.total.cpu().numpy(), stop_lead)
            yield dataclasses.replace(readout, settled=done)
            if done.all():
                return
            if done.any():
                left = torch.from_numpy(np.flatnonzero(~done)).to(self.device)
                running = running[~done]
                blocks.keep(left)
                output.keep(left)
