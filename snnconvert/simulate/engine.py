"""Runs a spiking network layer by layer over blocks of time steps; the state is carried from block to block.

Memory does not grow with T. What does not change over time is computed once a batch; under an onset delay a layer is
computed only in the steps in which it has input, and under one of T steps once (see sequential.py). The length of a
block changes no result beyond the rounding of the convolutions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from snnconvert.calibrate.collect import channels_last
from snnconvert.errors import UsageError
from snnconvert.graph import Node
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.simulate.layers import DecodedPoolLayer, GateLayer, Layer, NeuronLayer, PoolLayer
from snnconvert.simulate.sequential import Counts, Rates, Sequential, is_sequential

BLOCK = 4  # time steps that go through the network together


@dataclass(frozen=True)
class Readout:
    """The network after ``t`` steps of the readout.

    ``output`` is the sum of its outputs ``(N, ...)``, or the last one where rates are ``decoded``; for every emitter
    ``counts`` has the sums of spikes and ``events`` the events so far; ``rates`` those that its readers were told.
    """

    t: int
    output: Tensor
    counts: Mapping[str, Tensor]
    events: Mapping[str, Tensor] = field(default_factory=dict)
    rates: Mapping[str, Tensor] = field(default_factory=dict)
    decoded: bool = False

    @property
    def estimate(self) -> Tensor:
        """What the spikes so far say of the ANN's output."""
        return self.output if self.decoded else self.output / self.t


class Span(NamedTuple):
    """A value in the steps ``[first, last)``, as a block; outside of them it is at rest."""

    first: int
    last: int
    block: Tensor


