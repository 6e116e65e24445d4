"""Operators that give a constant another type: casts, and the whole numbers that a quantiser stores."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from snnconvert.load.constants.folder import FOLDERS, as_whole_numbers, finite, require_room
from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.onnx_node import Array

TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}


@FOLDERS.register("Cast")
def _cast(node: OnnxNode) -> Array:
    target = TYPES.get(node.integer("to", 0))
    if target is None:
        raise Unsupported(f"a cast to type {node.integer('to', 0)}")
    return _converted(node, target)


@FOLDERS.register("CastLike")
def _cast_like(node: OnnxNode) -> Array:
    return _converted(node, node.constant(1).dtype)


def _converted(node: OnnxNode, dtype: DTypeLike) -> Array:
    value = node.constant(0)
    require_room(node, value.shape, dtype)
    if value.dtype.kind == "f" and np.dtype(dtype).kind in "iu":
        return as_whole_numbers(value, dtype)
    return finite(value.astype(dtype))


@FOLDERS.register("QuantizeLinear")
def _quantize(node: OnnxNode) -> Array:
    value: Any = node.constant(0)
    zero: Any = node.constant(2, np.zeros(node.constant(1).shape, np.uint8))
    if zero.dtype.kind not in "iu" or node.integer("output_dtype", 0) or value.dtype.kind != "f":
        raise Unsupported(f"{value.dtype} to {zero.dtype}, or another type", "quantise weights to int8 or uint8")
    scale, offset = _along_axis(node, node.constant(1)), _along_axis(node, zero)
    levels, limits = finite(np.rint(value / scale) + offset.astype(value.dtype)), np.iinfo(zero.dtype)
    return np.clip(levels, limits.min, limits.max).astype(zero.dtype)


@FOLDERS.register("DequantizeLinear")
def _dequantize(node: OnnxNode) -> Array:
    """Return ``(x - zero point) * scale``, weights that a quantiser stored as whole numbers."""
    value, scale = node.constant(0), node.constant(1)
    zero = node.constant(2, np.zeros(scale.shape, value.dtype))
    require_room(node, value.shape, np.int64)
    levels = value.astype(np.int64) - _along_axis(node, zero).astype(np.int64)
    return finite(levels.astype(scale.dtype) * _along_axis(node, scale))


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
