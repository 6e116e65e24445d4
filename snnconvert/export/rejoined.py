"""Operators that ONNX writes as several nodes, joined again where a step model is read back; the same function exactly.

weights, then + shift            one operator with that bias (it differs from place to place, or MatMul has none)
slice, pad, then * weight        a selection
"""

from snnconvert.graph import Graph, IncompatibleScale, Node, Operator, ones
from snnconvert.operators.affine import Affine
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.selection import Pad, Selection, Slice, selection_of


def rejoined(graph: Graph) -> Graph:
    """Return the graph with every affine map that belongs to the operators before it taken into them."""
    for node in graph.nodes:
        if not isinstance(node.operator, Affine):
            continue
        before = _only(graph, node.inputs[0])
        if before is None:
            continue
        operator, gone = _joined(graph, node.operator, before, len(graph.shapes[node.name]))
        if operator is not None:
            merged = Node(node.name, operator, gone[0].inputs)
            names = {each.name for each in gone}
            graph = graph.with_nodes(
                [merged if each.name == node.name else each for each in graph.nodes if each.name not in names]
            )
    return graph


def _only(graph: Graph, value: str) -> Node | None:
    """Return the node that computes a value, where one node reads it."""
    return graph.by_name.get(value) if graph.sole_consumer(value) is not None else None


def _joined(graph: Graph, affine: Affine, before: Node, rank: int) -> tuple[Operator | None, list[Node]]:
    """Return an affine map and what stands before it as one operator, and the nodes that it stands for, in order."""
    one = ones(rank)
    shifts = not bool((affine.scale != 1).any())
    if isinstance(before.operator, Convolution | Linear | Affine | Selection) and shifts:
        try:
            return before.operator.rescaled(one, one, affine.shift.double()), [before]
        except IncompatibleScale:
            return None, []
    if isinstance(before.operator, Pad):
        cut = _only(graph, before.inputs[0])
        if cut is not None and isinstance(cut.operator, Slice):
            moving = selection_of([cut.operator, before.operator], graph.input_shapes(cut)[0])
            return moving.rescaled(one, affine.scale.double(), affine.shift.double()), [cut, before]
    return None, []
