"""Opens an ONNX file and checks, before any tool runs on it, that it is what it says.

A model file is an attacker's file: sizes are compared before memory is asked for, and nothing outside it is read.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from snnconvert.errors import ModelError, UsageError
from snnconvert.graph import topological

MAX_BYTES = 2**31 - 1
MAX_NODES = 50_000
MIN_OPSET = 7
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}
TYPES = FLOATS | {TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.INT8, TensorProto.UINT8}
Array = NDArray[np.generic]


@dataclass(frozen=True)
class OnnxFile:
    """A parsed and validated model: its nodes in topological order, its constants decoded."""

    path: Path
    sha256: str
    model: onnx.ModelProto
    opset: int
    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, Array]

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
    """Read a regular file of at most 2 GiB.

    Raises:
        UsageError: the path is no readable file (E001).
        ModelError: it is too large (E102).
    """
    try:
        if not path.exists():
            raise UsageError("E001", f"{path}: no such file", "the model is the first argument")
        if not path.is_file():
            raise UsageError("E001", f"{path}: not a file", "give the .onnx file itself")
        if path.stat().st_size > MAX_BYTES:
            raise ModelError("E102", f"{path.name}: {path.stat().st_size} bytes, more than protobuf's 2 GiB")
        return path.read_bytes()
    except OSError as problem:
        raise UsageError("E001", f"{path}: cannot be read ({problem.strerror or problem})") from None


def open_onnx(path: Path) -> OnnxFile:
    """Read, parse and validate an ONNX file.

    Raises:
        UsageError: the path is no readable file.
        ModelError: the content is not a sound ONNX model (E101 to E115).
    """
    content = read_bytes(path)
    broken = ModelError("E101", f"{path.name}: not an ONNX model", "is it truncated, or another format?")
    if not content:
        raise ModelError("E101", f"{path.name}: the file is empty", "export the network again")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise broken from None
    if not model.HasField("graph") or model.ir_version < 1 or not (model.graph.node or model.graph.output):
        raise broken
    if not all(isinstance(name, str) for name in _names(model.graph)):  # protobuf leaves what is no UTF-8 as bytes
        raise broken
    opset = _check_header(path.name, model)
    constants = {}
    for tensor in model.graph.initializer:
        if tensor.name in constants:
            raise ModelError("E114", f"{path.name}: two initializers are named '{tensor.name}'")
        constants[tensor.name] = decode(tensor, path.name, tensor.name)
    if model.graph.sparse_initializer:
        raise ModelError("E112", f"{path.name}: sparse initializers are not supported", "store the weights densely")
    given = {*constants, *(value.name for value in model.graph.input)}
    nodes = _sorted_nodes(path.name, model.graph.node, given)
    return OnnxFile(path, hashlib.sha256(content).hexdigest(), model, opset, nodes, constants)


def _names(graph: onnx.GraphProto) -> Iterator[object]:
    """Yield every name that the model is read by."""
    for named in (*graph.input, *graph.output, *graph.initializer):
        yield named.name
    for proto in graph.node:
        yield from (proto.name, proto.op_type, proto.domain, *proto.input, *proto.output)
        yield from (attribute.name for attribute in proto.attribute)


def _sorted_nodes(where: str, nodes: Sequence[onnx.NodeProto], given: Set[str]) -> tuple[onnx.NodeProto, ...]:
    """Return the nodes so that each stands behind those whose outputs it reads; an order that does so is kept."""
    by_output: dict[str, onnx.NodeProto] = {}
    producers: dict[str, str] = {}  # value -> first output of the node that computes it
    for position, proto in enumerate(nodes):
        if not proto.op_type or not proto.output or not proto.output[0]:
            raise ModelError("E114", f"{where}: node {position} ('{proto.name}') has no operator or no output")
        by_output[proto.output[0]] = proto
        for name in filter(None, proto.output):
            if name in producers or name in given:
                raise ModelError(
                    "E114",
                    f"{where}: two nodes compute '{name}'"
                    if name in producers
                    else f"{where}: a node computes '{name}', which is an input or a weight",
                )
            producers[name] = proto.output[0]
    try:
        order = topological(
            by_output, lambda name: [producers[value] for value in by_output[name].input if value in producers]
        )
    except ModelError as problem:
        raise ModelError(problem.code, f"{where}: {problem.message}") from None
    return tuple(by_output[name] for name in order)


def _check_header(name: str, model: onnx.ModelProto) -> int:
    """Return the opset of the standard domain, or refuse the model."""
    if len(model.graph.node) > MAX_NODES:
        raise ModelError("E121", f"{name}: {len(model.graph.node)} nodes, more than {MAX_NODES}")
    if not model.graph.output:
        raise ModelError("E115", f"{name}: the graph has no output", "export the network again")
    if model.ir_version > onnx.IR_VERSION:
        raise ModelError(
            "E115", f"{name}: IR version {model.ir_version}, at most {onnx.IR_VERSION} is known", "install a newer onnx"
        )
    if model.functions:
        raise ModelError(
            "E120",
            f"{name}: the model defines functions of its own ('{model.functions[0].name}')",
            "export it with its functions inlined (onnx.inliner.inline_local_functions)",
        )
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx"))
    newest = onnx.defs.onnx_opset_version()
    if opset is None:
        raise ModelError("E115", f"{name}: the model names no opset")
    if not MIN_OPSET <= opset <= newest:
        raise ModelError(
            "E115",
            f"{name}: opset {opset}, supported are {MIN_OPSET} to {newest}",
            "export with opset_version=17" if opset < MIN_OPSET else "install a newer onnx",
        )
    return int(opset)


def decode(tensor: TensorProto, where: str, name: str) -> Array:
    """Turn a tensor into an array, after comparing what it claims with what it holds.

    Raises:
        ModelError: external data (E110), a wrong type or size (E112), NaN or infinity (E113).
    """
    what = f"{where}: tensor '{name}'"
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ModelError("E110", f"{what} is stored outside the file", "save the model with all weights inside")
    if tensor.data_type not in TYPES:
        raise ModelError("E112", f"{what} has the unsupported type {tensor.data_type}", "export in float32")
    if any(size < 0 for size in tensor.dims):
        raise ModelError("E112", f"{what} has a negative dimension")
    count = math.prod(tensor.dims)
    if count == 0 and tensor.data_type in FLOATS:
        raise ModelError("E112", f"{what} is empty, of shape {tuple(tensor.dims)}")
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if tensor.HasField("raw_data"):
        held, expected = len(tensor.raw_data), count * dtype.itemsize
    else:
        field = {
            TensorProto.FLOAT: tensor.float_data,
            TensorProto.DOUBLE: tensor.double_data,
            TensorProto.INT64: tensor.int64_data,
        }.get(tensor.data_type, tensor.int32_data)
        held, expected = len(field), count
    if held != expected:
        raise ModelError("E112", f"{what} of shape {tuple(tensor.dims)}: expected {expected} of data, got {held}")
    try:
        array: Array = numpy_helper.to_array(tensor)
    except (ValueError, OverflowError, TypeError) as problem:  # 65 axes, segments, numbers that the type cannot hold
        raise ModelError("E112", f"{what} cannot be decoded ({problem})") from None
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        index = tuple(int(axis) for axis in np.argwhere(~np.isfinite(array))[0])
        raise ModelError(
            "E113", f"{what} holds {array[index]} at {index}", "training diverged, or the export went wrong"
        )
    return array