class Simulator:
    """A spiking network on a device, ready to run batches; ``fused=False`` runs the plain torch steps instead.

    Where layers run one after the other, the network is evaluated once on counts, and not on the spikes of each step;
    ``counting=False`` takes the steps there, too.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        device: torch.device | str = "cpu",
        block: int = BLOCK,
        fused: bool = True,
        counting: bool = True,
    ) -> None:
        self.device = torch.device(device)
        self.block = block
        self.fused = fused
        self.network = network
        self.schedule = network.schedule
        self.graph = network.graph.mapped(lambda tensor: channels_last(tensor.to(self.device)))
        constant = {name for name, kind in network.traffic.items() if kind is Traffic.CONSTANT}
        self._constant = tuple(node for node in self.graph.nodes if node.name in constant)
        self._varying = tuple(node for node in self.graph.nodes if node.name not in constant)
        self._stateful = {node.name for node in network.stateful}
        self._emitters = [node.name for node in network.emitters]
        self._last_reader = {value: node.name for node in self._varying for value in node.inputs}
        delayed = network.schedule.onset_delay > 0
        self._rest = (
            {name: channels_last(rest.to(self.device)) for name, rest in network.resting.items()} if delayed else {}
        )
        sequential = counting and is_sequential(network)
        self._sequential = Sequential(network, self._varying, self._rest, fused) if sequential else None

    @torch.no_grad()
    def run(self, x: Tensor, steps: Sequence[int]) -> Iterator[Readout]:
        """Present a batch ``(N, ...)`` as a constant current and yield a readout at each of the steps (ascending).

        The tensors of a readout are the simulation's own: they change when the next one is asked for.

        Raises:
            UsageError: under an onset delay, more steps than the network was made for (E003).
        """
        if self.schedule.onset_delay and max(steps) > self.schedule.steps:
            raise UsageError(
                "E003",
                f"--steps: {max(steps)} steps, but with an onset delay the network fires for {self.schedule.steps}",
                "convert it with these --steps",
            )
        constants = {self.graph.input: channels_last(x.to(self.device))}
        for node in self._constant:
            constants[node.name] = node.operator.evaluate([constants[value] for value in node.inputs])
        if self._sequential is not None:
            counts = Counts(self._sequential, constants)
            for stop, total in counts.run(steps):
                spikes = dict(counts.spikes)
                yield Readout(stop, total, spikes, dict(counts.events), Rates(spikes, stop))
            return
        layers: dict[str, Layer] = {}
        total = torch.zeros((), device=self.device)
        now, latency = 0, self.network.latency
        for stop in steps:
            while now < stop + latency:
                length = min(self.block, stop + latency - now)
                if now < self.schedule.readout_from:  # a block ends where the readout begins
                    length = min(length, self.schedule.readout_from - now)
                total = self._read(total, self._advance(constants, layers, now, length, x.shape[0]), now, x.shape[0])
                now += length
            yield Readout(
                stop,
                total + stop * self._rest[self.graph.output] if self._rest else total,
                {name: layers[name].count for name in self._emitters},
                {name: layers[name].events for name in self._emitters},
                {name: layers[name].rate(stop + self.schedule.readout_from) for name in self._emitters},
                self.network.decodes,
            )

    def _read(self, total: Tensor, output: Span | None, now: int, samples: int) -> Tensor:
        """Add the outputs of a block of steps, or let decoded ones take their place."""
        if output is None or now < self.schedule.readout_from:
            return total
        by_step = output.block.view(output.last - output.first, samples, *output.block.shape[1:])
        if self.network.decodes:
            return by_step[-1]
        if self._rest:
            by_step = by_step - self._rest[self.graph.output]  # the biases of t steps are added where it is asked for
        return total + by_step.sum(0)

    def _advance(
        self, constants: Mapping[str, Tensor], layers: dict[str, Layer], now: int, steps: int, samples: int
    ) -> Span | None:
        """Take a block of steps and return the outputs; None where nothing arrives there."""
        spans: dict[str, Span] = {}
        for node in self._varying:
            span = self._evaluate(node, constants, spans, layers, (now, now + steps), samples)
            if span is not None:
                spans[node.name] = span
            for value in set(node.inputs):
                if self._last_reader[value] == node.name and value != self.graph.output:
                    spans.pop(value, None)
        return spans.get(self.graph.output)

    def _evaluate(
        self,
        node: Node,
        constants: Mapping[str, Tensor],
        spans: Mapping[str, Span],
        layers: dict[str, Layer],
        window: tuple[int, int],
        samples: int,
    ) -> Span | None:
        if node.name in self.network.neurons:
            return self._fire(node, constants, spans, layers, window, samples)
        present = [spans[value] for value in node.inputs if value in spans]
        if not present:
            return None
        first, last = min(span.first for span in present), max(span.last for span in present)
        inputs = [
            constants[value].repeat(last - first, *([1] * (constants[value].ndim - 1)))
            if value in constants
            else self._widened(value, spans.get(value), first, last, samples)
            for value in node.inputs
        ]
        if node.name not in self._stateful:
            return Span(first, last, node.operator.evaluate(inputs))
        if node.name not in layers:
            layers[node.name] = self._pool(node, inputs[0][:samples])
        return Span(first, last, layers[node.name].advance(inputs[0], last - first, True, first))

    def _fire(
        self,
        node: Node,
        constants: Mapping[str, Tensor],
        spans: Mapping[str, Span],
        layers: dict[str, Layer],
        window: tuple[int, int],
        samples: int,
    ) -> Span | None:
        """Let a layer of neurons take the steps of a block in which it may receive or fire."""
        (value,) = node.inputs
        depth = self.network.depths[node.name]
        first, last = window
        stop = self.schedule.stop(depth)
        last = last if stop is None else min(last, stop)
        varying = value not in constants
        if self._rest and varying:
            span = spans.get(value)
            wakes = min(self.schedule.bias_start(depth), last if span is None else span.first)
            first = first if node.name in layers else max(first, wakes)
        if first >= last:
            return None
        if not varying:
            block = constants[value]
        elif self._rest:
            block = self._current(value, spans.get(value), first, last, depth, samples)
        else:
            block = spans[value].block
        if node.name not in layers:
            layers[node.name] = NeuronLayer(
                self.network.neurons[node.name],
                block[:samples],
                self.fused,
                self.network.biases.get(node.name),
                self.network.potentials.get(node.name),
            )
        start = self.schedule.start(depth)
        spikes = layers[node.name].advance(block, last - first, varying, first - start)
        silent = min(max(start - first, 0), last - first) if self._rest else 0  # at rest: nobody needs to compute it
        return None if first + silent == last else Span(first + silent, last, spikes[silent * samples :])

    def _current(self, value: str, span: Span | None, first: int, last: int, depth: int, samples: int) -> Tensor:
        """Return a current that changes with time in the steps ``[first, last)``, its biases where they flow only."""
        block = self._widened(value, span, first, last, samples)
        starts = self.schedule.bias_start(depth)
        by_step = block.view(last - first, samples, *block.shape[1:])
        for step in range(first, last):
            if not starts <= step < starts + self.schedule.steps:
                by_step[step - first] -= self._rest[value]
        return block

    def _widened(self, value: str, span: Span | None, first: int, last: int, samples: int) -> Tensor:
        """Return a value in the steps ``[first, last)``, at rest where it has no span."""
        if span is not None and (span.first, span.last) == (first, last):
            return span.block
        rest = self._rest[value].expand(samples, *self._rest[value].shape[1:])
        parts = []
        if span is not None:
            inner = span.block.view(span.last - span.first, samples, *span.block.shape[1:])
        for step in range(first, last):
            inside = span is not None and span.first <= step < span.last
            parts.append(inner[step - span.first] if span is not None and inside else rest)
        return channels_last(torch.cat(parts))

    def _pool(self, node: Node, like: Tensor) -> Layer:
        if self.network.decodes:
            return DecodedPoolLayer(node.operator, like)
        return (GateLayer if self.network.pools[node.name] == "gate" else PoolLayer)(node.operator, like)
