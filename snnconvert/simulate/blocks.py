"""One batch on its way through a network, by blocks of time steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from snnconvert.calibrate.collect import channels_last
from snnconvert.graph import Graph
from snnconvert.network import SpikingNetwork
from snnconvert.simulate.buffers import Buffers
from snnconvert.simulate.evaluations import Evaluation
from snnconvert.simulate.layers import ALWAYS, Flow, Layer, NeuronLayer, flat, ordered
from snnconvert.simulate.pools import pool_layer


class Span(NamedTuple):
    """A value in the steps ``[first, last)``, as a block; outside of them it is at rest."""

    first: int
    last: int
    block: Tensor


@dataclass(frozen=True)
class Plan:
    """What is computed in each block, in order; ``rest`` is what values are in silence, under an onset delay."""

    network: SpikingNetwork
    graph: Graph
    nodes: Sequence[Evaluation]
    rest: Mapping[str, Tensor]
    device: torch.device
    fused: bool

    @cached_property
    def last_reader(self) -> dict[str, str]:
        """For every value, the last of the nodes that read it."""
        return {value: node.name for node in self.nodes for value in node.inputs}

    @cached_property
    def stateful(self) -> set[str]:
        """The nodes that keep a state."""
        return {node.name for node in self.network.stateful}


class Blocks:
    """A batch of ``samples`` after its first ``now`` steps: the state of its layers.

    ``constants`` are the values that do not change; ``events (N, bins, ...)`` what of the input arrives in each step,
    and ``arrived (N, ...)`` how many of its values were not zero. ``output`` is the network's in the last block, None
    where nothing arrived there.
    """

    def __init__(self, plan: Plan, constants: Mapping[str, Tensor], samples: int, events: Tensor | None = None) -> None:
        self.constants, self.samples = constants, samples
        self.arrived = torch.zeros(samples, *plan.graph.input_shape, device=plan.device)
        self._events = events
        self.layers: dict[str, Layer] = {}
        self.now = 0
        self.output: Span | None = None
        self._plan, self._network, self._schedule = plan, plan.network, plan.network.schedule
        self._spans: dict[str, Span] = {}
        self._buffers = Buffers()

    def advance(self, steps: int) -> None:
        """Take a block of steps."""
        plan = self._plan
        self._receive(steps)
        for node in plan.nodes:
            span = self._evaluate(node, (self.now, self.now + steps))
            if span is not None:
                self._spans[node.name] = span
            done = {value for value in node.inputs if plan.last_reader[value] == node.name} - {plan.graph.output}
            dropped = [self._spans.pop(value) for value in done if value in self._spans]
            if dropped:
                self._buffers.keep(each.block for each in self._spans.values())
        self.output = self._spans.pop(plan.graph.output, None)
        self._spans.clear()
        self.now += steps

    def _receive(self, steps: int) -> None:
        """Let what arrives of the input in a block of steps be a value in these."""
        if self._events is None or self.now >= self._events.shape[1]:
            return
        now = self._events[:, self.now : self.now + steps].transpose(0, 1)
        self.arrived += (now != 0).sum(0)
        self._spans[self._plan.graph.input] = Span(self.now, self.now + len(now), channels_last(now.flatten(0, 1)))

    def keep(self, samples: Tensor) -> None:
        """Go on with these samples only."""
        self.arrived = self.arrived[samples]
        self._events = None if self._events is None else self._events[samples]
        self.constants = {name: ordered(value[samples]) for name, value in self.constants.items()}
        self.samples = len(samples)
        for layer in self.layers.values():
            layer.keep(samples)
        self._buffers = Buffers()  # blocks have other sizes now

    def _evaluate(self, node: Evaluation, window: tuple[int, int]) -> Span | None:
        if node.name in self._network.neurons:
            return self._fire(node, window)
        present = [self._spans[value] for value in node.inputs if value in self._spans]
        if not present:
            return None
        first, last = min(span.first for span in present), max(span.last for span in present)
        inputs = self._inputs(node, first, last)
        if node.name not in self._plan.stateful:
            return Span(first, last, node.evaluate(inputs))
        if node.name not in self.layers:
            operator = self._plan.graph.by_name[node.name].operator
            self.layers[node.name] = pool_layer(self._network, node.name, operator, inputs[0], self.samples)
        return Span(first, last, self.layers[node.name].advance(inputs[0], last - first, True, first))

    def _inputs(self, node: Evaluation, first: int, last: int) -> list[Tensor]:
        """Return what a node reads in the steps ``[first, last)``."""
        return [
            self.constants[value].repeat(last - first, *([1] * (self.constants[value].ndim - 1)))
            if value in self.constants
            else self._widened(value, first, last)
            for value in node.inputs
        ]

    def _fire(self, node: Evaluation, window: tuple[int, int]) -> Span | None:
        """Let a layer of neurons take the steps of a block in which it may receive or fire."""
        depth = self._network.depths[node.name]
        first, last = window
        stop = self._schedule.stop(depth)
        last = last if stop is None else min(last, stop)
        varying = any(value not in self.constants for value in node.inputs)
        if self._plan.rest and varying:
            arrives = [self._spans[value].first for value in node.inputs if value in self._spans]
            wakes = min(self._schedule.bias_start(depth), *arrives, last)
            first = first if node.name in self.layers else max(first, wakes)
        if first >= last:
            return None
        start = self._schedule.start(depth)
        if node.arriving is not None:
            spikes = self._neurons(node.name).advance_by_events(
                node.arriving, self._inputs(node, first, last), last - first, first - start, self._flow(node, first)
            )
        elif not varying:
            spikes = self._neurons(node.name).advance(
                self.constants[node.inputs[0]], last - first, False, first - start
            )
        else:
            block = self._current(node.inputs[0], first, last, depth)
            spikes = self._neurons(node.name).advance(block, last - first, True, first - start)
        # at rest: nobody needs to compute it
        silent = min(max(start - first, 0), last - first) if self._plan.rest else 0
        return None if first + silent == last else Span(first + silent, last, spikes[silent * self.samples :])

    def _flow(self, node: Evaluation, first: int) -> Flow:
        """Return when biases flow into a layer, in a block from step ``first`` on."""
        if not self._plan.rest:
            return ALWAYS
        (current,) = self._plan.graph.by_name[node.name].inputs
        begins = self._schedule.bias_start(self._network.depths[node.name]) - first
        rest = flat(ordered(self._plan.rest[current]), 1)[0]
        return Flow(rest, begins, begins + self._schedule.steps)

    def _neurons(self, name: str) -> NeuronLayer:
        """Return a layer of neurons, before its first step or as the last block left it."""
        layer = self.layers.get(name)
        if not isinstance(layer, NeuronLayer):
            shape = (self.samples, *self._plan.graph.shapes[name])
            like = channels_last(torch.zeros(shape, device=self._plan.device))
            biases, potentials = self._network.biases.get(name), self._network.potentials.get(name)
            neuron = self._network.neurons[name]
            layer = NeuronLayer(neuron, like, self._plan.fused, biases, potentials, self._buffers)
            self.layers[name] = layer
        return layer

    def _current(self, value: str, first: int, last: int, depth: int) -> Tensor:
        """Return a current that changes with time in the steps ``[first, last)``, its biases where they flow only."""
        block = self._widened(value, first, last)
        starts = self._schedule.bias_start(depth)
        outside = [step for step in range(first, last) if not starts <= step < starts + self._schedule.steps]
        if not self._plan.rest or not outside or block.dtype == torch.bool:  # spikes at rest are none
            return block
        block = block.clone(memory_format=torch.preserve_format)  # others may read the value, too
        by_step = block.view(last - first, self.samples, *block.shape[1:])
        for step in outside:
            by_step[step - first] -= self._plan.rest[value]
        return block

    def _widened(self, value: str, first: int, last: int) -> Tensor:
        """Return a value in the steps ``[first, last)``, at rest where it has no span."""
        span = self._spans.get(value)
        if span is not None and (span.first, span.last) == (first, last):
            return span.block
        rest = self._plan.rest[value]
        rest = rest.expand(self.samples, *rest.shape[1:])
        if span is not None:
            rest = rest.to(span.block.dtype)  # spikes at rest are none
        parts = []
        if span is not None:
            inner = span.block.view(span.last - span.first, self.samples, *span.block.shape[1:])
        for step in range(first, last):
            inside = span is not None and span.first <= step < span.last
            parts.append(inner[step - span.first] if span is not None and inside else rest)
        return channels_last(torch.cat(parts))
