"""Shape arithmetic: evaluates, in numpy, the nodes of a model that do not depend on the sample.

Exporters write Shape/Gather/Concat chains around reshapes and pads; they fold away here, under a limit on their size.
A value is the one that ONNX Runtime computes, or there is none: where ONNX leaves open what an overflow gives, the
node is refused.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, reduce
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike

from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.onnx_node import Array, TooLarge, cut
from snnconvert.registry import Registry

MAX_ELEMENTS = 2**24  # of a constant that is computed, where no input of it is larger
MAX_BYTES = 2**30  # of a constant that is computed
EXACT = 2**53  # float64 holds every whole number up to here
TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}
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
    _require_room(node, value.shape, value.dtype)
    return value


def _finite(value: Array) -> Array:
    if value.dtype.kind == "f" and not bool(np.isfinite(value).all()):
        raise Lost("a constant is computed that is NaN or infinite")
    return value


def work(node: OnnxNode, value: Array) -> int:
    """Return how many bytes were written to compute the value of a node, or read where they are more."""
    if node.op_type in REDUCTIONS:
        return node.constant(0).nbytes
    return value.nbytes * (max(len(node.inputs) - 1, 1) if node.op_type in BROADCAST else 1)


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


def _require_room(node: OnnxNode, shape: Sequence[int], dtype: DTypeLike) -> None:
    """Refuse to compute a constant that is larger than both the limit and every input, or of too many bytes."""
    limit = max(MAX_ELEMENTS, *(value.size for value in node.constants if value is not None), 0)
    if math.prod(shape) > limit:
        raise TooLarge(f"a constant of shape {tuple(shape)} is computed, more than {limit} elements")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MAX_BYTES:
        raise TooLarge(f"a constant of {size} bytes is computed, more than {MAX_BYTES}")


def _axis(node: OnnxNode, value: Array) -> int:
    axis = node.integer("axis", 0)
    if not -value.ndim <= axis < max(value.ndim, 1):
        raise Unsupported(f"axis {axis} of a constant with {value.ndim} axes")
    return axis


def _whole(value: Array, dtype: DTypeLike) -> Array:
    """Convert floats to a type of whole numbers, towards zero; ONNX leaves open what comes of others than it holds."""
    limits, cut = np.iinfo(np.dtype(dtype)), np.trunc(value)
    if not bool(np.all((cut >= float(limits.min)) & (cut < float(limits.max) + 1))):  # powers of two: exact as floats
        raise Lost(f"a number is computed that {limits.dtype} does not hold")
    return cut.astype(dtype)


def _converted(node: OnnxNode, dtype: DTypeLike) -> Array:
    value = node.constant(0)
    _require_room(node, value.shape, dtype)
    if value.dtype.kind == "f" and np.dtype(dtype).kind in "iu":
        return _whole(value, dtype)
    return _finite(value.astype(dtype))


@FOLDERS.register("ConstantOfShape")
def _constant_of_shape(node: OnnxNode) -> Array:
    shape = [int(size) for size in np.atleast_1d(node.constant(0))]
    if any(size < 0 for size in shape):
        raise Unsupported(f"a constant of shape {tuple(shape)}")
    value = node.attributes.get("value", np.zeros(1, np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise Unsupported("a value that is not a single number")
    _require_room(node, shape, value.dtype)
    return np.full(shape, value.reshape(-1)[0])


@FOLDERS.register("Gather")
def _gather(node: OnnxNode) -> Array:
    value, index = node.constant(0), node.constant(1)
    axis = _axis(node, value)
    if value.ndim == 0 or np.any(index >= value.shape[axis]) or np.any(index < -value.shape[axis]):
        raise Unsupported("an index out of range")
    _require_room(node, (*value.shape[:axis], *index.shape, *value.shape[axis % value.ndim + 1 :]), value.dtype)
    return np.asarray(np.take(value, index.astype(np.int64), axis=axis))


@FOLDERS.register("Concat")
def _concat(node: OnnxNode) -> Array:
    values = [node.constant(index) for index in range(len(node.inputs))]
    _require_room(node, (sum(value.size for value in values),), values[0].dtype)
    return np.concatenate(values, axis=_axis(node, values[0]))


@FOLDERS.register("Cast")
def _cast(node: OnnxNode) -> Array:
    target = TYPES.get(node.integer("to", 0))
    if target is None:
        raise Unsupported(f"a cast to type {node.integer('to', 0)}")
    return _converted(node, target)


@FOLDERS.register("CastLike")
def _cast_like(node: OnnxNode) -> Array:
    return _converted(node, node.constant(1).dtype)


@FOLDERS.register("Reshape")
def _reshape(node: OnnxNode) -> Array:
    value = node.constant(0)
    target = node.integers("shape", index=1)
    if any(size < -1 for size in target):  # numpy takes them for -1
        raise Unsupported(f"shape {target}")
    if not node.flag("allowzero", False):
        if any(size == 0 and axis >= value.ndim for axis, size in enumerate(target)):
            raise Unsupported(f"shape {target} for a constant with {value.ndim} axes")
        target = tuple(value.shape[axis] if size == 0 else size for axis, size in enumerate(target))
    return value.reshape(target)


@FOLDERS.register("Squeeze")
def _squeeze(node: OnnxNode) -> Array:
    axes = node.integers("axes", (), index=1)
    return np.squeeze(node.constant(0), axis=axes or None)


@FOLDERS.register("Unsqueeze")
def _unsqueeze(node: OnnxNode) -> Array:
    return np.expand_dims(node.constant(0), node.integers("axes", index=1))


@FOLDERS.register("Transpose")
def _transpose(node: OnnxNode) -> Array:
    value = node.constant(0)
    return value.transpose(node.integers("perm", tuple(reversed(range(value.ndim)))))


@FOLDERS.register("Slice")
def _slice(node: OnnxNode) -> Array:
    value = node.constant(0)
    starts, ends = node.integers("starts", index=1), node.integers("ends", index=2)
    axes = node.integers("axes", tuple(range(len(starts))), index=3)
    steps = node.integers("steps", (1,) * len(starts), index=4)
    index = [slice(None)] * value.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        taken = cut(start, end, step, value.shape[axis])
        index[axis] = slice(taken.start, None if taken.stop < 0 else taken.stop, step)
    return value[tuple(index)]


@FOLDERS.register("Range")
def _range(node: OnnxNode) -> Array:
    start, limit, delta = (node.constant(index).reshape(()) for index in range(3))
    if delta == 0:
        raise Unsupported("a range without end")
    if start.dtype.kind == "f":
        count = math.ceil(float(np.subtract(limit, start)) / float(delta))
    else:
        count = -((int(start) - int(limit)) // int(delta))
    _require_room(node, (max(count, 0),), start.dtype)
    terms = np.full(max(count, 0), delta)  # ONNX Runtime adds it up, with the roundings of that
    terms[:1] = start
    return _finite(np.cumsum(terms, dtype=start.dtype))


@FOLDERS.register("Expand")
def _expand(node: OnnxNode) -> Array:
    shape = np.broadcast_shapes(node.constant(0).shape, node.integers("shape", index=1))
    _require_room(node, shape, node.constant(0).dtype)
    return np.broadcast_to(node.constant(0), shape)


@FOLDERS.register("Tile")
def _tile(node: OnnxNode) -> Array:
    value, repeats = node.constant(0), node.integers("repeats", index=1)
    if len(repeats) != value.ndim or any(count < 0 for count in repeats):
        raise Unsupported(f"repeats {repeats} of a constant with {value.ndim} axes")
    _require_room(node, [size * count for size, count in zip(value.shape, repeats, strict=True)], value.dtype)
    return np.tile(value, repeats)


@FOLDERS.register("Where")
def _where(node: OnnxNode) -> Array:
    condition, left, right = (node.constant(index) for index in range(3))
    _require_room(node, np.broadcast_shapes(condition.shape, left.shape, right.shape), left.dtype)
    return np.where(condition, left, right)


@FOLDERS.register("Flatten")
def _flatten(node: OnnxNode) -> Array:
    value, axis = node.constant(0), node.integer("axis", 1)
    if not -value.ndim <= axis <= value.ndim:
        raise Unsupported(f"axis {axis} of a constant with {value.ndim} axes")
    first = axis + value.ndim if axis < 0 else axis
    return value.reshape(math.prod(value.shape[:first]), math.prod(value.shape[first:]))


@FOLDERS.register("QuantizeLinear")
def _quantize(node: OnnxNode) -> Array:
    value: Any = node.constant(0)
    zero: Any = node.constant(2, np.zeros(node.constant(1).shape, np.uint8))
    if zero.dtype.kind not in "iu" or node.integer("output_dtype", 0) or value.dtype.kind != "f":
        raise Unsupported(f"{value.dtype} to {zero.dtype}, or another type", "quantise weights to int8 or uint8")
    scale, offset = _along_axis(node, node.constant(1)), _along_axis(node, zero)
    levels, limits = _finite(np.rint(value / scale) + offset.astype(value.dtype)), np.iinfo(zero.dtype)
    return np.clip(levels, limits.min, limits.max).astype(zero.dtype)


@FOLDERS.register("DequantizeLinear")
def _dequantize(node: OnnxNode) -> Array:
    """Return ``(x - zero point) * scale``, weights that a quantiser stored as whole numbers."""
    value, scale = node.constant(0), node.constant(1)
    zero = node.constant(2, np.zeros(scale.shape, value.dtype))
    _require_room(node, value.shape, np.int64)
    levels = value.astype(np.int64) - _along_axis(node, zero).astype(np.int64)
    return _finite(levels.astype(scale.dtype) * _along_axis(node, scale))


def _along_axis(node: OnnxNode, parameter: Array) -> Any:
    """Return a scale or zero point of a quantiser, shaped so that it meets the axis that it is for."""
    value = node.constant(0)
    if node.integer("block_size", 0):
        raise Unsupported("scales of blocks", "quantise weights by the channel")
    if node.constant(1).size != parameter.size:
        raise Unsupported(f"{node.constant(1).size} scales and {parameter.size} zero points")
    if parameter.size == 1 and parameter.ndim <= 1:
        return parameter.reshape(())
    axis = node.integer("axis", 1)
    if parameter.ndim != 1 or not -value.ndim <= axis < value.ndim or value.shape[axis] != parameter.size:
        raise Unsupported(f"scales of shape {parameter.shape} for axis {axis} of a constant of shape {value.shape}")
    return parameter.reshape([-1 if each == axis % value.ndim else 1 for each in range(value.ndim)])


@FOLDERS.register("Size")
def _size(node: OnnxNode) -> Array:
    return np.asarray(node.constant(0).size, np.int64)


@FOLDERS.register("Identity")
def _identity(node: OnnxNode) -> Array:
    return node.constant(0)


def _broadcast(function: Callable[[OnnxNode, Any, Any], Any]) -> Callable[[OnnxNode], Array]:
    """Return a folder that joins all inputs, from left to right."""

    def folder(node: OnnxNode) -> Array:
        values = [node.constant(index) for index in range(len(node.inputs))]
        shape = np.broadcast_shapes(*(value.shape for value in values))
        _require_room(node, (max(len(values) - 1, 1), *shape), values[0].dtype)  # each step is as large as the last
        return _finite(np.asarray(reduce(lambda left, right: function(node, left, right), values)))

    return folder


def _plain(function: Callable[[Any, Any], Any]) -> Callable[[OnnxNode, Any, Any], Any]:
    return lambda node, left, right: function(left, right)


def _divide(node: OnnxNode, left: Any, right: Any) -> Any:
    _require_divisible(left, right)
    if left.dtype.kind == "f":
        return left / right
    quotient = left // right  # towards minus infinity, and ONNX divides towards zero
    return quotient + ((left % right != 0) & ((left < 0) != (right < 0))).astype(left.dtype)


def _remainder(node: OnnxNode, left: Any, right: Any) -> Any:
    like_c = node.flag("fmod", False)
    if left.dtype.kind == "f" and not like_c:
        raise Unsupported("a remainder of floats without fmod=1")
    _require_divisible(left, right)
    return np.fmod(left, right) if like_c else np.mod(left, right)


def _require_divisible(left: Any, right: Any) -> None:
    if bool(np.any(right == 0)):
        raise Lost("division by zero")
    if left.dtype.kind == "i" and bool(np.any((left == np.iinfo(left.dtype).min) & (right == -1))):
        raise Lost("the smallest integer divided by -1")  # a processor stops there


def _power(node: OnnxNode, left: Any, right: Any) -> Any:
    """Raise to a power; where two types meet, or whole numbers, ONNX Runtime computes in float64."""
    if left.dtype == right.dtype and left.dtype.kind == "f":
        return np.power(left, right)
    _require_room(node, np.broadcast_shapes(left.shape, right.shape), np.float64)
    result = np.power(left.astype(np.float64), right.astype(np.float64))
    if left.dtype.kind == "f":
        return result.astype(left.dtype)
    _require_exact(result)
    return _whole(result, left.dtype)


def _require_exact(value: Any) -> None:
    if not bool(np.all(np.abs(value) <= EXACT)):
        raise Lost("a whole number is computed that float64 does not hold")


def _reduction(function: Callable[..., Any]) -> Callable[[OnnxNode], Array]:
    def folder(node: OnnxNode) -> Array:
        value, axes = node.constant(0), node.integers("axes", (), index=1)
        if value.dtype.kind != "f":
            _require_room(node, value.shape, np.float64)  # in which it may be computed
        over = axes if axes or node.flag("noop_with_empty_axes", False) else tuple(range(value.ndim))
        return np.asarray(function(value, axis=over, keepdims=node.flag("keepdims", True)))

    return folder


def _computed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a reduction that is computed in float64 for whole numbers, as ONNX Runtime does; or refused, if lost."""

    def reduced(value: Any, **settings: Any) -> Any:
        if value.dtype.kind == "f":
            _finite(np.asarray(function(np.abs(value), **settings)))  # or the order decides whether it overflows
            return _finite(np.asarray(function(value, **settings)))
        wide = value.astype(np.float64)
        _require_exact(function(np.abs(wide), **settings))  # nor are digits lost on the way
        return _whole(function(wide, **settings), value.dtype)

    return reduced


