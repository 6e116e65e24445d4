"""Opens an ONNX file and checks, before any tool runs on it, that it is what it says.

A model file is an attacker's file: sizes are compared before memory is asked for, and nothing is read but the file
itself and the data in its own folder.
"""

import difflib
import math
import os
import stat
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from snnconvert.errors import ModelError, UsageError
from snnconvert.graph import topological
from snnconvert.load.asked import Asked
from snnconvert.load.external_data import Beside, Neighbours, is_external
from snnconvert.load.functions import inline
from snnconvert.load.wire import count_parts

MAX_BYTES = 2**31 - 1
MAX_NODES = 50_000
MAX_PARTS = 2**21  # fields of all messages in the file
MIN_OPSET = 7
AGAIN = "export the network again, the file is damaged"
SIMPLER = "simplify the network first, such as with onnxsim"
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}
TYPES = FLOATS | {TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.INT8, TensorProto.UINT8}
Array = NDArray[np.generic]


@dataclass(frozen=True)
class OnnxFile:
    """A parsed and validated model: its nodes in topological order, its constants decoded.

    ``sha256`` covers the user's file and the external data that was read; ``files`` are the digests of the file itself
    and of those beside it, by name and algorithm. ``asked`` is what the user says of the file.
    """

    path: Path
    sha256: str
    files: dict[str, dict[str, str]]
    opset: int
    inputs: tuple[onnx.ValueInfoProto, ...]
    outputs: tuple[str, ...]
    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, Array]
    asked: Asked

    def needed(self, output: str) -> tuple[onnx.NodeProto, ...]:
        """Return the nodes that a value needs, in order."""
        read = {output}
        found = []
        for proto in reversed(self.nodes):
            if any(name in read for name in proto.output if name):
                found.append(proto)
                read.update(proto.input)
        return tuple(reversed(found))


