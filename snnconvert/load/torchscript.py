"""TorchScript files: checked from end to end, then written again for torch.

What torch believes without looking is compared here: that a tensor stays within its storage, that a storage is as long
as it says, and that every attribute is of its declared type. torch gets these archives only.
"""

import ast
import dataclasses
import math
from collections.abc import Iterator, Mapping

from snnconvert.errors import ModelError
from snnconvert.graph import Shape
from snnconvert.load.torch_pickle import STORAGES, Object, Reader, Tagged, Tensor, TypedList, Value
from snnconvert.load.torch_pickle_writer import MAX_VALUES, Writer
from snnconvert.load.torchscript_body import check_bodies
from snnconvert.load.torchscript_code import Code, Function, dotted, read_code
from snnconvert.operators.onnx_node import MAX_ELEMENTS

BUILDERS = {"int": "build_intlist", "float": "build_doublelist", "bool": "build_boollist", "Tensor": "build_tensorlist"}
PLAIN = {"int": int, "float": float, "bool": bool, "str": str, "Tensor": Tensor, "NoneType": type(None)}
VERSIONS = range(1, 100)


def read_torchscript(where: str, members: Mapping[str, bytes]) -> dict[str, bytes]:
    """Check the members of a TorchScript archive; return those of one for torch, written from what was checked.

    Raises:
        ModelError: it does, or holds, more than a network needs (E130), or too much of it (E121).
    """
    if "data.pkl" not in members:
        raise _refused(where, "no data.pkl", "it was saved by a torch before 1.4")
    if members.get("byteorder", b"little") != b"little":
        raise _refused(where, "its numbers are big-endian")
    version = members.get("version", b"").strip()
    if not (version.isdigit() and len(version) < 4 and int(version) in VERSIONS):
        raise _refused(where, "it names no version of its format")
    constants = Reader(f"{where}: constants.pkl").read(members["constants.pkl"]) if "constants.pkl" in members else ()
    if not isinstance(constants, tuple) or not all(isinstance(each, Tensor) for each in constants):
        raise _refused(where, "a constant is not a tensor")
    code = read_code(where, members)
    check_bodies(code, len(constants))
    network = Reader(f"{where}: data.pkl").read(members["data.pkl"])
    if not isinstance(network, Object) or f"{network.type}.forward" not in code.functions:
        raise _refused(where, "it holds no network with a forward method")
    _require_one_input(where, code.functions[f"{network.type}.forward"])
    objects = _Objects(where, code)
    objects.check(network)
    kept = {"version": version, "byteorder": b"little"}
    kept |= dict(_storages(where, "data", objects.tensors, members))
    kept |= dict(_storages(where, "constants", constants, members))
    kept |= code.sources()
    kept["constants.pkl"] = Writer(where).write(constants)
    kept["data.pkl"] = Writer(where).write(network)
    return kept


def _refused(where: str, what: str, hint: str = "--trust-model, if you know who made the file") -> ModelError:
    return ModelError("E130", f"{where}: {what}", hint)


def _require_one_input(where: str, forward: Function) -> None:
    arguments = forward.node.args
    needed = len(arguments.args) - len(arguments.defaults) - 1
    kind = arguments.args[1].annotation if len(arguments.args) > 1 else None
    if needed > 1 or not isinstance(kind, ast.Name) or kind.id != "Tensor":
        raise ModelError(
            "E124",
            f"{where}: one tensor expected as input of the network, got {max(needed, 0)} arguments",
            "export it with one input",
        )


