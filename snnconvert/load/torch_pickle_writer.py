"""Writes the pickles of a TorchScript archive, from the values that were read."""

import struct

from snnconvert.errors import ModelError
from snnconvert.load.torch_pickle import Object, Storage, Tagged, Tensor, TypedList, Value

HINT = "trace the network, or export it with torch.onnx.export"
MAX_VALUES = 1_000_000  # a value that is shared is written again: a thousand times a thousand is refused


class Writer:
    """Writes one pickle, in the instructions of protocol 2; ``where`` begins every refusal."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._parts = [b"\x80\x02"]
        self._memo: dict[int, int] = {}
        self._count = 0

    def write(self, value: Value) -> bytes:
        """Return the pickle of a value; objects and tensors that are shared stay so.

        Raises:
            ModelError: it is too large (E130).
        """
        self._value(value)
        self._parts.append(b".")
        return b"".join(self._parts)

    def _value(self, value: Value) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise ModelError("E130", f"{self._where}: more than {MAX_VALUES} values", HINT)
        write = self._parts.append
        match value:
            case None:
                write(b"N")
            case bool():
                write(b"\x88" if value else b"\x89")
            case int():
                data = value.to_bytes(8, "little", signed=True)
                write(b"J" + data[:4] if -(2**31) <= value < 2**31 else b"\x8a\x08" + data)
            case float():
                write(b"G" + struct.pack(">d", value))
            case str():
                data = value.encode("utf-8", "surrogatepass")
                write(b"X" + struct.pack("<I", len(data)) + data)
            case tuple():
                self._sequence(b"(", list(value), b"t")
            case list():
                self._sequence(b"](", value, b"e")
            case TypedList():
                self._global("torch.jit._pickle", value.builder)
                self._sequence(b"(](", value.items, b"etR")
            case dict():
                self._sequence(b"}(", [part for item in value.items() for part in item], b"u")
            case Tagged():
                self._global("torch.jit._pickle", "restore_type_tag")
                self._value(value.value)
                self._value(value.type)
                write(b"\x86R")
            case Storage():
                write(b"(")
                self._value("storage")
                self._global("torch", value.type)
                for each in (value.key, "cpu", value.count):
                    self._value(each)
                write(b"tQ")
            case Tensor() | Object():
                self._shared(value)
            case _:
                raise ModelError("E130", f"{self._where}: a value of type {type(value).__name__}", HINT)

    def _shared(self, value: Tensor | Object) -> None:
        known = self._memo.get(id(value))
        if known is not None:
            self._parts.append(b"j" + struct.pack("<I", known))
            return
        if isinstance(value, Tensor):
            self._global("torch._utils", "_rebuild_tensor_v2")
            self._parts.append(b"(")
            for part in (value.storage, value.offset, value.size, value.stride, value.requires_grad):
                self._value(part)
            self._global("collections", "OrderedDict")
            self._parts.append(b")RtR")
        else:
            self._global(*value.type.rsplit(".", 1))
            self._parts.append(b")\x81}(")
            for key, each in value.state.items():
                self._value(key)
                self._value(each)
            self._parts.append(b"ub")
        self._memo[id(value)] = len(self._memo)
        self._parts.append(b"r" + struct.pack("<I", self._memo[id(value)]))

    def _sequence(self, before: bytes, items: list[Value], after: bytes) -> None:
        self._parts.append(before)
        for item in items:
            self._value(item)
        self._parts.append(after)

    def _global(self, module: str, name: str) -> None:
        self._parts.append(f"c{module}\n{name}\n".encode())
