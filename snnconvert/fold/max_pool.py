"""Moves max pools behind activations: ``relu(max(x)) = max(relu(x))``, as a rectifier never falls."""

import dataclasses

from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, Pass, Role


class MovePoolBehindActivation(Pass):
    """A pool before a rectifier changes places with it, so that it sees spikes, where it is exact."""

    name = "max pools moved behind activations"

    def run(self, graph: Graph) -> Graph:
        for pool in graph.nodes:
            after = graph.sole_consumer(pool.name)
            if pool.operator.role is Role.MAXIMUM and after is not None and after.operator.role is Role.ACTIVATION:
                activation = dataclasses.replace(after, inputs=pool.inputs)
                moved = dataclasses.replace(pool, inputs=(after.name,))
                swapped = rewired(graph, {after.name: activation, pool.name: moved}, {after.name: pool.name})
                return self.run(swapped)
        return graph
