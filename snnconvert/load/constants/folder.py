"""What a folder of constants is: the registry, and the types, sizes and numbers that all of them are held to."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike

from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.onnx_node import Array, TooLarge
from snnconvert.registry import Registry

MAX_ELEMENTS = 2**24  # of a constant that is computed, where no input of it is larger
MAX_BYTES = 2**30  # of a constant that is computed
EXACT = 2**53  # float64 holds every whole number up to here
SPELLED = {"float32": "float", "float64": "double"}  # where ONNX names a type otherwise than numpy

FOLDERS: Registry[Callable[[OnnxNode], Array]] = Registry("constant ONNX operator")


class Lost(Unsupported):
    """The type of a computed constant does not hold its value."""

    code = "E117"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "check the constants of the network, or export it with those computed already")


def fold(node: OnnxNode) -> Array | None:
    """Return the value of a node whose inputs are constant, or None where it cannot be told here.

    Raises:
        Unsupported: it is not used as ONNX has it, is too large, or its value is lost to an overflow.
    """
    folder = FOLDERS.get(node.op_type)
    if folder is None:
        return None
    _require_types(node)
    with np.errstate(all="ignore"):  # whoever computes new numbers checks them
        value = np.asarray(folder(node))
    require_room(node, value.shape, value.dtype)
    return value


@cache
def _signature(op_type: str, opset: int) -> tuple[range, tuple[tuple[str, frozenset[str]], ...]] | None:
    """Return how many inputs ONNX lets an operator have, and of each the name of its type and what that may be."""
    try:
        schema = onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError:
        return None
    inputs = tuple((each.type_str, frozenset(each.types)) for each in schema.inputs)
    return range(schema.min_input, schema.max_input + 1), inputs


def _require_types(node: OnnxNode) -> None:
    """Refuse inputs that ONNX does not define the operator for; numpy would find some common type."""
    signature = _signature(node.op_type, node.opset)
    if signature is None:
        raise Unsupported(f"there is no such operator in opset {node.opset}", "export with a newer opset")
    counts, inputs = signature
    if len(node.inputs) not in counts:
        raise Unsupported(f"{len(node.inputs)} inputs")
    bound: dict[str, object] = {}
    for position, value in enumerate(node.constants):
        if value is not None:
            name, allowed = inputs[min(position, len(inputs) - 1)]  # the last one may stand for several
            spelled = f"tensor({SPELLED.get(value.dtype.name, value.dtype.name)})"
            if spelled not in allowed or bound.setdefault(name, value.dtype) != value.dtype:
                raise Unsupported(f"input {position} ('{node.inputs[position]}') has type {value.dtype}")


def require_room(node: OnnxNode, shape: Sequence[int], dtype: DTypeLike) -> None:
    """Refuse to compute a constant that is larger than both the limit and every input, or of too many bytes."""
    limit = max(MAX_ELEMENTS, *(value.size for value in node.constants if value is not None), 0)
    if math.prod(shape) > limit:
        raise TooLarge(f"a constant of shape {tuple(shape)} is computed, more than {limit} elements")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MAX_BYTES:
        raise TooLarge(f"a constant of {size} bytes is computed, more than {MAX_BYTES}")


def finite(value: Array) -> Array:
    """Return a computed value, refused where it is NaN or infinite."""
    if value.dtype.kind == "f" and not bool(np.isfinite(value).all()):
        raise Lost("a constant is computed that is NaN or infinite")
    return value


def as_whole_numbers(value: Array, dtype: DTypeLike) -> Array:
    """Convert floats to a type of whole numbers, towards zero; ONNX leaves open what comes of others than it holds."""
    limits, cut = np.iinfo(np.dtype(dtype)), np.trunc(value)
    if not bool(np.all((cut >= float(limits.min)) & (cut < float(limits.max) + 1))):  # powers of two: exact as floats
        raise Lost(f"a number is computed that {limits.dtype} does not hold")
    return cut.astype(dtype)


def require_exact(value: Any) -> None:
    """Refuse whole numbers, computed in float64, that it does not hold."""
    if not bool(np.all(np.abs(value) <= EXACT)):
        raise Lost("a whole number is computed that float64 does not hold")
