"""Operators that move the elements of a constant, or make as many as they are told."""

import math

import numpy as np

from snnconvert.load.constants.folder import FOLDERS, require_room
from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.onnx_node import Array, cut


@FOLDERS.register("ConstantOfShape")
def _constant_of_shape(node: OnnxNode) -> Array:
    shape = [int(size) for size in np.atleast_1d(node.constant(0))]
    if any(size < 0 for size in shape):
        raise Unsupported(f"a constant of shape {tuple(shape)}")
    value = node.attributes.get("value", np.zeros(1, np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise Unsupported("a value that is not a single number")
    require_room(node, shape, value.dtype)
    return np.full(shape, value.reshape(-1)[0])


@FOLDERS.register("Gather")
def _gather(node: OnnxNode) -> Array:
    value, index = node.constant(0), node.constant(1)
    axis = _axis(node, value)
    if value.ndim == 0 or np.any(index >= value.shape[axis]) or np.any(index < -value.shape[axis]):
        raise Unsupported("an index out of range")
    require_room(node, (*value.shape[:axis], *index.shape, *value.shape[axis % value.ndim + 1 :]), value.dtype)
    return np.asarray(np.take(value, index.astype(np.int64), axis=axis))


@FOLDERS.register("Concat")
def _concat(node: OnnxNode) -> Array:
    values = [node.constant(index) for index in range(len(node.inputs))]
    require_room(node, (sum(value.size for value in values),), values[0].dtype)
    return np.concatenate(values, axis=_axis(node, values[0]))


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


@FOLDERS.register("Expand")
def _expand(node: OnnxNode) -> Array:
    shape = np.broadcast_shapes(node.constant(0).shape, node.integers("shape", index=1))
    require_room(node, shape, node.constant(0).dtype)
    return np.broadcast_to(node.constant(0), shape)


@FOLDERS.register("Tile")
def _tile(node: OnnxNode) -> Array:
    value, repeats = node.constant(0), node.integers("repeats", index=1)
    if len(repeats) != value.ndim or any(count < 0 for count in repeats):
        raise Unsupported(f"repeats {repeats} of a constant with {value.ndim} axes")
    require_room(node, [size * count for size, count in zip(value.shape, repeats, strict=True)], value.dtype)
    return np.tile(value, repeats)


@FOLDERS.register("Where")
def _where(node: OnnxNode) -> Array:
    condition, left, right = (node.constant(index) for index in range(3))
    require_room(node, np.broadcast_shapes(condition.shape, left.shape, right.shape), left.dtype)
    return np.where(condition, left, right)


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


def _axis(node: OnnxNode, value: Array) -> int:
    axis = node.integer("axis", 0)
    if not -value.ndim <= axis < max(value.ndim, 1):
        raise Unsupported(f"axis {axis} of a constant with {value.ndim} axes")
    return axis
