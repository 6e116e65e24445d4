"""Operators that join the elements along axes of a constant."""

from collections.abc import Callable
from typing import Any

import numpy as np

from snnconvert.load.constants.folder import FOLDERS, as_whole_numbers, finite, require_exact, require_room
from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.onnx_node import Array


def _reduction(function: Callable[..., Any]) -> Callable[[OnnxNode], Array]:
    def folder(node: OnnxNode) -> Array:
        value, axes = node.constant(0), node.integers("axes", (), index=1)
        if value.dtype.kind != "f":
            require_room(node, value.shape, np.float64)  # in which it may be computed
        over = axes if axes or node.flag("noop_with_empty_axes", False) else tuple(range(value.ndim))
        return np.asarray(function(value, axis=over, keepdims=node.flag("keepdims", True)))

    return folder


def _computed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a reduction that is computed in float64 for whole numbers, as ONNX Runtime does; or refused, if lost."""

    def reduced(value: Any, **settings: Any) -> Any:
        if value.dtype.kind == "f":
            finite(np.asarray(function(np.abs(value), **settings)))  # or the order decides whether it overflows
            return finite(np.asarray(function(value, **settings)))
        wide = value.astype(np.float64)
        require_exact(function(np.abs(wide), **settings))  # nor are digits lost on the way
        return as_whole_numbers(function(wide, **settings), value.dtype)

    return reduced


def _mean(value: Any, **settings: Any) -> Any:
    if value.size == 0:
        raise Unsupported("the mean of nothing")
    return np.mean(value, **settings)


def _norm(value: Any, **settings: Any) -> Any:
    return np.sqrt(np.square(value).sum(**settings))


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceProd": _computed(np.prod),
    "ReduceSum": _computed(np.sum),
    "ReduceMean": _computed(_mean),
    "ReduceMin": np.min,
    "ReduceMax": np.max,
    "ReduceL2": _computed(_norm),
}
for _name, _reduce in REDUCTIONS.items():
    FOLDERS.register(_name)(_reduction(_reduce))