def _mean(value: Any, **settings: Any) -> Any:
    if value.size == 0:
        raise Unsupported("the mean of nothing")
    return np.mean(value, **settings)


def _norm(value: Any, **settings: Any) -> Any:
    return np.sqrt(np.square(value).sum(**settings))


def _elementwise(function: Callable[[Any], Any]) -> Callable[[OnnxNode], Array]:
    return lambda node: _finite(np.asarray(function(node.constant(0))))


BROADCAST: dict[str, Callable[[OnnxNode, Any, Any], Any]] = {
    "Add": _plain(np.add),
    "Sub": _plain(np.subtract),
    "Mul": _plain(np.multiply),
    "Div": _divide,
    "Mod": _remainder,
    "Pow": _power,
    "Min": _plain(np.minimum),
    "Max": _plain(np.maximum),
    "Equal": _plain(np.equal),
    "Less": _plain(np.less),
    "Greater": _plain(np.greater),
    "And": _plain(np.logical_and),
    "Or": _plain(np.logical_or),
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.round,
    "Neg": np.negative,
    "Abs": np.absolute,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Exp": np.exp,
    "Not": np.logical_not,
}
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceProd": _computed(np.prod),
    "ReduceSum": _computed(np.sum),
    "ReduceMean": _computed(_mean),
    "ReduceMin": np.min,
    "ReduceMax": np.max,
    "ReduceL2": _computed(_norm),
}
for _name, _function in BROADCAST.items():
    FOLDERS.register(_name)(_broadcast(_function))
for _name, _unary in UNARY.items():
    FOLDERS.register(_name)(_elementwise(_unary))
for _name, _reduce in REDUCTIONS.items():
    FOLDERS.register(_name)(_reduction(_reduce))
