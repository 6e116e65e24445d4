"""Folds the slices and pads in front of a sum into one synapse.

A parameter-free shortcut (option A of He et al. 2016: subsample, then pad the channels with zeros) is exported as a
chain of Slice and Pad nodes; it is one linear synapse with one connection for each element that is kept.
"""

from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, IncompatibleScale, Node, Pass, Role
from snnconvert.operators.selection import Pad, Slice, selection_of


def chain_before(graph: Graph, value: str) -> list[Node]:
    """Return the slices and pads that lead to ``value`` and that nobody else reads, first one first."""
    chain: list[Node] = []
    node = graph.by_name.get(value)
    while node is not None and isinstance(node.operator, Slice | Pad) and graph.sole_consumer(node.name) is not None:
        chain.insert(0, node)
        node = graph.by_name.get(node.inputs[0])
    return chain


class FoldShortcut(Pass):
    """``sum(f(x), pad(slice(x)))``: the slices and pads become one weighted synapse."""

    name = "shortcuts folded"

    def run(self, graph: Graph) -> Graph:
        for value in [value for node in graph.nodes if node.operator.role is Role.SUM for value in node.inputs]:
            chain = chain_before(graph, value)
            if not chain:
                continue
            source = chain[0].inputs[0]
            try:
                operator = selection_of([each.operator for each in chain], graph.shapes[source])
            except IncompatibleScale:
                continue
            origins = tuple(origin for each in chain for origin in each.origins)
            removed: dict[str, Node | None] = {each.name: None for each in chain}
            graph = rewired(graph, {**removed, value: Node(value, operator, (source,), origins)}, {})
        return graph
