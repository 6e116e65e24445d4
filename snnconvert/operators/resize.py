"""Resizing along axes of space: nearest takes elements by index, linear mixes them, ``y = M x`` with fixed M."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.graph import IncompatibleScale, OnnxWriter, Operator, Role, Shape
from snnconvert.operators.onnx_node import MAX_ELEMENTS, READERS, OnnxNode, Reading, TooLarge, Unsupported, composed
from snnconvert.operators.reshape import Identity
from snnconvert.operators.take import Take
from snnconvert.operators.window import MAX_SIZE

MODES = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "align_corners", "asymmetric")
MAX_MATRIX = 2**24  # elements: an axis of 4,096 that keeps its size
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Interpolate(Operator):
    """``matrix`` ``(to, from)`` applied along ``axis``."""

    axis: int
    matrix: Tensor

    role = Role.LINEAR

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        if self.axis >= len(shape) or shape[self.axis] != self.matrix.shape[1]:
            raise ValueError(f"expects {self.matrix.shape[1]} elements along axis {self.axis} of a sample {shape}")
        return (*shape[: self.axis], self.matrix.shape[0], *shape[self.axis + 1 :])

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return (inputs[0].movedim(self.axis + 1, -1) @ self.matrix.T.to(inputs[0])).movedim(-1, self.axis + 1)

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        if scales[0].shape[self.axis] != 1:
            raise IncompatibleScale
        return scales[0]

    def work(self, inputs: Sequence[Shape]) -> int:
        return math.prod(self.infer_shape(inputs)) * self.matrix.shape[1]

    def structure(self) -> "Interpolate":
        return Interpolate(self.axis, (self.matrix != 0).to(self.matrix.dtype))

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        order = [axis for axis in range(len(shapes[0]) + 1) if axis != self.axis + 1] + [self.axis + 1]
        last = order == sorted(order)
        moved = (
            inputs[0] if last else writer.node("Transpose", [inputs[0]], writer.fresh(f"{output}.moved"), perm=order)
        )
        matrix = writer.constant(f"{output}.matrix", self.matrix.T.contiguous())
        product = writer.node("MatMul", [moved, matrix], output if last else writer.fresh(f"{output}.product"))
        if not last:
            writer.node("Transpose", [product], output, perm=[order.index(axis) for axis in range(len(order))])


def _places(mode: str, size: int, target: int, scale: np.float32) -> Floats:
    """Return where in the input each element of the output lies (the formulas of ONNX Resize), in float32."""
    x, half = np.arange(target, dtype=np.float32), np.float32(0.5)
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        return x * np.float32(size - 1) / np.float32(target - 1) if target > 1 else x
    if mode == "pytorch_half_pixel" and target == 1:
        return x
    centred = (x + half) / scale - half
    if mode == "half_pixel_symmetric":
        shift = np.float32(size / 2) * (1 - np.float32(target) / (scale * np.float32(size)))
        return np.asarray(centred + shift, np.float32)
    return np.asarray(centred, np.float32)


def _nearest(rule: str, places: Floats, size: int, shrinks: bool) -> tuple[int, ...]:
    rules: dict[str, Callable[[Floats], Floats]] = {
        "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
        "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
        "floor": np.floor,
        "ceil": np.ceil,
        "simple": np.ceil if shrinks else np.trunc,  # what opset 10 meant
    }
    if rule not in rules:
        raise Unsupported(f"nearest_mode '{rule}'")
    return tuple(int(each) for each in np.clip(rules[rule](places), 0, size - 1))


def _linear(places: Floats, size: int) -> Tensor:
    clamped = np.clip(places, 0, size - 1)
    below = np.floor(clamped).astype(np.int64)
    share = clamped - below
    matrix = np.zeros((len(places), size), np.float32)
    np.add.at(matrix, (np.arange(len(places)), below), 1 - share)
    np.add.at(matrix, (np.arange(len(places)), np.minimum(below + 1, size - 1)), share)
    return torch.from_numpy(matrix)


def _targets(node: OnnxNode, shape: Shape) -> list[tuple[int, int, np.float32]]:
    """Return (axis, size, scale) for each axis of the sample that changes."""
    rank = len(shape) + 1
    older = node.op_type == "Upsample" or node.opset < 11
    factors = node.optional(1 if older else 2)
    if factors is None and older:
        value = node.attributes.get("scales")
        factors = None if not isinstance(value, list) else np.asarray(value, np.float32)
    sizes = None if older else node.optional(3)
    given = factors if factors is not None and factors.size else sizes
    axes = node.integers("axes", tuple(range(rank)))
    if given is None or given.ndim != 1 or len(given) != len(axes) or not all(-rank <= axis < rank for axis in axes):
        raise Unsupported("neither scales nor sizes for its axes")
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("keep_aspect_ratio_policy", "export with sizes or scales of every axis")
    source, found = (node.batch, *shape), []
    for axis, value in zip((axis % rank for axis in axes), given.tolist(), strict=True):
        scale = np.float32(value) if given is not sizes else np.float32(value) / np.float32(source[axis])
        if not np.isfinite(scale) or scale <= 0:
            raise Unsupported(f"scale {scale:g} of axis {axis}")
        if axis == 0 and scale != 1:
            raise Unsupported("it resizes the batch")
        target = int(value) if given is sizes else int(np.floor(np.float32(source[axis]) * scale))
        if axis > 0 and (target != source[axis] or scale != 1):
            found.append((axis - 1, target, scale))
    return found


@READERS.register("Resize")
@READERS.register("Upsample")
def read_resize(node: OnnxNode) -> Reading:
    """Read Resize and Upsample: nearest as a move of elements, linear as a linear operator.

    Restrictions: constant scales or sizes; no cubic mode, no cropping, antialias only where it changes nothing.
    """
    name, shape = node.data()
    older = node.op_type == "Upsample" or node.opset < 11
    mode = node.text("mode", "nearest")
    if mode not in ("nearest", "linear"):
        raise Unsupported(f"mode '{mode}'; nearest and linear are supported")
    places_by = "asymmetric" if older else node.text("coordinate_transformation_mode", "half_pixel")
    if places_by not in MODES:
        raise Unsupported(f"coordinate_transformation_mode '{places_by}'")
    rule = "simple" if older else node.text("nearest_mode", "round_prefer_floor")
    steps: list[Operator] = []
    elements = math.prod(shape)
    for axis, target, scale in _targets(node, shape):
        size = shape[axis]
        elements = elements // size * target
        if elements > MAX_ELEMENTS:
            raise TooLarge(f"it makes a sample of more than {MAX_ELEMENTS} elements")
        if target > MAX_SIZE or (mode == "linear" and target * size > MAX_MATRIX):
            raise TooLarge(f"it makes {target} elements of {size} along axis {axis + 1}")
        if target < 1:
            raise Unsupported(f"axis {axis + 1} of size {size} becomes empty")
        if mode == "linear" and node.flag("antialias", False) and scale < 1:
            raise Unsupported("antialias = 1", "export with antialias = 0")
        places = _places(places_by, size, target, scale)
        taken = mode == "nearest"
        steps.append(
            Take(axis, _nearest(rule, places, size, bool(scale < 1)))
            if taken
            else Interpolate(axis, _linear(places, size))
        )
    return composed(name, *steps) if steps else Reading(Identity(), (name,))


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    matrix = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.25, 0.75]])
    yield Interpolate(1, matrix), [(4, 3, 5)]
    yield Interpolate(2, matrix), [(4, 5, 3)]
