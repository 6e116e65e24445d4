"""TorchScript's source code: what it may say, and the same code written again.

torch compiles this dialect of Python, and runs what it says with the rights of the user. So each construct is on a list
of what networks need, each operator computes numbers from numbers, each name is resolved here, loops have a limit, and
recursion is refused, so that running the network ends. torch compiles the text that is written from the tree that was
checked.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from snnconvert.errors import ModelError
from snnconvert.load.torchscript_loops import CHECK_MEMBER

SIMPLER = "trace the network, or export it with torch.onnx.export"
CONTAINERS = ("__len__", "__contains__")  # what torch writes for its lists and mappings of modules
MAX_SOURCE = 2**21  # bytes
MAX_MARKS = 2**18  # commas and opening brackets, each of which may stand for a node of the syntax tree
TRUST = "--trust-model, if you know who made the file"
TYPES = {"Tensor", "int", "float", "bool", "str", "NoneType", "number", "Device", "None"}
GENERIC = {"Optional", "List", "Tuple", "Dict", "Final", "Union"}
CASTS = {"int", "float", "bool", "annotate", "unchecked_cast", "uninitialized", "isinstance"}
RESERVED = {"torch", "ops", "CONSTANTS", "__torch__", "getattr", "range", *CASTS}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
PLAIN_TEXT = re.compile(r"[ -!#-&(-\[\]-~]*", re.ASCII)  # printable, no quotes or backslashes
_DIRECTORY = "code/"


@dataclass
class Class:
    """A class of the archive: its attributes with their types, in the order of the file."""

    name: str
    is_tuple: bool
    attributes: dict[str, ast.expr] = field(default_factory=dict)


@dataclass(frozen=True)
class Function:
    """A function, or the method of a class ``owner``; ``place`` is the file that it stands in."""

    place: str
    node: ast.FunctionDef
    owner: str | None = None


@dataclass(frozen=True)
class Code:
    """Classes, functions and methods of an archive by their full names; ``trees`` is what its files hold, by member."""

    classes: dict[str, Class] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    trees: dict[str, ast.Module] = field(default_factory=dict)

    def sources(self) -> dict[str, bytes]:
        """Return the text for torch, by member."""
        return {member: (ast.unparse(tree) + "\n").encode("ascii") for member, tree in self.trees.items()}


def refused(where: str, node: ast.AST | None, what: str, hint: str = TRUST) -> ModelError:
    """Return the refusal of a construct, with the line where it stands."""
    line = f":{node.lineno}" if isinstance(node, ast.stmt | ast.expr) else ""
    return ModelError("E130", f"{where}{line}: {what}", hint)


def dotted(node: ast.expr) -> str | None:
    """Return ``a.b.c`` for a chain of names, None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def read_code(where: str, members: Mapping[str, bytes]) -> Code:
    """Read the declarations of all source files of an archive; what the functions do is not looked at.

    Raises:
        ModelError: they declare more than a network needs (E130), or are too large (E121).
    """
    files = {name: data for name, data in members.items() if name.startswith(_DIRECTORY) and name.endswith(".py")}
    if sum(map(len, files.values())) > MAX_SOURCE:
        raise ModelError("E121", f"{where}: more than {MAX_SOURCE} bytes of source code", SIMPLER)
    if sum(text.count(mark) for text in files.values() for mark in (b",", b"(", b"[")) > MAX_MARKS:
        raise ModelError("E121", f"{where}: more than {MAX_MARKS} arguments and calls in its source code", SIMPLER)
    code = Code()
    types = []
    for member, data in files.items():
        place = f"{where}: {member}"
        module = member[len(_DIRECTORY) : -len(".py")].replace("/", ".")
        if not all(NAME.fullmatch(part) for part in module.split(".")) or module.split(".")[0] != "__torch__":
            raise refused(place, None, "not the name of a module")
        if module.startswith("__torch__.torch.classes"):
            raise refused(place, None, "it stands where torch has classes of its own")
        if member == CHECK_MEMBER:
            raise refused(place, None, "a name that is kept for checks of loops")
        tree = _parsed(place, data)
        types.append((place, list(_declared(place, module, tree, code))))
        code.trees[member] = tree
    for place, kinds in types:
        for kind in kinds:
            check_type(place, kind, code)
    return code


