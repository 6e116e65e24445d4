"""Lists of a TorchScript graph that grow and shrink, resolved: what they hold at each place is known beforehand.

torch's exporter loses the shapes of what passes through such a list.
"""

from typing import Any

_FILLED = {"aten::append", "aten::pop"}
_READ = {"aten::__getitem__", "aten::len"}


def resolve_lists(graph: Any) -> None:
    """Take lists out of a graph that its top level alone fills, reads by known numbers, and hands to operators."""
    nodes = list(graph.nodes())
    level = frozenset(nodes)
    held: dict[str, list[Any]] = {}
    for node in nodes:
        operands = list(node.inputs())
        if node.kind() == "prim::ListConstruct" and _is_resolvable(node, level):
            held[node.output().debugName()] = operands
            continue
        for place, operand in enumerate(operands):
            if operand.debugName() in held:
                _resolve(graph, node, place, held[operand.debugName()])


def _is_resolvable(node: Any, level: frozenset[Any]) -> bool:
    """Tell whether a list is filled, and every use of it is known; ``level`` holds the nodes of the top level."""
    uses = node.output().uses()
    return any(use.user.kind() in _FILLED for use in uses) and all(
        use.user in level and _is_known(use.user, use.offset) for use in uses
    )


def _is_known(user: Any, place: int) -> bool:
    """Tell whether a use of a list, as the operand at ``place``, is one that can be resolved."""
    if user.kind() not in _FILLED | _READ:  # an operator that makes a tensor keeps no list
        made = {each.type().kind() for each in user.outputs()}
        return user.kind().startswith("aten::") and made == {"TensorType"}
    if place != 0:
        return False
    return user.kind() in ("aten::append", "aten::len") or type(user.inputsAt(1).toIValue()) is int


def _resolve(graph: Any, node: Any, place: int, items: list[Any]) -> None:
    """Take one use of a list out of the graph; ``items`` is what it holds before."""
    match node.kind():
        case "aten::append":
            items.append(node.inputsAt(1))
            result = node.inputsAt(0)
        case "aten::pop":
            result = items.pop(node.inputsAt(1).toIValue())
        case "aten::__getitem__":
            result = items[node.inputsAt(1).toIValue()]
        case "aten::len":
            constant = graph.create("prim::Constant")
            constant.i_("value", len(items))
            constant.insertBefore(node)
            result = constant.output().setType(node.output().type())
        case _:
            whole = graph.create("prim::ListConstruct", items, 1)
            whole.insertBefore(node)
            node.replaceInput(place, whole.output().setType(node.inputsAt(place).type()))
            return
    node.output().replaceAllUsesWith(result)
    node.destroy()
