"""Shape arithmetic: evaluates, in numpy, the nodes of a model that do not depend on the sample.

Exporters write Shape/Gather/Concat chains around reshapes and pads; they fold away here, under a limit on their size.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.onnx_node import Array, TooLarge
from snnconvert.registry import Registry

MAX_ELEMENTS = 2**24  # of a constant that is computed, where no input of it is larger

FOLDERS: Registry[Callable[[OnnxNode], Array]] = Registry("constant ONNX operator")


def fold(node: OnnxNode) -> Array | None:
    """Return the value of a node whose inputs are constant, or None where it cannot be told here."""
    folder = FOLDERS.get(node.op_type)
    if folder is None:
        return None
    with np.errstate(all="ignore"):  # what comes out is checked where it is used
        value = np.asarray(folder(node))
    _require_room(node, value.shape)
    return value


def _require_room(node: OnnxNode, shape: Sequence[int]) -> None:
    """Refuse to compute a constant of this shape where it is larger than both the limit and every input."""
    limit = max(MAX_ELEMENTS, *(value.size for value in node.constants if value is not None), 0)
    if math.prod(shape) > limit:
        raise TooLarge(f"a constant of shape {tuple(shape)} is computed, more than {limit} elements")


def _axis(node: OnnxNode, value: Array, name: str = "axis", default: int = 0) -> int:
    axis = node.integer(name, default)
    if not -value.ndim <= axis < max(value.ndim, 1):
        raise Unsupported(f"axis {axis} of a constant with {value.ndim} axes")
    return axis


@FOLDERS.register("ConstantOfShape")
def _constant_of_shape(node: OnnxNode) -> Array:
    shape = [int(size) for size in np.atleast_1d(node.constant(0))]
    if any(size < 0 for size in shape):
        raise Unsupported(f"a constant of shape {tuple(shape)}")
    _require_room(node, shape)
    value = node.attributes.get("value", np.zeros(1, np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise Unsupported("a value that is not a single number")
    return np.full(shape, value.reshape(-1)[0])


@FOLDERS.register("Gather")
def _gather(node: OnnxNode) -> Array:
    value, index = node.constant(0), node.constant(1)
    axis = _axis(node, value)
    if value.ndim == 0 or np.any(index >= value.shape[axis]) or np.any(index < -value.shape[axis]):
        raise Unsupported("an index out of range")
    _require_room(node, (*value.shape[:axis], *index.shape, *value.shape[axis % value.ndim + 1 :]))
    return np.asarray(np.take(value, index.astype(np.int64), axis=axis))


@FOLDERS.register("Concat")
def _concat(node: OnnxNode) -> Array:
    values = [node.constant(index) for index in range(len(node.inputs))]
    _require_room(node, (sum(value.size for value in values),))
    return np.concatenate(values, axis=_axis(node, values[0]))


@FOLDERS.register("Cast")
def _cast(node: OnnxNode) -> Array:
    types = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}
    target = types.get(node.integer("to", 0))
    if target is None:
        raise Unsupported(f"a cast to type {node.integer('to', 0)}")
    return node.constant(0).astype(target)


@FOLDERS.register("Reshape")
def _reshape(node: OnnxNode) -> Array:
    value = node.constant(0)
    target = node.integers("shape", index=1)
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
    lowest = -(2**62)  # exporters write "to the beginning" of a negative step as the smallest integer
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, None if step < 0 and end < lowest else end, step)
    return value[tuple(index)]


@FOLDERS.register("Range")
def _range(node: OnnxNode) -> Array:
    start, limit, delta = (node.constant(index).reshape(()).item() for index in range(3))
    if delta == 0:
        raise Unsupported("a range without end")
    _require_room(node, (max(math.ceil((limit - start) / delta), 0),))
    return np.arange(start, limit, delta).astype(node.constant(0).dtype)


@FOLDERS.register("Expand")
def _expand(node: OnnxNode) -> Array:
    shape = np.broadcast_shapes(node.constant(0).shape, node.integers("shape", index=1))
    _require_room(node, shape)
    return np.broadcast_to(node.constant(0), shape)


@FOLDERS.register("Tile")
def _tile(node: OnnxNode) -> Array:
    value, repeats = node.constant(0), node.integers("repeats", index=1)
    if len(repeats) != value.ndim or any(count < 0 for count in repeats):
        raise Unsupported(f"repeats {repeats} of a constant with {value.ndim} axes")
    _require_room(node, [size * count for size, count in zip(value.shape, repeats, strict=True)])
    return np.tile(value, repeats)


@FOLDERS.register("Where")
def _where(node: OnnxNode) -> Array:
    condition, left, right = (node.constant(index) for index in range(3))
    _require_room(node, np.broadcast_shapes(condition.shape, left.shape, right.shape))
    return np.where(condition.astype(bool), left, right)


@FOLDERS.register("CastLike")
def _cast_like(node: OnnxNode) -> Array:
    return node.constant(0).astype(node.constant(1).dtype)


@FOLDERS.register("Flatten")
def _flatten(node: OnnxNode) -> Array:
    value, axis = node.constant(0), node.integer("axis", 1)
    return value.reshape(math.prod(value.shape[: axis % (value.ndim + 1)]), -1)


@FOLDERS.register("Size")
def _size(node: OnnxNode) -> Array:
    return np.asarray(node.constant(0).size, np.int64)


@FOLDERS.register("Identity")
def _identity(node: OnnxNode) -> Array:
    return node.constant(0)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[OnnxNode], Array]:
    def folder(node: OnnxNode) -> Array:
        left, right = node.constant(0), node.constant(1)
        _require_room(node, np.broadcast_shapes(left.shape, right.shape))
        return np.asarray(function(left, right))

    return folder


def _reduction(function: Callable[..., Any]) -> Callable[[OnnxNode], Array]:
    def folder(node: OnnxNode) -> Array:
        value, axes = node.constant(0), node.integers("axes", (), index=1)
        if not axes and node.flag("noop_with_empty_axes", False):
            return value
        result = function(value, axis=axes or None, keepdims=node.flag("keepdims", True))
        return np.asarray(result).astype(value.dtype)

    return folder


def _norm(value: Any, **settings: Any) -> Any:
    return np.sqrt(np.square(value).sum(**settings))


def _divide(left: Any, right: Any) -> Any:
    if bool(np.any(right == 0)):
        raise Unsupported("division by zero")
    if left.dtype.kind == "i" and bool(np.any((left == np.iinfo(left.dtype).min) & (right == -1))):
        raise Unsupported("the smallest integer divided by -1")  # a processor stops there
    if left.dtype.kind in "iu":  # ONNX divides integers towards zero
        return np.trunc(left.astype(np.float64) / right.astype(np.float64)).astype(left.dtype)
    return left / right


def _remainder(left: Any, right: Any) -> Any:
    if bool(np.any((right == 0) | (right == -1))):
        raise Unsupported("the remainder of a division by 0 or -1")
    return np.mod(left, right)


def _elementwise(function: Callable[[Any], Any]) -> Callable[[OnnxNode], Array]:
    return lambda node: np.asarray(function(node.constant(0)))


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Mod": _remainder,
    "Pow": np.power,
    "Min": np.minimum,
    "Max": np.maximum,
    "Equal": np.equal,
    "Less": np.less,
    "Greater": np.greater,
    "And": np.logical_and,
    "Or": np.logical_or,
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
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceMax": np.max,
    "ReduceL2": _norm,
}
for _name, _function in BINARY.items():
    FOLDERS.register(_name)(_binary(_function))
for _name, _unary in UNARY.items():
    FOLDERS.register(_name)(_elementwise(_unary))
for _name, _reduce in REDUCTIONS.items():
    FOLDERS.register(_name)(_reduction(_reduce))