def _parsed(place: str, data: bytes) -> ast.Module:
    """Parse the text, and check every name and literal of the tree, so that it can be written again."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the file's own texts
            tree = ast.parse(data.decode("ascii"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise refused(place, None, f"not TorchScript ({type(problem).__name__})") from None
    for node in ast.walk(tree):
        names = [
            getattr(node, key) for key in ("id", "attr", "arg", "name") if isinstance(getattr(node, key, None), str)
        ]
        if not all(NAME.fullmatch(name) for name in names):
            raise refused(place, node, f"the name '{names[0]}'")
        if isinstance(node, ast.Constant):
            node.kind = None
            if isinstance(node.value, str):
                if not PLAIN_TEXT.fullmatch(node.value):  # a message; torch reads escapes in another way
                    node.value = "".join(sign if PLAIN_TEXT.fullmatch(sign) else "?" for sign in node.value)
            elif isinstance(node.value, int) and node.value >= 2**63:
                raise refused(place, node, "a number of more than 64 bits")
            elif not isinstance(node.value, int | float | None):
                raise refused(place, node, f"a {type(node.value).__name__}")
    return tree


def _declared(place: str, module: str, tree: ast.Module, code: Code) -> Iterator[ast.expr]:
    """Enter the classes and functions of a file; yield every type that it names."""
    for statement in tree.body:
        match statement:
            case ast.FunctionDef(name=name):
                _enter(place, statement, code, f"{module}.{name}")
                code.functions[f"{module}.{name}"] = Function(place, statement)
                yield from _signature(place, statement)
            case ast.ClassDef(
                name=name, bases=[ast.Name(id="Module" | "NamedTuple" as base)], keywords=[], decorator_list=[]
            ):
                _enter(place, statement, code, f"{module}.{name}")
                entry = code.classes[f"{module}.{name}"] = Class(f"{module}.{name}", base == "NamedTuple")
                for member in statement.body:
                    yield from _declared_in_class(place, entry, member, code)
            case ast.Assign(targets=[ast.Name(id="op_version_set")], value=ast.Constant()):
                pass
            case _:
                raise refused(place, statement, f"{told(statement)} is neither a module class nor a function")


def _enter(place: str, node: ast.stmt, code: Code, name: str) -> None:
    if name in code.classes or name in code.functions:
        raise refused(place, node, f"'{name}' is defined twice")


def _declared_in_class(place: str, entry: Class, member: ast.stmt, code: Code) -> Iterator[ast.expr]:
    match member:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=None):
            entry.attributes[name] = kind
            yield kind
        case ast.AnnAssign(target=ast.Name(), annotation=kind, value=value) if value and _is_literal(value):
            yield kind  # Final: torch compiles it in
        case ast.Assign(
            targets=[ast.Subscript(value=ast.Name(id="__annotations__"), slice=ast.Constant(value=str() as name))],
            value=kind,
        ):
            entry.attributes[name] = kind
            yield kind
        case ast.Assign(targets=[ast.Name(id="__parameters__" | "__buffers__")], value=ast.List() as value) if (
            _is_literal(value)
        ):
            pass
        case ast.Assign(targets=[ast.Name(id="__annotations__")], value=ast.List(elts=[])):
            pass  # where the first attribute has no name, as in a list of parameters
        case ast.FunctionDef(name=name) if name in ("__setstate__", "__getstate__", "__del__", "__init__", "__new__"):
            raise refused(place, member, f"class {entry.name} defines {name}, which runs when the file is loaded")
        case ast.FunctionDef(name=name) if name.startswith("__") and name not in CONTAINERS:
            raise refused(place, member, f"class {entry.name} defines {name}, which runs without a call")
        case ast.FunctionDef(name=name):
            _enter(place, member, code, f"{entry.name}.{name}")
            code.functions[f"{entry.name}.{name}"] = Function(place, member, entry.name)
            yield from _signature(place, member)
        case ast.Pass():
            pass
        case _:
            raise refused(place, member, f"{told(member)} in class {entry.name}")


def _signature(place: str, function: ast.FunctionDef) -> Iterator[ast.expr]:
    arguments = function.args
    plain = not (arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs)
    if not plain or function.decorator_list or not all(_is_literal(each) for each in arguments.defaults):
        raise refused(place, function, f"the signature of '{function.name}'")
    for argument in arguments.args:
        if argument.arg in RESERVED:
            raise refused(place, function, f"an argument named '{argument.arg}'")
        if argument.annotation is not None:
            yield argument.annotation
    if function.returns is not None:
        yield function.returns


def check_type(place: str, node: ast.expr, code: Code) -> None:
    """Refuse a type that is neither plain nor a class of the archive."""
    match node:
        case ast.Name(id=name) if name in TYPES:
            pass
        case ast.Constant(value=None):
            pass
        case ast.Subscript(value=ast.Name(id=name), slice=inner) if name in GENERIC:
            for each in inner.elts if isinstance(inner, ast.Tuple) else [inner]:
                check_type(place, each, code)
        case ast.Attribute() if dotted(node) in code.classes:
            pass
        case _:
            raise refused(place, node, f"the type {told(node)}")


def _is_literal(node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            return True
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return all(map(_is_literal, items))
        case ast.Call(
            func=ast.Name(id="annotate"),
            args=[ast.Subscript(value=ast.Name(id="List"), slice=ast.Name()), ast.List() as value],
            keywords=[],
        ):
            return _is_literal(value)
        case ast.Name(id="inf" | "nan"):
            return True
    return False


def told(node: ast.AST) -> str:
    """Return the beginning of a construct as text."""
    return "'" + next(iter(ast.unparse(node).splitlines()), "")[:60] + "'"
