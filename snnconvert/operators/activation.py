"""Rectifiers: ``y = max(x, 0)``, or ``min(max(x, 0), ceiling)`` (ReLU6, Clip). They become layers of neurons.

A neuron fires at most once a step, so its largest rate is the ceiling by itself: clipping is saturation.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snnconvert.graph import OnnxWriter, Operator, Role, Shape
from snnconvert.operators.onnx_node import READERS, OnnxNode, Reading, Unsupported


@dataclass(frozen=True, eq=False)
class ReLU(Operator):
    """``ceiling`` (of a sample's rank, broadcasting) is None for a plain ReLU."""

    ceiling: Tensor | None = None

    role = Role.ACTIVATION

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        return inputs[0]

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        rectified = torch.relu(inputs[0])
        return rectified if self.ceiling is None else torch.minimum(rectified, self.ceiling)

    def scaled_by(self, factor: Tensor) -> "ReLU":
        """Return g with ``g(factor * x) = factor * f(x)``, for a positive factor."""
        return self if self.ceiling is None else ReLU((self.ceiling.double() * factor).float())

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        if self.ceiling is None:
            writer.node("Relu", [inputs[0]], output)
            return
        rectified = writer.node("Relu", [inputs[0]], writer.fresh(f"{output}.relu"))
        writer.node("Min", [rectified, writer.constant(f"{output}.ceiling", self.ceiling)], output)


@READERS.register("Relu")
def read_relu(node: OnnxNode) -> Reading:
    """Read Relu."""
    return Reading(ReLU(), (node.data()[0],))


@READERS.register("Clip")
def read_clip(node: OnnxNode) -> Reading:
    """Read Clip from zero to a positive ceiling (ReLU6), or without one (ReLU)."""
    name, shape = node.data()

    def bound(attribute: str, index: int, default: float) -> float:
        value = node.optional(index)
        if value is None:
            return node.number(attribute, default)
        if value.size != 1:
            raise Unsupported(f"a bound of shape {value.shape}")
        return float(np.asarray(value).reshape(-1)[0])

    low, high = bound("min", 1, -math.inf), bound("max", 2, math.inf)
    if low != 0:
        raise Unsupported(f"it clips at {low:g} from below; only 0 is a rectifier", "use ReLU or ReLU6")
    if math.isinf(high) or high >= float(np.finfo(np.float32).max):
        return Reading(ReLU(), (name,))
    if not high > 0:
        raise Unsupported(f"it clips at {high:g} from above; it must be positive")
    return Reading(ReLU(torch.full((1,) * len(shape), high)), (name,))


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    yield ReLU(), [(4, 5, 6)]
    yield ReLU(torch.full((1, 1, 1), 0.5)), [(4, 5, 6)]
