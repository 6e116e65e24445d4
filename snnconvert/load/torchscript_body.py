"""What TorchScript functions do: every call is resolved, and all work is counted, before torch runs any of it."""

import ast
from collections import Counter

from snnconvert.errors import ModelError
from snnconvert.load.onnx_file import MAX_NODES
from snnconvert.load.torch_operators import is_pure
from snnconvert.load.torchscript_code import (
    CASTS,
    RESERVED,
    SIMPLER,
    TRUST,
    TYPES,
    Class,
    Code,
    Function,
    check_type,
    dotted,
    refused,
    told,
)
from snnconvert.load.torchscript_loops import CHECK_MEMBER, MAX_TURNS, check_tree, checked, limit_of

PRIMITIVES = {"RaiseException", "NumToTensor", "dtype", "device", "unchecked_unwrap_optional", "min", "max"}
MESSAGES = {"format", "warn"}  # of errors and warnings
LISTS = {"append", "extend", "insert", "pop", "reverse", "clear", "copy", "Delete", "_set_item"}
# named by torch's own interpolate, in branches that other images take
RESIZING = {
    *("upsample_nearest3d", "upsample_trilinear3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact3d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_lanczos2d_aa"),
}


def check_bodies(code: Code, constants: int) -> None:
    """Check every function, and limit its loops; ``constants`` is how many constants the archive has.

    Raises:
        ModelError: a function does more than a network needs (E130), or too much of it (E121).
    """
    done: dict[str, int] = {}
    bodies = {name: _Body(code, function, constants) for name, function in code.functions.items()}
    for name in bodies:
        _count(name, bodies, done, ())
    code.trees[CHECK_MEMBER] = check_tree()


def _count(name: str, bodies: dict[str, "_Body"], done: dict[str, int], callers: tuple[str, ...]) -> int:
    """Return how many operations a call runs, those of its callees included."""
    if name in done:
        return done[name]
    body = bodies[name]
    if name in callers:
        raise refused(body.place, body.function, f"'{name}' calls itself")
    operations = body.operations
    for callee, times in body.callees.items():
        operations += times * _count(callee, bodies, done, (*callers, name))
    if operations > MAX_NODES:
        raise ModelError("E121", f"{body.place}: '{name}' runs more than {MAX_NODES} operations", SIMPLER)
    done[name] = operations
    return operations


