"""One way to change a graph: replace some nodes, and let everybody who read one value read another."""

import dataclasses
from collections.abc import Mapping, Sequence

from snnconvert.graph import Graph, Node


def rewired(
    graph: Graph, changed: Mapping[str, Node | None], renamed: Mapping[str, str], added: Sequence[Node] = ()
) -> Graph:
    """Return the graph with nodes replaced (None removes one), and untouched readers of ``renamed`` values moved.

    Nodes that are added come in front of the first that is replaced: where they stand in order, nothing is sorted.
    """

    def moved(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    nodes: list[Node] = []
    waiting, values = [*added], renamed.keys()
    for node in graph.nodes:
        if node.name in changed:
            nodes += waiting
            waiting = []
            replacement = changed[node.name]
            if replacement is not None:
                nodes.append(replacement)
        elif not values.isdisjoint(node.inputs):
            nodes.append(dataclasses.replace(node, inputs=tuple(moved(name) for name in node.inputs)))
        else:
            nodes.append(node)
    return graph.with_nodes(nodes, moved(graph.output))
