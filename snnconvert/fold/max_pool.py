"""Max pools and activations: ``relu(max(x)) = max(relu(x))``, as a rectifier never falls; and means instead of maxima.

Where a pool stands decides what it sees in time: behind the neurons it sees spikes, before them currents.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, Node, Pass, Role
from snnconvert.operators.average_pooling import AveragePool
from snnconvert.operators.max_pooling import MaxPool

Pooling = Literal["exact", "gate", "average", "before"]  # what becomes of max pools over what changes with time


class MovePoolBehindActivation(Pass):
    """A pool before a rectifier changes places with it, so that it sees spikes, where it is exact."""

    name = "max pools moved behind activations"

    def run(self, graph: Graph) -> Graph:
        for name in [node.name for node in reversed(graph.nodes) if node.operator.role is Role.MAXIMUM]:
            pool, after = graph.by_name[name], graph.sole_consumer(name)
            while after is not None and after.operator.role is Role.ACTIVATION:
                activation = dataclasses.replace(after, inputs=pool.inputs)
                moved = dataclasses.replace(pool, inputs=(after.name,))
                graph = rewired(graph, {after.name: activation, name: moved}, {after.name: name})
                pool, after = graph.by_name[name], graph.sole_consumer(name)
        return graph


class MovePoolBeforeActivation(Pass):
    """A pool behind a rectifier that nobody else reads changes places with it, so that it sees currents."""

    name = "max pools moved before activations"

    def run(self, graph: Graph) -> Graph:
        for name in [node.name for node in graph.nodes if node.operator.role is Role.MAXIMUM]:
            pool, before = graph.by_name[name], _activation_read_by(graph, name)
            while before is not None:
                moved = dataclasses.replace(pool, inputs=before.inputs)
                activation = dataclasses.replace(before, inputs=(name,))
                graph = rewired(graph, {before.name: activation, name: moved}, {name: before.name})
                pool, before = graph.by_name[name], _activation_read_by(graph, name)
        return graph


def _activation_read_by(graph: Graph, pool: str) -> Node | None:
    """Return the activation before a pool, where the pool is its only reader."""
    value = graph.by_name[pool].inputs[0]
    before = graph.by_name.get(value)
    if before is None or before.operator.role is not Role.ACTIVATION or graph.sole_consumer(value) is None:
        return None
    return before


@dataclass(frozen=True, eq=False)
class AveragedMaxPool(AveragePool):
    """An average pool in the place of a max pool: the mean of the elements of its window, padding not counted."""


def pools_averaged(graph: Graph) -> Graph:
    """Replace every max pool that depends on an activation by the average of its window: another network.

    A pool over what depends on the input alone stays: its input is constant in time, and the plain maximum is exact.
    """
    varying: set[str] = set()
    nodes = []
    for node in graph.nodes:
        operator = node.operator
        if isinstance(operator, MaxPool) and node.inputs[0] in varying:
            node = dataclasses.replace(node, operator=AveragedMaxPool(operator.window))
        if operator.role is Role.ACTIVATION or not varying.isdisjoint(node.inputs):
            varying.add(node.name)
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))
