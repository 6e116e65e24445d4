"""The pickles inside a TorchScript archive, read without unpickling and written again.

A pickle is a program for a stack machine. This machine knows only the instructions that torch writes, builds plain
values, and calls nothing; torch then reads the pickle that is written here from those values.
"""

import contextlib
import io
import itertools
import pickletools
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from snnconvert.errors import ModelError

Value = Any  # None, bool, int, float, str, tuple, list, dict, Object, Tensor, TypedList, Tagged
# bytes of an element
STORAGES = {
    "FloatStorage": 4,
    "DoubleStorage": 8,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
MAX_OPCODES = 2**20  # of a network; weights are not among them
OLD_PICKLES = 5  # before torch 1.6: a mark, a version, the machine, the value, the keys of storages; then raw numbers
LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
_REBUILD = ("torch._utils", "_rebuild_tensor_v2")
_NO_HOOKS = ("collections", "OrderedDict")
_TAG = ("torch.jit._pickle", "restore_type_tag")
_LIST_MODULE = "torch.jit._pickle"
_CLASSES = "__torch__"


@dataclass(frozen=True)
class Global:
    """A name that the pickle refers to; it is never looked up."""

    module: str
    name: str


@dataclass(eq=False)
class Object:
    """An instance of a TorchScript class."""

    type: str
    state: dict[str, Value]


@dataclass(eq=False)
class Tagged:
    """Any other list, or a dictionary; ``type`` is its type in words."""

    type: str
    value: Value


@dataclass(frozen=True)
class Storage:
    """``count`` elements of a type, in the archive's member ``key``."""

    type: str
    key: str
    count: int


@dataclass(eq=False)
class Tensor:
    """A strided view of a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool


@dataclass(eq=False)
class TypedList:
    """A list of integers, floats, booleans or tensors; ``builder`` is what torch calls its type."""

    builder: str
    items: list[Value]


def global_names(content: bytes) -> list[Global]:
    """Return what the pickles at the beginning of ``content`` refer to, up to where they cannot be read."""
    stream = io.BytesIO(content)
    names: list[Global] = []
    with warnings.catch_warnings(), contextlib.suppress(ValueError, struct.error, OverflowError):
        warnings.simplefilter("ignore")  # invalid escapes in texts
        for _ in range(OLD_PICKLES):
            names += _names_in_one(stream)
    return names


def _names_in_one(stream: io.BytesIO) -> Iterator[Global]:
    pushed: list[object] = [None, None]  # texts, None for what is none
    memo: dict[object, object] = {}
    for opcode, argument, _ in itertools.islice(pickletools.genops(stream), MAX_OPCODES // 10):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            yield Global(module, name)
        elif opcode.name == "STACK_GLOBAL":
            yield Global(str(pushed[-2]), str(pushed[-1]))
            pushed.append(None)
        elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            memo[len(memo) if opcode.name == "MEMOIZE" else argument] = pushed[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
            pushed.append(memo.get(argument))
        else:
            pushed.append(argument if isinstance(argument, str) else None)


class Reader:
    """Reads one pickle; ``where`` begins every refusal."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._stack: list[Value] = []
        self._marks: list[int] = []
        self._memo: dict[int, Value] = {}

    def read(self, content: bytes) -> Value:
        """Return the value that the pickle describes.

        Raises:
            ModelError: it does what a TorchScript file needs not (E130).
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in texts
                for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
                    if count > MAX_OPCODES:
                        raise self._refused(f"more than {MAX_OPCODES} instructions")
                    if opcode.name != "STOP":
                        self._step(opcode.name, argument)
            (value,) = self._stack
        except (ValueError, TypeError, IndexError, KeyError, struct.error, OverflowError) as problem:
            raise self._refused(f"the pickle is broken ({type(problem).__name__})") from None
        return value

    def _refused(self, what: str) -> ModelError:
        return ModelError("E130", f"{self._where}: {what}", "--trust-model, if you know who made the file")

    def _step(self, name: str, argument: Value) -> None:
        stack = self._stack
        match name:
            case "PROTO":
                pass
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                if isinstance(argument, int) and not -(2**63) <= argument < 2**63:
                    self._misplaced(name)
                stack.append(argument)
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                self._marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self._popped()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                if len(stack) < count:
                    raise IndexError
                stack[-count:] = [tuple(stack[-count:])]
            case "APPENDS":
                items = self._popped()
                stack[-1].extend(items) if isinstance(stack[-1], list) else self._misplaced(name)
            case "SETITEMS":
                items = self._popped()
                if not all(type(key) in (str, int) for key in items[::2]):  # a nested tuple takes for ever to hash
                    self._misplaced(name)
                stack[-1].update(zip(items[::2], items[1::2], strict=True)) if isinstance(stack[-1], dict) else (
                    self._misplaced(name)
                )
            case "BINPUT" | "LONG_BINPUT":
                if isinstance(stack[-1], list | dict):  # it is still being filled, and could come to hold itself
                    self._misplaced(name)
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                stack.append(self._known(*argument.split(" ", 1)))
            case "BINPERSID":
                stack.append(self._storage(stack.pop()))
            case "NEWOBJ":
                _, kind = stack.pop(), stack.pop()
                if not isinstance(kind, Global) or kind.module.partition(".")[0] != _CLASSES:
                    self._misplaced(name)
                stack.append(Object(f"{kind.module}.{kind.name}", {}))
            case "BUILD":
                state, target = stack.pop(), stack[-1]
                if not isinstance(target, Object) or target.state or not isinstance(state, dict):
                    self._misplaced(name)
                if not all(isinstance(key, str) for key in state):
                    self._misplaced(name)
                stack[-1] = Object(target.type, state)
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self._called(function, arguments))
            case _:
                raise self._refused(f"the pickle uses {name}, which no TorchScript file needs")

    def _misplaced(self, name: str) -> None:
        raise self._refused(f"the pickle uses {name} where no TorchScript file needs it")

    def _popped(self) -> list[Value]:
        """Take everything down to the last mark."""
        position = self._marks.pop()
        if position > len(self._stack):
            raise IndexError
        items = self._stack[position:]
        del self._stack[position:]
        return items

    def _known(self, module: str, name: str) -> Global:
        found = Global(module, name)
        if (
            (module, name) in (_REBUILD, _NO_HOOKS, _TAG)
            or (module == "torch" and name in STORAGES)
            or (module == _LIST_MODULE and name in LISTS)
            or module.partition(".")[0] == _CLASSES
        ):
            return found
        raise self._refused(f"the pickle refers to {module}.{name}")

    def _storage(self, identity: Value) -> Storage:
        """Read ``("storage", type, key, device, count)``."""
        kind, storage, key, _device, count = identity
        if kind != "storage" or not isinstance(storage, Global) or storage.name not in STORAGES:
            raise TypeError
        if not isinstance(key, str) or not key.isalnum() or not key.isascii():
            raise TypeError
        return Storage(storage.name, key, _natural(count))

    def _called(self, function: Value, arguments: Value) -> Value:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise TypeError
        if (function.module, function.name) == _NO_HOOKS and arguments == ():
            return {}
        if (function.module, function.name) == _REBUILD:
            storage, offset, size, stride, requires_grad, _hooks = arguments
            if not isinstance(storage, Storage) or not isinstance(size, tuple) or len(size) != len(stride):
                raise TypeError
            return Tensor(
                storage, _natural(offset), tuple(map(_natural, size)), tuple(map(_natural, stride)), bool(requires_grad)
            )
        if (function.module, function.name) == _TAG:
            value, kind = arguments
            if not isinstance(value, list | dict) or not isinstance(kind, str):
                raise TypeError
            return Tagged(kind, value)
        if function.module == _LIST_MODULE and isinstance(arguments[0], list):
            (items,) = arguments
            return TypedList(function.name, items)
        raise self._refused(f"the pickle calls {function.module}.{function.name}")


def _natural(value: Value) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise TypeError
    return value
