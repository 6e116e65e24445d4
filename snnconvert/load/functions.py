"""Functions that a model defines of its own: counted first, in closed form, and then inlined.

A function that calls another one twice, and so on, grows to any size from a few hundred bytes; and a call copies what
it is given wherever the function reads it. onnx.inliner is not used: it forgets the default values of attributes, and
recurses as deeply as the file asks it to.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnx import AttributeProto, FunctionProto, NodeProto

from snnconvert.errors import ModelError
from snnconvert.graph import topological

MAX_INLINED = 2**28  # bytes that the inlined nodes may take
CEILING = 10**15  # where counting stops: numbers that double with every function become long themselves
STANDARD = ("", "ai.onnx")
HINT = "export it with its functions inlined (onnx.inliner.inline_local_functions)"


@dataclass(frozen=True)
class _Size:
    """What a body grows to when it is inlined."""

    nodes: int  # calls among them
    content: int  # bytes of its nodes
    names: int  # places where a name or an attribute of the caller may be put in


def inline(
    where: str,
    nodes: Sequence[NodeProto],
    own: Iterable[FunctionProto],
    opset: int,
    taken: Iterable[str],
    max_nodes: int,
) -> tuple[NodeProto, ...]:
    """Return nodes with every call of a model's own function replaced by its body; new names are none of ``taken``.

    Raises:
        ModelError: functions call each other in a circle, are written for another opset or redefine an operator
            (E120), are no graphs (E114), or would grow beyond ``max_nodes`` or 256 MiB (E121).
    """
    functions = _named(where, own)
    _check_calls(where, nodes, functions)
    order = _innermost_first(where, functions, {_key(node) for node in nodes} & set(functions))
    for key in order:
        _check(where, functions, key, opset)
    size = _measure(functions, order, nodes)
    bodies = [nodes, *(functions[key].node for key in order)]
    given = [node.ByteSize() for body in bodies for node in body if _key(node) in functions]
    defaults = [each.ByteSize() for key in order for each in functions[key].attribute_proto]
    total = size.content + size.names * max([*given, *defaults], default=0)
    if size.nodes > max_nodes or total > MAX_INLINED:
        raise ModelError(
            "E121",
            f"{where}: with its functions inlined, {_told(size.nodes)} nodes of up to {_told(total)} bytes, "
            f"more than {max_nodes} or {MAX_INLINED}",
            HINT,
        )
    return _inlined(nodes, functions, taken)


Key = tuple[str, str, str]


def _key(proto: NodeProto) -> Key:
    return (proto.domain, proto.op_type, proto.overload)


def _named(where: str, own: Iterable[FunctionProto]) -> dict[Key, FunctionProto]:
    found: dict[Key, FunctionProto] = {}
    for function in own:
        key = (function.domain, function.name, function.overload)
        if function.domain in STANDARD:
            raise ModelError("E120", f"{where}: function '{function.name}' redefines a standard operator", HINT)
        if key in found:
            raise ModelError("E120", f"{where}: two functions are named '{function.name}'", HINT)
        found[key] = function
    return found


def _innermost_first(where: str, functions: Mapping[Key, FunctionProto], called: Iterable[Key]) -> list[Key]:
    """Return the functions that are reached, each behind those that it calls."""
    numbers = {key: str(number) for number, key in enumerate(functions)}
    keys = list(functions)
    reads = {
        numbers[key]: list(dict.fromkeys(numbers[_key(node)] for node in function.node if _key(node) in functions))
        for key, function in functions.items()
    }
    try:
        return [keys[int(number)] for number in topological(sorted(numbers[key] for key in called), reads.__getitem__)]
    except ModelError:
        raise ModelError("E120", f"{where}: its functions call each other in a circle", HINT) from None


def _check(where: str, functions: Mapping[Key, FunctionProto], key: Key, opset: int) -> None:
    """Refuse a body that is no graph of its own, or means other operators than the model does."""
    function = functions[key]
    what = f"{where}: function '{function.name}'"
    versions = {entry.version for entry in function.opset_import if entry.domain in STANDARD}
    if versions - {opset}:
        listed = ", ".join(str(version) for version in sorted(versions))
        raise ModelError("E120", f"{what} is written for opset {listed}, the model for {opset}", HINT)
    _check_calls(what, function.node, functions)
    known = set(function.input)
    if len(known) != len(function.input) or "" in known:
        raise ModelError("E114", f"{what}: two inputs share a name, or one has none", HINT)
    for node in function.node:
        for name in filter(None, node.input):
            if name not in known:
                raise ModelError("E114", f"{what}: reads '{name}', which nothing before it computes", HINT)
        for name in filter(None, node.output):
            if name in known:
                raise ModelError("E114", f"{what}: computes '{name}' twice, or over an input", HINT)
            known.add(name)
    if len(set(function.output)) != len(function.output) or not set(function.output) <= known - set(function.input):
        raise ModelError("E114", f"{what}: an output is computed by no node, or named twice", HINT)


def _check_calls(what: str, nodes: Sequence[NodeProto], functions: Mapping[Key, FunctionProto]) -> None:
    for node in nodes:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ModelError("E120", f"{what}: node '{node.name}' holds a graph of its own beside functions", HINT)
        function = functions.get(_key(node))
        if function and (len(node.input) > len(function.input) or len(node.output) > len(function.output)):
            raise ModelError("E123", f"{what}: node '{node.name}' calls '{node.op_type}' with more than it takes", HINT)


def _measure(functions: Mapping[Key, FunctionProto], order: Iterable[Key], nodes: Sequence[NodeProto]) -> _Size:
    """Return what the graph grows to; a body is measured once, however often it is called."""
    sizes: dict[Key, _Size] = {}
    for key in order:
        size = _body(functions[key].node, sizes)
        sizes[key] = _Size(size.nodes + 1, size.content, size.names)
    return _body(nodes, sizes)


def _body(nodes: Iterable[NodeProto], sizes: Mapping[Key, _Size]) -> _Size:
    parts = [sizes.get(_key(node)) or _leaf(node) for node in nodes]
    return _Size(
        min(sum(part.nodes for part in parts), CEILING),
        min(sum(part.content for part in parts), CEILING),
        min(sum(part.names for part in parts), CEILING),
    )


def _leaf(node: NodeProto) -> _Size:
    return _Size(1, node.ByteSize(), len(node.input) + len(node.output) + len(node.attribute))


def _told(number: int) -> str:
    return str(number) if number < CEILING else f"{CEILING:.0e} or more"


class _Names:
    """Makes names that nothing else has."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._numbers: dict[str, int] = {}

    def like(self, wished: str) -> str:
        """Return the name itself, or with a number behind it, and take it."""
        name = wished
        while name in self._taken:
            self._numbers[wished] = self._numbers.get(wished, 0) + 1
            name = f"{wished}__{self._numbers[wished]}"
        self._taken.add(name)
        return name


