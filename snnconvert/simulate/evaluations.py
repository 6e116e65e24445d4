"""How each value of a network is computed in a block of steps, on a CPU: what is fused with what.

A sum computes the synapses that only it reads, and a layer of neurons the current that only it reads, event by event
(synapses.py). All else is evaluated as it is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.graph import Graph, Node, Operator, Role
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.neurons.integrate_and_fire import is_plain
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import AveragePool
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.selection import Selection
from snnconvert.simulate.layers import Flow, FusedSteps, as_floats
from snnconvert.simulate.sweeps import SIDE
from snnconvert.simulate.synapses import EventSynapse, filled
from snnconvert.simulate.vectors import LANES

MOST = 2**31  # what the place of an event's weights must stay under


@dataclass(frozen=True)
class Term:
    """A value of a sum: ``factor (O,) * operator(x)``, or of x itself; beside a factor, an operator only moves x."""

    value: str
    operator: Operator | None = None
    factor: Tensor | None = None

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the term without its factor."""
        if self.operator is None:
            return x
        return self.operator.evaluate([x if self.factor is not None else as_floats(x)])


class Meeting:
    """What arrives at one place: a sum of values, some of them weighted event by event."""

    def __init__(self, plain: Sequence[Term], events: Sequence[tuple[EventSynapse, str]]) -> None:
        self.inputs = (*(term.value for term in plain), *(value for _, value in events))
        self._plain = plain
        self._events = [synapse for synapse, _ in events]
        self._factor: NDArray[np.float32] | None = None
        if len(plain) == 1 and plain[0].factor is not None and self._events[0].by_place is None:
            self._factor = filled(self._events[0].channels, plain[0].factor)

    def _before(self, inputs: Sequence[Tensor]) -> tuple[Tensor | None, NDArray[np.float32] | None]:
        """Return the sum of all but the last of the values that come as events, and its factor."""
        total: Tensor | None = None
        factor = self._factor
        for term, x in zip(self._plain, inputs, strict=False):
            value = term.evaluate(x)
            if term.factor is not None and factor is None:
                value = value * term.factor.reshape(-1, *[1] * (value.ndim - 2))
            total = value if total is None else as_floats(total) + value
        for index, synapse in enumerate(self._events):
            if synapse.by_place is not None:
                bias = synapse.by_place[None]
                total = bias.expand(len(inputs[-1]), *bias.shape[1:]) if total is None else as_floats(total) + bias
            if index + 1 < len(self._events):
                total, factor = synapse.evaluate(inputs[len(self._plain) + index], total, factor), None
        return total, factor

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the sum for a batch."""
        return self._events[-1].evaluate(inputs[-1], *self._before(inputs))

    def fire(self, inputs: Sequence[Tensor], spikes: NDArray[np.uint8], neurons: FusedSteps, flow: Flow) -> None:
        """Let a layer of neurons take its steps under the sum: see :class:`~snnconvert.simulate.layers.Arriving`."""
        self._events[-1].fire(inputs[-1], *self._before(inputs), spikes, neurons, flow)


@dataclass(frozen=True)
class Evaluation:
    """How the engine computes one value of the network in a block of steps.

    A layer of neurons with an ``arriving`` current reads what that is made of.
    """

    name: str
    inputs: tuple[str, ...]
    evaluate: Callable[[Sequence[Tensor]], Tensor]
    arriving: Meeting | None = None


def on_floats(operator: Operator) -> Callable[[Sequence[Tensor]], Tensor]:
    """Return how an operator is evaluated where spikes may come as bools; one that only moves them leaves them so."""
    if operator.keeps_spikes:
        return operator.evaluate
    return lambda inputs: operator.evaluate([as_floats(x) for x in inputs])


def plain_evaluations(nodes: Sequence[Node]) -> list[Evaluation]:
    """Return the nodes of a graph as their operators compute them."""
    return [Evaluation(node.name, node.inputs, node.operator.evaluate) for node in nodes]


def event_evaluations(
    network: SpikingNetwork, graph: Graph, nodes: Sequence[Node], summed: bool = False
) -> list[Evaluation]:
    """Return how nodes of ``graph``, the network's, are computed on a CPU; of the spikes of a step, or ``summed`` ones.

    A sum computes the synapses that only it reads, and a layer of neurons the current that only it reads.
    """
    synapses: dict[str, EventSynapse] = {}
    sources: dict[str, str] = {}  # what a synapse reads: its input, or the spikes that this is the mean of
    for node in nodes:
        pooled = None if summed else _pooled_spikes(network, graph, node)
        found = event_synapse(network, graph, node, summed, pooled)
        if found is not None:
            synapses[node.name] = found
            sources[node.name] = node.inputs[0] if pooled is None else pooled.inputs[0]
    hidden = {
        node.name
        for node in nodes
        if isinstance(node.operator, AveragePool) and _all_pool_themselves(graph, node, sources)
    }
    meetings: dict[str, Meeting] = {}
    for node in nodes:
        if node.name in synapses:
            meetings[node.name] = Meeting([], [(synapses[node.name], sources[node.name])])
        elif node.operator.role is Role.SUM:
            inside = {value for value in node.inputs if _is_inside(network, graph, value)}
            weighted = [value for value in node.inputs if value in inside and value in synapses]
            if weighted:
                hidden |= inside
                rest = [_term(graph, value, value in inside) for value in node.inputs if value not in weighted]
                events = [(synapses[value], sources[value]) for value in weighted]
                meetings[node.name] = Meeting(rest, events)
    driven: dict[str, Meeting] = {}
    for node in nodes:
        if node.name in network.neurons and _is_fused(network, graph, node) and node.inputs[0] in meetings:
            driven[node.name] = meetings[node.inputs[0]]
            hidden.add(node.inputs[0])
    listed = []
    for node in nodes:
        meeting = driven.get(node.name) or meetings.get(node.name)
        if node.name not in hidden and meeting is None:
            listed.append(Evaluation(node.name, node.inputs, on_floats(node.operator)))
        elif node.name not in hidden and meeting is not None:
            listed.append(Evaluation(node.name, meeting.inputs, meeting.evaluate, driven.get(node.name)))
    return listed


def _term(graph: Graph, value: str, inside: bool) -> Term:
    """Return what a sum reads of one of its values, with a factor for each channel where that is all."""
    if not inside:
        return Term(value)
    node = graph.by_name[value]
    (source,), operator = node.inputs, node.operator
    if isinstance(operator, Affine) and not operator.shift.any() and _is_per_channel(operator.scale):
        return Term(source, None, operator.scale.reshape(-1).expand(graph.shapes[value][0]))
    if isinstance(operator, Selection) and not operator.bias.any() and _is_per_channel(operator.weight):
        return Term(source, operator.moving, operator.weight.reshape(-1).expand(graph.shapes[value][0]))
    return Term(source, operator)


def _is_per_channel(scale: Tensor) -> bool:
    return scale.ndim == 3 and scale.shape[1:].numel() == 1


def _is_inside(network: SpikingNetwork, graph: Graph, value: str) -> bool:
    """Tell whether a value of a sum is weighted in the sum: nobody else reads it, and it changes with time."""
    node = graph.by_name.get(value)
    return (
        node is not None
        and isinstance(node.operator, Affine | Convolution | Linear | Selection)
        and network.traffic[value] is not Traffic.CONSTANT
        and graph.sole_consumer(value) is not None
    )


def _is_fused(network: SpikingNetwork, graph: Graph, node: Node) -> bool:
    """Tell whether neurons take their steps in the loop that computes their current, which nobody else reads."""
    neuron, (value,) = network.neurons[node.name], node.inputs
    return (
        is_plain(neuron) and network.traffic[value] is not Traffic.CONSTANT and graph.sole_consumer(value) is not None
    )


def _all_pool_themselves(graph: Graph, pool: Node, sources: Mapping[str, str]) -> bool:
    """Tell whether all that read a pool are synapses that read its input instead."""
    readers = [node.name for node in graph.nodes if pool.name in node.inputs]
    return pool.name != graph.output and all(sources.get(reader) == pool.inputs[0] for reader in readers)


def _pooled_spikes(network: SpikingNetwork, graph: Graph, node: Node) -> Node | None:
    """Return the pool that makes a convolution's input from spikes, if each is in one of its windows.

    The weights, divided by the size of the window, stay what they are on a grid: it is a power of two.
    """
    pool = graph.by_name.get(node.inputs[0])
    if pool is None or not isinstance(pool.operator, AveragePool) or not isinstance(node.operator, Convolution):
        return None
    window, (value,) = pool.operator.window, pool.inputs
    size = math.prod(window.kernel)
    whole = (
        len(window.kernel) == 2
        and node.operator.groups == 1
        and window.stride == window.kernel
        and not any((*window.before, *window.after, *pool.operator.extension))
        and all(step == 1 for step in window.dilation)
        and all(n % k == 0 for n, k in zip(graph.shapes[value][1:], window.kernel, strict=True))
    )
    return pool if whole and size & (size - 1) == 0 and _is_binary(network, graph, value) else None


def event_synapse(
    network: SpikingNetwork, graph: Graph, node: Node, summed: bool = False, pool: Node | None = None
) -> EventSynapse | None:
    """Return a synapse for the events of a node's input, where most of it is zero or it is computed once."""
    operator = node.operator
    if not isinstance(operator, Convolution | Linear) or network.decodes:
        return None
    (value,) = node.inputs
    if isinstance(operator, Linear) and len(graph.shapes[value]) > 2:  # whose last axis is not the last in memory
        return None
    places = operator.weight.shape[1]
    if isinstance(operator, Convolution):
        window = operator.window
        depthwise = operator.groups == operator.weight.shape[0] == graph.shapes[value][0]
        if (
            operator.weight.ndim != 4
            or not (operator.groups == 1 or depthwise)
            or any(step != 1 for step in window.dilation)
        ):
            return None
        places *= (graph.shapes[value][-1] + window.before[-1]) * window.kernel[0]
    traffic, small = network.traffic[value], all(neuron.most <= 1 for neuron in network.neurons.values())
    sparse = small and traffic in (Traffic.SPIKES, Traffic.CURRENT, Traffic.EVENTS)
    seldom = summed or sparse or traffic is Traffic.CONSTANT
    if not seldom or places * SIDE * max(LANES) >= MOST:
        return None
    if pool is not None and isinstance(pool.operator, AveragePool):
        height, width = pool.operator.window.kernel
        return EventSynapse(operator, graph.shapes[value], False, (height, width))
    return EventSynapse(operator, graph.shapes[value], summed or not _is_binary(network, graph, value))


def _is_binary(network: SpikingNetwork, graph: Graph, value: str) -> bool:
    """Tell whether a value is 0 or 1."""
    if value in network.neurons:
        return network.neurons[value].spikes == "binary"
    node = graph.by_name.get(value)
    if node is None:
        return False
    moves = network.pools.get(value) in ("exact", "gate") or node.operator.role is Role.IDENTITY
    return (moves or node.operator.keeps_spikes) and all(_is_binary(network, graph, each) for each in node.inputs)
