"""Operators that compute every element from those that meet it."""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from snnconvert.load.constants.folder import FOLDERS, Lost, as_whole_numbers, finite, require_exact, require_room
from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.onnx_node import Array


@FOLDERS.register("Range")
def _range(node: OnnxNode) -> Array:
    start, limit, delta = (node.constant(index).reshape(()) for index in range(3))
    if delta == 0:
        raise Unsupported("a range without end")
    if start.dtype.kind == "f":
        count = math.ceil(float(np.subtract(limit, start)) / float(delta))
    else:
        count = -((int(start) - int(limit)) // int(delta))
    require_room(node, (max(count, 0),), start.dtype)
    terms = np.full(max(count, 0), delta)  # ONNX Runtime adds it up, with the roundings of that
    terms[:1] = start
    return finite(np.cumsum(terms, dtype=start.dtype))


def _broadcast(function: Callable[[OnnxNode, Any, Any], Any]) -> Callable[[OnnxNode], Array]:
    """Return a folder that joins all inputs, from left to right."""

    def folder(node: OnnxNode) -> Array:
        values = [node.constant(index) for index in range(len(node.inputs))]
        shape = np.broadcast_shapes(*(value.shape for value in values))
        require_room(node, (max(len(values) - 1, 1), *shape), values[0].dtype)  # each step is as large as the last
        return finite(np.asarray(reduce(lambda left, right: function(node, left, right), values)))

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
    require_room(node, np.broadcast_shapes(left.shape, right.shape), np.float64)
    result = np.power(left.astype(np.float64), right.astype(np.float64))
    if left.dtype.kind == "f":
        return result.astype(left.dtype)
    require_exact(result)
    return as_whole_numbers(result, left.dtype)


def _elementwise(function: Callable[[Any], Any]) -> Callable[[OnnxNode], Array]:
    return lambda node: finite(np.asarray(function(node.constant(0))))


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
for _name, _function in BROADCAST.items():
    FOLDERS.register(_name)(_broadcast(_function))
for _name, _unary in UNARY.items():
    FOLDERS.register(_name)(_elementwise(_unary))
