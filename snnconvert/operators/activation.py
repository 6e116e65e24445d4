"""Rectifiers: ``y = max(x, 0)``, or ``min(max(x, 0), ceiling)`` (ReLU6, Clip). They become layers of neurons.

A neuron that fires at most once a step keeps a ceiling by itself, where its scale is at most the ceiling.
Functions that are made of rectifiers (PReLU, clipping between other bounds, absolute values) are read as such.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snnconvert.graph import Node, OnnxWriter, Operator, Role, Shape
from snnconvert.operators.affine import Affine, negated, sample_constant
from snnconvert.operators.onnx_node import READERS, OnnxNode, Reading, Unsupported, composed
from snnconvert.operators.reshape import Identity
from snnconvert.operators.sum import Sum
from snnconvert.operators.take import together

FAR = 100.0  # of a bound: what it clips is rather a mistake than an activation


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


def ceiling_of(node: Node) -> Tensor | None:
    """Return the ceiling of an activation, None where it has none."""
    return node.operator.ceiling if isinstance(node.operator, ReLU) else None


@READERS.register("Relu")
def read_relu(node: OnnxNode) -> Reading:
    """Read Relu as a layer of neurons."""
    return Reading(ReLU(), (node.data()[0],))


def clipped(name: str | Reading, rank: int, low: float, high: float) -> Reading:
    """Read ``min(max(x, low), high)`` as a rectifier between shifts; without bounds it is the identity.

    ``low + min(max(x - low, 0), high - low)``, and without ``low``: ``high - max(high - x, 0)``. Bounds so far off that
    few values reach them would leave nothing of the values: ``x + max(low - x, 0) - max(x - high, 0)``.
    """
    one = torch.ones((1,) * rank, dtype=torch.float64)
    if math.isinf(low) and math.isinf(high):
        return Reading(Affine.of(one), (name,))
    if low <= -FAR and (high >= FAR or low > -math.inf):
        parts: list[str | Reading] = [name]
        if low > -math.inf:
            parts.append(composed(name, Affine.of(-one, low * one), ReLU()))
        if high < math.inf:
            parts.append(composed(name, Affine.of(one, -high * one), ReLU(), Affine.of(-one)))
        return Reading(Sum(), tuple(parts))
    if math.isinf(low):
        return composed(name, Affine.of(-one, high * one), ReLU(), Affine.of(-one, high * one))
    rectifier = ReLU(None if math.isinf(high) else ((high - low) * one).float())
    if low == 0:
        return Reading(rectifier, (name,))
    return composed(name, Affine.of(one, -low * one), rectifier, Affine.of(one, low * one))


@READERS.register("Clip")
def read_clip(node: OnnxNode) -> Reading:
    """Read Clip as a layer of neurons: ReLU6 as it is, other bounds (Hardtanh) as a rectifier between shifts.

    Restrictions: bounds are constant numbers, the lower one less than the upper one.
    """
    name, shape = node.data()

    def bound(attribute: str, index: int, default: float) -> float:
        value = node.optional(index)
        if value is None:
            return node.number(attribute, default)
        if value.size != 1:
            raise Unsupported(f"a bound of shape {value.shape}")
        return float(np.asarray(value).reshape(-1)[0])

    low, high = bound("min", 1, -math.inf), bound("max", 2, math.inf)
    largest = float(np.finfo(np.float32).max)
    low, high = (-math.inf if low <= -largest else low), (math.inf if high >= largest else high)
    if not low < high:
        raise Unsupported(f"it clips to {low:g} from below and to {high:g} from above")
    return clipped(name, len(shape), low, high)


@READERS.register("HardSigmoid")
def read_hard_sigmoid(node: OnnxNode) -> Reading:
    """Read HardSigmoid as a layer of neurons behind a shift, ``min(max(alpha x + beta, 0), 1)``."""
    name, shape = node.data()
    one = torch.ones((1,) * len(shape), dtype=torch.float64)
    line = Affine.of(node.number("alpha", 0.2) * one, node.number("beta", 0.5) * one)
    return composed(name, line, ReLU(one.float()))


@READERS.register("Max")
@READERS.register("Min")
def read_extremum(node: OnnxNode) -> Reading:
    """Read Max and Min as layers of neurons: ``max(a, b) = a + max(b - a, 0)``, ``min(a, b) = a - max(a - b, 0)``.

    Restrictions: of values, one layer for each beyond the first, and of constants that are one number.
    """
    values, shape = together(node)
    largest = node.op_type == "Max"
    found = values[0]
    for value in values[1:]:
        ahead, behind = (value, found) if largest else (found, value)
        above = Reading(ReLU(), (Reading(Sum(), (ahead, negated(behind, shape))),))
        found = Reading(Sum(), (found, above if largest else negated(above, shape)))
    bounds = [node.weight(index) for index, each in enumerate(node.shapes) if each is None]
    for bound in bounds:
        if bound.size != 1 or bound.ndim > len(shape) + 1:
            raise Unsupported(f"with a constant of shape {bound.shape}; one number is supported")
    if bounds:
        numbers = [float(bound.reshape(-1)[0]) for bound in bounds]
        return clipped(found, len(shape), *((max(numbers), math.inf) if largest else (-math.inf, min(numbers))))
    return Reading(Identity(), (found,)) if isinstance(found, str) else found


def two_sided(name: str, slope: Tensor) -> Reading:
    """Read ``max(x, 0) - slope * max(-x, 0)``: two opposed populations of neurons, one a sign."""
    one = torch.ones((1,) * slope.ndim, dtype=torch.float64)
    negative = composed(name, Affine.of(-one), ReLU(), Affine.of(-slope))
    return Reading(Sum(), (Reading(ReLU(), (name,)), negative))


@READERS.register("LeakyRelu")
def read_leaky_relu(node: OnnxNode) -> Reading:
    """Read LeakyRelu as two opposed layers of neurons, one for each sign."""
    name, shape = node.data()
    alpha = node.number("alpha", 0.01)
    return two_sided(name, torch.full((1,) * len(shape), alpha, dtype=torch.float64))


@READERS.register("PRelu")
def read_prelu(node: OnnxNode) -> Reading:
    """Read PRelu as two opposed layers of neurons, one for each sign.

    Restrictions: constant slopes.
    """
    name, shape = node.data()
    return two_sided(name, sample_constant(node, 1, shape))


@READERS.register("Abs")
def read_abs(node: OnnxNode) -> Reading:
    """Read Abs as two layers of neurons, ``max(x, 0) + max(-x, 0)``."""
    name, shape = node.data()
    return two_sided(name, torch.full((1,) * len(shape), -1.0, dtype=torch.float64))


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    yield ReLU(), [(4, 5, 6)]
    yield ReLU(torch.full((1, 1, 1), 0.5)), [(4, 5, 6)]
