"""Removes nodes that leave their input as it is."""

from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, Node, Pass, Role
from snnconvert.operators.affine import Affine
from snnconvert.operators.reshape import Concat, Reshape, Transpose
from snnconvert.operators.selection import Pad, Slice


def does_nothing(graph: Graph, node: Node) -> bool:
    """Tell whether the output of a node is its input, element for element."""
    operator, shape = node.operator, graph.shapes[node.inputs[0]]
    if isinstance(operator, Affine):
        return bool((operator.scale == 1).all()) and not bool(operator.shift.any())
    if isinstance(operator, Concat):
        return len(node.inputs) == 1
    if isinstance(operator, Transpose):
        return operator.order == tuple(range(len(shape)))
    if isinstance(operator, Reshape | Slice):
        return graph.shapes[node.name] == shape
    if isinstance(operator, Pad):
        return not any(operator.before + operator.after)
    return operator.role is Role.IDENTITY


class RemoveIdentity(Pass):
    """``y = x`` is removed: Identity, Dropout, a reshape to the same shape, a slice of everything, times 1."""

    name = "identities removed"

    def run(self, graph: Graph) -> Graph:
        idle = [node for node in graph.nodes if does_nothing(graph, node)]
        if not idle:
            return graph
        return rewired(graph, {node.name: None for node in idle}, {node.name: node.inputs[0] for node in idle})