def read_bytes(path: Path) -> bytes:
    """Read a regular file of less than 2 GiB.

    Raises:
        UsageError: the path is no readable file (E001).
        ModelError: it is too large (E102).
    """
    try:
        with open(path, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UsageError("E001", f"{path}: not a file", "give the .onnx file itself")
            if found.st_size > MAX_BYTES:
                raise ModelError(
                    "E102",
                    f"{path.name}: {found.st_size} bytes, more than protobuf's 2 GiB",
                    "onnx.save_model(..., save_as_external_data=True) writes the weights beside it",
                )
            return file.read(found.st_size)
    except FileNotFoundError:
        raise UsageError("E001", f"{path}: no such file", _closest(path)) from None
    except IsADirectoryError:
        raise UsageError("E001", f"{path}: not a file", "give the .onnx file itself") from None
    except (OSError, ValueError) as problem:  # ValueError: a path that no system takes
        reason = getattr(problem, "strerror", None) or problem
        raise UsageError("E001", f"{path}: cannot be read ({reason})") from None


def _closest(path: Path) -> str:
    """Return a hint: a file beside it whose name is nearly this one, if there is one."""
    with suppress(OSError):
        close = difflib.get_close_matches(path.name, [each.name for each in path.parent.iterdir()], n=1)
        if close:
            return f"did you mean '{path.parent / close[0]}'?"
    return "the model is the first argument"


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting, as opening a pipe would, for somebody who writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def parse(where: str, content: bytes) -> onnx.ModelProto:
    """Parse the bytes of an ONNX file; nothing is believed of it yet.

    Raises:
        ModelError: they are no ONNX model (E101), one without a graph (E115), or of too many parts (E121).
    """
    if not content:
        raise ModelError("E101", f"{where}: the file is empty", "export the network again")
    broken = ModelError("E101", f"{where}: not an ONNX model", "is it truncated, or another format?")
    model = onnx.ModelProto()
    try:
        if count_parts(content, onnx.ModelProto.DESCRIPTOR, MAX_PARTS) > MAX_PARTS:
            raise ModelError("E121", f"{where}: nodes, names, sizes and so on, more than {MAX_PARTS} in all", SIMPLER)
        model.ParseFromString(content)
    except (DecodeError, ValueError):
        raise broken from None
    if not (model.graph.node or model.graph.output):
        if model.ir_version > 0 and model.opset_import:
            raise ModelError("E115", f"{where}: the model has no graph", AGAIN)
        raise broken
    if model.ir_version < 1:
        raise broken
    if not all(isinstance(name, str) for name in _names(model)):  # protobuf leaves what is no UTF-8 as bytes
        raise broken
    return model


def validate(path: Path, digest: str, model: onnx.ModelProto, asked: Asked, beside: Beside | None = None) -> OnnxFile:
    """Check a model and decode its constants; ``digest`` is that of the user's file. Nothing of ``model`` is kept.

    ``beside`` holds the weights that are not in the model: the files in its folder, where nothing else is given.

    Raises:
        ModelError: it is not sound (E102 to E121).
    """
    where, graph = path.name, model.graph
    opset = _check_header(where, model)
    if graph.sparse_initializer:
        raise ModelError("E112", f"{where}: sparse initializers are not supported", "store the weights densely")
    beside = beside or Neighbours(path.parent)
    constants = _constants(where, graph.initializer, beside)
    given = {*constants, *(value.name for value in graph.input)}
    nodes: Sequence[onnx.NodeProto] = onnx.GraphProto(node=graph.node).node  # a copy, that lets go of the weights
    if model.functions:
        taken = {*given, *(value.name for value in graph.output)}
        nodes = inline(where, nodes, model.functions, opset, taken, MAX_NODES)
    return OnnxFile(
        path,
        beside.digest(digest),
        {path.name: {"sha256": digest}, **beside.files()},
        opset,
        tuple(onnx.GraphProto(input=[value for value in graph.input if value.name not in constants]).input),
        tuple(value.name for value in graph.output),
        _sorted_nodes(where, nodes, given),
        constants,
        asked,
    )


def _names(model: onnx.ModelProto) -> Iterator[object]:
    """Yield every name that the model is read by."""
    for named in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        yield named.name
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        for proto in nodes:
            yield from (proto.name, proto.op_type, proto.domain, proto.overload, *proto.input, *proto.output)
            yield from (attribute.name for attribute in proto.attribute)
    for function in model.functions:
        yield from (function.name, function.domain, function.overload, *function.input, *function.output)


def _check_header(name: str, model: onnx.ModelProto) -> int:
    """Return the opset of the standard domain, or refuse the model."""
    if len(model.graph.node) > MAX_NODES:
        raise ModelError("E121", f"{name}: {len(model.graph.node)} nodes, more than {MAX_NODES}", SIMPLER)
    if not model.graph.output:
        raise ModelError("E115", f"{name}: the graph has no output", AGAIN)
    if model.ir_version > onnx.IR_VERSION:
        raise ModelError(
            "E115", f"{name}: IR version {model.ir_version}, at most {onnx.IR_VERSION} is known", "install a newer onnx"
        )
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx"))
    newest = onnx.defs.onnx_opset_version()
    if opset is None:
        raise ModelError("E115", f"{name}: the model names no opset", AGAIN)
    if not MIN_OPSET <= opset <= newest:
        raise ModelError(
            "E115",
            f"{name}: opset {opset}, supported are {MIN_OPSET} to {newest}",
            "export with opset_version=17" if opset < MIN_OPSET else "install a newer onnx",
        )
    return int(opset)


def _sorted_nodes(where: str, nodes: Sequence[onnx.NodeProto], given: Set[str]) -> tuple[onnx.NodeProto, ...]:
    """Return the nodes so that each stands behind those whose outputs it reads; an order that does so is kept."""
    by_output: dict[str, onnx.NodeProto] = {}
    producers: dict[str, str] = {}  # value -> first output of the node that computes it
    for position, proto in enumerate(nodes):
        if not proto.op_type or not proto.output or not proto.output[0]:
            raise ModelError("E114", f"{where}: node {position} ('{proto.name}') has no operator or no output", AGAIN)
        by_output[proto.output[0]] = proto
        for name in filter(None, proto.output):
            if name in producers or name in given:
                raise ModelError(
                    "E114",
                    f"{where}: two nodes compute '{name}'"
                    if name in producers
                    else f"{where}: a node computes '{name}', which is an input or a weight",
                    AGAIN,
                )
            producers[name] = proto.output[0]
    try:
        order = topological(
            by_output, lambda name: [producers[value] for value in by_output[name].input if value in producers]
        )
    except ModelError as problem:
        raise ModelError(problem.code, f"{where}: {problem.message}", AGAIN) from None
    return tuple(by_output[name] for name in order)


def _constants(where: str, tensors: Sequence[TensorProto], beside: Beside) -> dict[str, Array]:
    """Decode every weight, those beside the file too, when together they are not too large."""
    constants: dict[str, Array] = {}
    total = sum(map(claimed_bytes, tensors))
    if any(map(is_external, tensors)) and total > MAX_BYTES:
        raise ModelError(
            "E102", f"{where}: {total} bytes of weights with its external data, more than {MAX_BYTES}", AGAIN
        )
    for tensor in tensors:
        if tensor.name in constants:
            raise ModelError("E114", f"{where}: two initializers are named '{tensor.name}'", AGAIN)
        constants[tensor.name] = decode(tensor, where, tensor.name, beside)
    return constants


def decode(tensor: TensorProto, where: str, name: str, beside: Beside | None = None) -> Array:
    """Turn a tensor into an array, after comparing what it claims with what it holds.

    Raises:
        ModelError: external data that cannot be read (E110, E111; without ``beside`` none can), a wrong type or
            size (E112), NaN or infinity (E113).
    """
    what = f"{where}: tensor '{name}'"
    if tensor.data_type not in TYPES:
        known = tensor.data_type in TensorProto.DataType.values()
        kind = TensorProto.DataType.Name(tensor.data_type) if known else str(tensor.data_type)
        raise ModelError("E112", f"{what} has the unsupported type {kind}", "export in float32")
    if any(size < 0 for size in tensor.dims):
        raise ModelError("E112", f"{what} has a negative dimension", AGAIN)
    count = math.prod(tensor.dims)
    if count == 0 and tensor.data_type in FLOATS and len(tensor.dims) != 1:  # a list may be: Resize's unused "roi"
        raise ModelError("E112", f"{what} is empty, of shape {tuple(tensor.dims)}", AGAIN)
    try:
        array = _content(tensor, what, count, beside)
    except (ValueError, OverflowError, TypeError) as problem:  # 65 axes, numbers that the type cannot hold
        raise ModelError("E112", f"{what} cannot be decoded ({problem})", AGAIN) from None
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        index = tuple(int(axis) for axis in np.argwhere(~np.isfinite(array))[0])
        raise ModelError(
            "E113", f"{what} holds {array[index]} at {index}", "training diverged, or the export went wrong"
        )
    return array


def _content(tensor: TensorProto, what: str, count: int, beside: Beside | None) -> Array:
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if tensor.HasField("segment"):
        raise ModelError("E112", f"{what} is one segment of a tensor", "store the weights whole")
    if is_external(tensor):
        if beside is None:
            raise ModelError("E110", f"{what} is stored outside the file", "save the model with all weights inside")
        return np.frombuffer(beside.read(tensor, what, count * dtype.itemsize), dtype).reshape(tensor.dims)
    if tensor.HasField("raw_data"):
        raw = tensor.raw_data
        _require_held(tensor, what, len(raw), count * dtype.itemsize)
        return np.frombuffer(raw, dtype).reshape(tensor.dims)
    if tensor.data_type == TensorProto.FLOAT:
        _require_held(tensor, what, len(tensor.float_data), count)
        # numpy_helper makes a list of it first, of 32 bytes a number
        return np.fromiter(tensor.float_data, np.float32, count).reshape(tensor.dims)
    field = {TensorProto.DOUBLE: tensor.double_data, TensorProto.INT64: tensor.int64_data}
    _require_held(tensor, what, len(field.get(tensor.data_type, tensor.int32_data)), count)
    return np.asarray(numpy_helper.to_array(tensor))


def _require_held(tensor: TensorProto, what: str, held: int, expected: int) -> None:
    if held != expected:
        raise ModelError(
            "E112", f"{what} of shape {tuple(tensor.dims)}: expected {expected} of data, got {held}", AGAIN
        )


def claimed_bytes(tensor: TensorProto) -> int:
    """Return how many bytes a tensor says it has; 0 where it is of no type or size that is taken."""
    if tensor.data_type not in TYPES or min(tensor.dims, default=0) < 0:
        return 0
    size: int = math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return size