class _Objects:
    """Compares objects with their classes, and collects their tensors."""

    def __init__(self, where: str, code: Code) -> None:
        self.tensors: list[Tensor] = []
        self._where = where
        self._code = code
        self._seen: set[int] = set()
        self._looked = 0

    def check(self, value: Object) -> None:
        """Leave an object the attributes that its class declares, or refuse it."""
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        entry = self._code.classes.get(value.type)
        if entry is None or entry.is_tuple:
            raise _refused(self._where, f"data.pkl: the class '{value.type}' is not in the archive")
        for name, kind in entry.attributes.items():
            if name not in value.state or not self._fits(value.state[name], kind):
                raise _refused(self._where, f"data.pkl: '{name}' of {value.type} is not of type {ast.unparse(kind)}")
        value.state = {name: value.state[name] for name in entry.attributes}

    def _fits(self, value: Value, kind: ast.expr) -> bool:
        self._looked += 1
        if self._looked > MAX_VALUES:  # a list may be the value of many attributes
            raise _refused(self._where, f"data.pkl: more than {MAX_VALUES} values")
        match kind:
            case ast.Name(id=name) if name in PLAIN:
                if isinstance(value, Tensor):
                    self.tensors.append(value)
                return type(value) is PLAIN[name]
            case ast.Constant(value=None):
                return value is None
            case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
                return value is None or self._fits(value, inner)
            case ast.Subscript(value=ast.Name(id="Tuple"), slice=ast.Tuple(elts=kinds)):
                return (
                    isinstance(value, tuple)
                    and len(value) == len(kinds)
                    and all(self._fits(each, inner) for each, inner in zip(value, kinds, strict=True))
                )
            case ast.Subscript(value=ast.Name(id="List"), slice=ast.Name(id=name) as inner) if name in BUILDERS:
                return (
                    isinstance(value, TypedList)
                    and value.builder == BUILDERS[name]
                    and all(self._fits(each, inner) for each in value.items)
                )
            case ast.Subscript(value=ast.Name(id="List"), slice=ast.Name(id="str") as inner):
                return (
                    isinstance(value, Tagged)
                    and value.type == ast.unparse(kind)
                    and isinstance(value.value, list)
                    and all(self._fits(each, inner) for each in value.value)
                )
            case ast.Subscript(value=ast.Name(id="Dict"), slice=ast.Tuple(elts=[ast.Name(id="str") as key, held])):
                return (
                    isinstance(value, Tagged)
                    and value.type == ast.unparse(kind)
                    and isinstance(value.value, dict)
                    and all(self._fits(name, key) and self._fits(each, held) for name, each in value.value.items())
                )
            case ast.Attribute():
                if not isinstance(value, Object) or value.type != dotted(kind):
                    return False
                self.check(value)
                return True
        return False


def _storages(
    where: str, folder: str, tensors: list[Tensor] | tuple[Tensor, ...], members: Mapping[str, bytes]
) -> Iterator[tuple[str, bytes]]:
    """Yield the storages of tensors, each of the length that it must have, under running numbers as names.

    The names are those that the tensors refer to from now on: torch looks for none that the file chose.
    """
    names: dict[str, str] = {}
    for tensor in {id(each): each for each in tensors}.values():
        name = f"{folder}/{tensor.storage.key}"
        held = len(members.get(name, b""))
        expected = tensor.storage.count * STORAGES[tensor.storage.type]
        if name not in members or held != expected:
            raise _refused(where, f"storage '{name}': expected {expected} bytes, got {held}")
        last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.size, tensor.stride, strict=True))
        outside = 0 not in tensor.size and last >= tensor.storage.count
        if outside or math.prod(size or 1 for size in tensor.size) > max(tensor.storage.count, MAX_ELEMENTS):
            raise _refused(where, f"a tensor of shape {tensor.size} leaves its storage '{name}'")
        key = names.setdefault(name, str(len(names)))
        tensor.storage = dataclasses.replace(tensor.storage, key=key)
        yield f"{folder}/{key}", members[name]


def traced_shape(members: Mapping[str, bytes]) -> Shape | None:
    """Return the shape of one sample of the input that the network was traced with, where the file tells."""
    if "traced_inputs.pkl" not in members:
        return None
    try:
        inputs = Reader("").read(members["traced_inputs.pkl"])
    except ModelError:
        return None
    match inputs:
        case Tagged(value={"forward": Tagged(value=[Tensor(size=(_, *shape))])}) if shape:
            return tuple(shape)
    return None
