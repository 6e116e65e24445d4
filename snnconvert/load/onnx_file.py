"""Opens an ONNX file and checks, before any tool runs on it, that it is what it says.

A model file is an attacker's file: sizes are compared before memory is asked for, and nothing outside it is read.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from snnconvert.errors import ModelError, UsageError

MAX_BYTES = 2**31 - 1
MAX_NODES = 50_000
MIN_OPSET = 7
TYPES = {
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.BOOL,
    TensorProto.INT8,
    TensorProto.UINT8,
}
Array = NDArray[np.generic]


@dataclass(frozen=True)
class OnnxFile:
    """A parsed and validated model, its constants decoded."""

    path: Path
    sha256: str
    model: onnx.ModelProto
    opset: int
    constants: dict[str, Array]


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
    opset = _check_header(path.name, model)
    constants = {}
    for tensor in model.graph.initializer:
        if tensor.name in constants:
            raise ModelError("E114", f"{path.name}: two initializers are named '{tensor.name}'")
        constants[tensor.name] = decode(tensor, path.name, tensor.name)
    if model.graph.sparse_initializer:
        raise ModelError("E112", f"{path.name}: sparse initializers are not supported", "store the weights densely")
    return OnnxFile(path, hashlib.sha256(content).hexdigest(), model, opset, constants)


def _check_header(name: str, model: onnx.ModelProto) -> int:
    """Return the opset of the standard domain, or refuse the model."""
    if len(model.graph.node) > MAX_NODES:
        raise ModelError("E121", f"{name}: {len(model.graph.node)} nodes, more than {MAX_NODES}")
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
    array: Array = numpy_helper.to_array(tensor)
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        index = tuple(int(axis) for axis in np.argwhere(~np.isfinite(array))[0])
        raise ModelError(
            "E113", f"{what} holds {array[index]} at {index}", "training diverged, or the export went wrong"
        )
    return array