class _Body:
    """One function, checked; the kind of a name is the class of its object, or the function that it means."""

    def __init__(self, code: Code, function: Function, constants: int) -> None:
        self.place = function.place
        self.function = function.node
        self.operations = 0
        self._turns = 1  # of all loops around a statement
        self.callees: Counter[str] = Counter()
        self._code = code
        self._constants = constants
        self._kinds: dict[str, str | None] = {}
        for position, argument in enumerate(function.node.args.args):
            kind = self._instance(argument.annotation)
            if kind != (
                function.owner if position == 0 else None
            ):  # torch believes that an argument is what it is said to be
                raise self._refused(function.node, f"the type of the argument '{argument.arg}'")
            self._kinds[argument.arg] = kind
        for statement in function.node.body:
            self._statement(statement)

    def _instance(self, kind: ast.expr | None) -> str | None:
        name = None if kind is None else dotted(kind)
        return name if name in self._code.classes else None

    def _refused(self, node: ast.AST, what: str) -> ModelError:
        return refused(self.place, node, what)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._bind(node, name, self._value(value))
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=value):
                self._value(value)
                for each in names:
                    if not isinstance(each, ast.Name):
                        raise self._refused(node, told(node))
                    self._bind(node, each.id, None)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=ast.expr() as value):
                check_type(self.place, kind, self._code)
                self._bind(node, name, self._value(value))
            case ast.Expr(value=ast.Call() as call):
                self._value(call)
            case ast.If(test=test, body=body, orelse=otherwise):
                self._value(test)
                for statement in (*body, *otherwise):
                    self._statement(statement)
            case ast.Return(value=value):
                if value is not None:
                    self._value(value)
            case ast.Pass():
                pass
            case ast.For(
                target=ast.Name(id=name),
                iter=ast.Call(func=ast.Name(id="range"), args=[count], keywords=[]) as turns,
                orelse=[],
            ):
                self._plain(count)
                self._bind(node, name, None)
                limit = limit_of(count)
                if limit is None:
                    limit, turns.args = MAX_TURNS, [checked(count)]
                self._loop(node.body, limit)
            case ast.For() | ast.While():
                raise refused(
                    self.place,
                    node,
                    f"{told(node)}: a loop, which may never end",
                    f"trace it: torch.jit.trace; or {TRUST}",
                )
            case _:
                raise self._refused(node, told(node))

    def _loop(self, body: list[ast.stmt], turns: int) -> None:
        """Check what a loop does; a turn counts even if it does nothing."""
        outside, self._turns = self._turns, self._turns * max(turns, 1)
        self.operations += self._turns
        for statement in body:
            self._statement(statement)
        self._turns = outside

    def _bind(self, node: ast.stmt, name: str, kind: str | None) -> None:
        if name in RESERVED or self._kinds.setdefault(name, kind) != kind:
            raise self._refused(node, f"{told(node)} gives '{name}' another meaning")

    def _value(self, node: ast.expr) -> str | None:
        """Check an expression; return its kind."""
        match node:
            case ast.Constant() | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                return None
            case ast.Name(id=name) if name in self._kinds:
                return self._kinds[name]
            case ast.Name(id="inf" | "nan"):
                return None
            case ast.List(elts=items) | ast.Tuple(elts=items):
                for item in items:
                    self._plain(item)
                return None
            case ast.Subscript(value=value, slice=index):
                self._plain(value)
                self._plain(index)
                return None
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                self.operations += self._turns
                return self._call(node)
        raise self._refused(node, told(node))

    def _plain(self, node: ast.expr) -> None:
        """Check an expression that is a number, text, tensor, or a container of such."""
        if self._value(node) is not None:
            raise self._refused(node, f"{told(node)} is no number or tensor")

    def _attribute(self, node: ast.Attribute) -> str | None:
        name = dotted(node)
        if name is not None and name.startswith("__torch__."):
            if name in self._code.functions or self._is_tuple(name):
                return name
            raise self._refused(node, f"'{name}' is not in the archive")
        if name is not None and name.startswith("CONSTANTS."):
            index = name.removeprefix("CONSTANTS.c")
            if index.isdigit() and len(index) < 9 and int(index) < self._constants:
                return None
            raise self._refused(node, f"there is no constant '{name}'")
        return self._read(node, self._value(node.value), node.attr)

    def _read(self, node: ast.expr, owner: str | None, name: str) -> str | None:
        """Return the kind of an attribute of an object."""
        entry = self._class(owner)
        if entry is None or name not in entry.attributes:
            raise self._refused(node, f"{told(node)}: there is no such attribute")
        return self._instance(entry.attributes[name])

    def _class(self, kind: str | None) -> Class | None:
        return None if kind is None else self._code.classes.get(kind)

    def _is_tuple(self, name: str) -> bool:
        entry = self._class(name)
        return entry is not None and entry.is_tuple

    def _call(self, node: ast.Call) -> str | None:
        target, arguments = node.func, node.args
        name = dotted(target)
        local = name is not None and name.split(".")[0] in self._kinds
        if name == "getattr":
            return self._getattr(node)
        if name in ("annotate", "unchecked_cast", "uninitialized", "isinstance"):
            position = 1 if name == "isinstance" else 0
            if len(arguments) <= position or node.keywords:
                raise self._refused(node, told(node))
            kind = arguments[position]
            for each in kind.elts if isinstance(kind, ast.List | ast.Tuple) else [kind]:
                check_type(self.place, each, self._code)
            if name in ("unchecked_cast", "uninitialized") and not _is_plain_type(kind):  # torch does not look
                raise self._refused(node, told(node))
            for each in (*arguments[:position], *arguments[position + 1 :]):
                self._plain(each)
            return None
        for argument in (*arguments, *(keyword.value for keyword in node.keywords)):
            self._plain(argument)
        if any(keyword.arg is None for keyword in node.keywords) or any(
            isinstance(each, ast.Starred) for each in arguments
        ):
            raise self._refused(node, told(node))
        if name in CASTS:
            return None
        if name is not None and not local:
            return self._named_call(node, name)
        if isinstance(target, ast.Name):  # another name of a function
            return self._archived_call(node, self._kinds[target.id])
        if isinstance(target, ast.Attribute):
            owner = self._value(target.value)
            if self._class(owner) is not None:
                return self._archived_call(node, f"{owner}.{target.attr}", method=True)
        raise self._refused(node, f"the call {told(node)}")

    def _named_call(self, node: ast.Call, name: str) -> str | None:
        """Resolve a call by a full name: an operator, a primitive, a function of the archive."""
        if name.startswith("__torch__."):
            return self._archived_call(node, name)
        space, _, operator = name.rpartition(".")
        if space in ("torch", "ops.aten") and (is_pure(operator) or operator in (MESSAGES | LISTS | RESIZING)):
            return None
        if space == "ops.prim" and operator in PRIMITIVES:
            return None
        raise self._refused(node, f"the operator {name} is not one that networks need")

    def _archived_call(self, node: ast.Call, name: str | None, method: bool = False) -> str | None:
        if name is not None and self._is_tuple(name):
            return None
        function = None if name is None else self._code.functions.get(name)
        if name is None or function is None:
            raise self._refused(node, f"{told(node.func)} is not in the archive")
        if function.owner is not None and not method:
            raise self._refused(node, f"{told(node.func)}: a method without its object")
        self.callees[name] += self._turns
        return self._instance(function.node.returns)

    def _getattr(self, node: ast.Call) -> str | None:
        match node:
            case ast.Call(args=[owner, ast.Constant(value=str() as name)], keywords=[]):
                return self._read(node, self._value(owner), name)
        raise self._refused(node, told(node))


def _is_plain_type(kind: ast.expr) -> bool:
    """Tell whether a type is of numbers, text and tensors, alone, optional or in lists."""
    match kind:
        case ast.Name(id=name):
            return name in TYPES
        case ast.Subscript(value=ast.Name(id="Optional" | "List"), slice=inner):
            return _is_plain_type(inner)
    return False
