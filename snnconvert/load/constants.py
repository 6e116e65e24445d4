"""Shape arithmetic: evaluates, in numpy, the nodes of a model that do not depend on the sample.

Exporters write Shape/Gather/Concat chains around reshapes and pads; they fold away here, under a limit on their size.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.onnx_node import Array, TooLarge, cut
from snnconvert.registry import Registry

MAX_ELEMENTS = 2**24  # of a constant that is computed, where no input of it is larger
MAX_BYTES = 2**30  # of one constant
EXACT = 2.0**53  # beyond it float64, in which runtimes compute powers of integers, has gaps

FOLDERS: Registry[Callable[[OnnxNode], Array]] = Registry("constant ONNX operator")


class Inexact(Unsupported):
    """What is computed depends on who computes it: an overflow, or lost digits."""

    code = "E117"


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
    return _as_type(node.constant(0), np.dtype(target))


def _as_type(value: Array, target: np.dtype[Any]) -> Array:
    if value.size * target.itemsize > MAX_BYTES:
        raise TooLarge(f"a constant of {value.size * target.itemsize} bytes is computed")
    if value.dtype.kind == "f" and target.kind in "iu":
        limits = np.iinfo(target)
        whole = np.trunc(value.astype(np.float64))
        # the largest integers are no floats: the next float is one too many
        if not bool(np.all((whole >= float(limits.min)) & (whole < float(limits.max) + 1))):
            raise Inexact(f"a cast to {target} of a number that it does not have")
    return value.astype(target)


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
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        taken = cut(start, end, step, value.shape[axis])
        index[axis] = slice(taken.start, None if taken.stop < 0 else taken.stop, step)
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
    return _as_type(node.constant(0), node.constant(1).dtype)


@FOLDERS.register("Flatten")
def _flatten(node: OnnxNode) -> Array:
    value, axis = node.constant(0), node.integer("axis", 1)
    if not -value.ndim <= axis <= value.ndim:
        raise Unsupported(f"axis {axis} of a constant with {value.ndim} axes")
    first = axis + value.ndim if axis < 0 else axis
    return value.reshape(math.prod(value.shape[:first]), math.prod(value.shape[first:]))


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
        every = () if node.flag("noop_with_empty_axes", False) else tuple(range(value.ndim))
        chosen = axes or every
        if 0 in [value.shape[axis] for axis in chosen]:
            raise Unsupported("it reduces an axis without elements")
        settings = {"axis": chosen, "keepdims": node.flag("keepdims", True)}
        if value.dtype.kind in "iu":
            _require_exact(function(value.astype(np.float64), **settings), value.dtype)
        return np.asarray(function(value, **settings)).astype(value.dtype)

    return folder


def _norm(value: Any, **settings: Any) -> Any:
    return np.sqrt(np.square(value if value.dtype.kind == "f" else value.astype(np.float64)).sum(**settings))


def _mean(value: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    if value.dtype.kind == "f":
        return np.mean(value, axis=axis, keepdims=keepdims)
    _require_exact(np.sum(value, axis=axis, dtype=np.float64), np.dtype(np.int64))
    count = np.asarray(math.prod(value.shape[each] for each in axis), value.dtype)
    return _divide(np.sum(value, axis=axis, keepdims=keepdims, dtype=value.dtype), count)


def _divide(left: Any, right: Any) -> Any:
    if bool(np.any(right == 0)):
        raise Unsupported("division by zero")
    if left.dtype.kind == "i" and bool(np.any((left == np.iinfo(left.dtype).min) & (right == -1))):
        raise Unsupported("the smallest integer divided by -1")  # a processor stops there
    if left.dtype.kind in "iu":  # ONNX divides integers towards zero
        below = (left % right != 0) & ((left < 0) != (right < 0))
        return left // right + below.astype(left.dtype)
    return left / right


def _require_exact(found: Any, kind: np.dtype[Any]) -> None:
    """Refuse a result that integers of a type, or float64 on the way to them, cannot hold."""
    if not bool(np.all(np.abs(found) < min(EXACT, 2.0 ** (8 * kind.itemsize - 1)))):
        raise Inexact(f"a number that {kind} cannot hold exactly")


@FOLDERS.register("Mod")
def _mod(node: OnnxNode) -> Array:
    left, right = node.constant(0), node.constant(1)
    _require_room(node, np.broadcast_shapes(left.shape, right.shape))
    if bool(np.any((right == 0) | (right == -1))):
        raise Unsupported("the remainder of a division by 0 or -1")
    truncated = node.flag("fmod", False)
    if left.dtype.kind == "f" and not truncated:
        raise Unsupported("fmod = 0 of floats, which ONNX does not define")
    return np.asarray(np.fmod(left, right) if truncated else np.mod(left, right))


@FOLDERS.register("Pow")
def _pow(node: OnnxNode) -> Array:
    base, exponent = node.constant(0), node.constant(1)
    _require_room(node, np.broadcast_shapes(base.shape, exponent.shape))
    if base.dtype.kind == "f":
        return np.asarray(np.power(base, exponent.astype(base.dtype)))
    found = np.power(base.astype(np.float64), exponent.astype(np.float64))
    _require_exact(found, base.dtype)
    return found.astype(base.dtype)


def _largest(function: Callable[[Any, Any], Any]) -> Callable[[OnnxNode], Array]:
    """Return the folder of an operator that takes any number of inputs."""

    def folder(node: OnnxNode) -> Array:
        values = [node.constant(index) for index in range(len(node.inputs))]
        _require_room(node, np.broadcast_shapes(*(value.shape for value in values)))
        return np.asarray(functools.reduce(function, values))

    return folder


def _elementwise(function: Callable[[Any], Any]) -> Callable[[OnnxNode], Array]:
    return lambda node: np.asarray(function(node.constant(0)))


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Equal": np.equal,
    "Less": np.less,
    "Greater": np.greater,
    "And": np.logical_and,
    "Or": np.logical_or,
}
VARIADIC: dict[str, Callable[[Any, Any], Any]] = {"Min": np.minimum, "Max": np.maximum}
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
    "ReduceMean": _mean,
    "ReduceMin": np.min,
    "ReduceMax": np.max,
    "ReduceL2": _norm,
}
for _name, _function in BINARY.items():
    FOLDERS.register(_name)(_binary(_function))
for _name, _function in VARIADIC.items():
    FOLDERS.register(_name)(_largest(_function))
for _name, _unary in UNARY.items():
    FOLDERS.register(_name)(_elementwise(_unary))
for _name, _reduce in REDUCTIONS.items():
    FOLDERS.register(_name)(_reduction(_reduce))
