"""Moves max pools behind activations: ``relu(max(x)) = max(relu(x))``, as a rectifier never falls."""

import dataclasses

from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, Pass, Role


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