@dataclass(frozen=True)
class _Call:
    """A body that is being copied: what its names and its attributes stand for."""

    nodes: Iterator[NodeProto]
    values: dict[str, str]
    attributes: Mapping[str, AttributeProto]


def _inlined(
    nodes: Sequence[NodeProto], functions: Mapping[Key, FunctionProto], taken: Iterable[str]
) -> tuple[NodeProto, ...]:
    """Copy the nodes, going down into every call; without recursion, since calls may be nested as deeply as nodes."""
    names = _Names([*taken, *(name for node in nodes for name in (*node.input, *node.output))])
    found: list[NodeProto] = []
    open_calls = [_Call(iter(nodes), {}, {})]
    while open_calls:
        node = next(open_calls[-1].nodes, None)
        if node is None:
            open_calls.pop()
            continue
        if len(open_calls) > 1:
            node = _copied(node, open_calls[-1], names)
        function = functions.get(_key(node))
        if function is None:
            found.append(node)
        else:
            open_calls.append(_opened(node, function))
    return tuple(found)


def _opened(node: NodeProto, function: FunctionProto) -> _Call:
    values = dict.fromkeys(function.input, "")
    values.update(zip(function.input, node.input, strict=False))
    values.update((formal, actual) for formal, actual in zip(function.output, node.output, strict=False) if actual)
    attributes = {each.name: each for each in (*function.attribute_proto, *node.attribute)}
    return _Call(iter(function.node), values, attributes)


def _copied(node: NodeProto, call: _Call, names: _Names) -> NodeProto:
    """Return a node of a body, in terms of its caller."""
    for name in filter(None, node.output):
        if name not in call.values:
            call.values[name] = names.like(name)
    copy = NodeProto(
        name=node.name,
        op_type=node.op_type,
        domain=node.domain,
        overload=node.overload,
        input=[call.values[name] if name else "" for name in node.input],
        output=[call.values[name] if name else "" for name in node.output],
    )
    for attribute in node.attribute:
        source = call.attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is not None:  # what no caller gives, and has no default, is left out
            copy.attribute.add().CopyFrom(source)
            copy.attribute[-1].name = attribute.name
    return copy
