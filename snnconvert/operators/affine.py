"""Affine maps element by element: ``y = scale * x + shift`` (batch normalisation, arithmetic with constants).

Batch normalisation: ``scale = gamma / sqrt(variance + epsilon)``, ``shift = beta - scale * mean``.
Rescaling: ``scale' = output_scale * scale * input_scale``, ``shift' = output_scale * shift + output_shift``.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from snnconvert.graph import OnnxWriter, Operator, Role, Shape, compact, scale_of
from snnconvert.operators.onnx_node import READERS, OnnxNode, Reading, Unsupported
from snnconvert.operators.reshape import Identity
from snnconvert.operators.sum import Sum
from snnconvert.operators.take import together


@dataclass(frozen=True, eq=False)
class Affine(Operator):
    """``scale`` and ``shift`` have the rank of a sample and broadcast to its shape."""

    scale: Tensor
    shift: Tensor

    role = Role.WEIGHTED
    weights: ClassVar[Mapping[str, int | None]] = {"scale": None}

    @classmethod
    def of(cls, scale: Tensor, shift: Tensor | None = None) -> "Affine":
        """Build one from scales of any dtype; the parameters are kept as small as they can be."""
        shift = torch.zeros_like(scale) if shift is None else shift
        return cls(compact(scale).float(), compact(shift).float())

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        for parameter in (self.scale, self.shift):
            fits = parameter.ndim == len(shape) and all(
                p in (1, s) for p, s in zip(parameter.shape, shape, strict=True)
            )
            if not fits:
                raise ValueError(f"parameters of shape {tuple(parameter.shape)} for a sample of shape {shape}")
        return shape

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        scaled = inputs[0] * self.scale
        return scaled + self.shift if self._shifts else scaled

    @cached_property
    def _shifts(self) -> bool:
        return bool(self.shift.any())

    def rescaled(self, input_scale: Tensor, output_scale: Tensor, output_shift: Tensor) -> "Affine":
        scale = output_scale * self.scale.double() * input_scale
        return Affine.of(scale, output_scale * self.shift.double() + output_shift)

    def structure(self) -> "Affine":
        return Affine(torch.ones_like(self.scale), torch.zeros_like(self.shift))

    def macs(self, inputs: Sequence[Shape]) -> int:
        return math.prod(inputs[0]) if bool((self.scale != 1).any()) else 0

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        shifted = bool(self.shift.any())
        scaled = writer.fresh(f"{output}.scaled") if shifted else output
        writer.node("Mul", [inputs[0], writer.constant(f"{output}.scale", self.scale)], scaled)
        if shifted:
            writer.node("Add", [scaled, writer.constant(f"{output}.shift", self.shift)], output)


@READERS.register("BatchNormalization")
def read_batch_normalization(node: OnnxNode) -> Reading:
    """Read BatchNormalization as an affine map, which folds into weights where that is exact.

    Restrictions: inference mode; where it cannot fold it stays, as one weight and bias a channel.
    """
    name, shape = node.data()
    if node.flag("training_mode", False) or node.outputs > 1:  # before opset 14, more outputs meant training
        raise Unsupported("training_mode = 1 uses the statistics of the batch", "export the network in eval mode")
    if not shape:
        raise Unsupported("a sample without channels")
    gamma, beta, mean, variance = (node.weight(index).astype(np.float64).reshape(-1) for index in range(1, 5))
    if len({gamma.size, beta.size, mean.size, variance.size, shape[0]}) != 1:
        raise Unsupported(f"parameters of size {gamma.size} for {shape[0]} channels")
    if bool((variance < 0).any()):
        raise Unsupported("a negative variance")
    scale = gamma / np.sqrt(variance + node.number("epsilon", 1e-5))
    if not np.isfinite(scale).all():
        raise Unsupported("variance + epsilon is zero")
    shift = beta - scale * mean
    rank = len(shape)
    return Reading(
        Affine.of(scale_of(torch.from_numpy(scale), 0, rank), scale_of(torch.from_numpy(shift), 0, rank)), (name,)
    )


def sample_constant(node: OnnxNode, index: int, shape: Shape) -> Tensor:
    """Return a constant operand as a float64 tensor of the sample's rank (its batch axis must have size 1)."""
    value = node.weight(index).astype(np.float64)
    if value.ndim > len(shape):
        if value.ndim > len(shape) + 1 or value.shape[0] != 1:
            raise Unsupported(f"a constant of shape {value.shape} with samples of shape {shape}")
        value = value[0]
    value = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
    if any(v not in (1, s) for v, s in zip(value.shape, shape, strict=True)):
        raise Unsupported(
            f"a constant of shape {value.shape} does not fit a sample of shape {shape}, or would spread it"
        )
    return torch.from_numpy(np.ascontiguousarray(value))


def _read_arithmetic(node: OnnxNode, build: Callable[[Tensor, bool], Affine], several: str = "") -> Reading:
    """Read ``x op constant`` or ``constant op x`` (``flipped``)."""
    if len(node.inputs) != 2:
        raise Unsupported(f"{len(node.inputs)} inputs")
    flipped = node.shapes[0] is None
    if None not in node.shapes:
        raise Unsupported(several)
    name, shape = node.data(1 if flipped else 0)
    return Reading(build(sample_constant(node, 0 if flipped else 1, shape), flipped), (name,))


@READERS.register("Add")
@READERS.register("Sum")
def read_add(node: OnnxNode) -> Reading:
    """Read Add and Sum: of values a sum, of a value and a constant a shift.

    Restrictions: values of one rank, whose axes of size 1 are repeated; a constant must not spread the sample.
    """
    if node.op_type == "Add" and len(node.inputs) != 2:
        raise Unsupported(f"{len(node.inputs)} inputs")
    values, shape = together(node)
    constants = [sample_constant(node, index, shape) for index, each in enumerate(node.shapes) if each is None]
    if constants:
        shift = reduce(torch.add, constants)
        added = Reading(Sum(), tuple(values)) if len(values) > 1 else values[0]
        return Reading(Affine.of(torch.ones_like(shift), shift), (added,))
    return Reading(Sum() if len(values) > 1 else Identity(), tuple(values))


@READERS.register("Sub")
def read_sub(node: OnnxNode) -> Reading:
    """Read Sub: of two values a sum with a negative weight, of a value and a constant a shift.

    Restrictions: as Add.
    """
    if len(node.inputs) == 2 and None not in node.shapes:
        (left, right), shape = together(node)
        return Reading(Sum(), (left, negated(right, shape)))

    def build(value: Tensor, flipped: bool) -> Affine:
        one = torch.ones_like(value)
        return Affine.of(-one, value) if flipped else Affine.of(one, -value)

    return _read_arithmetic(node, build)


def negated(value: str | Reading, shape: Shape) -> Reading:
    """Read ``-x``."""
    return Reading(Affine.of(-torch.ones((1,) * len(shape), dtype=torch.float64)), (value,))


@READERS.register("Neg")
def read_neg(node: OnnxNode) -> Reading:
    """Read Neg as an affine map."""
    return negated(*node.data())


@READERS.register("Mul")
def read_mul(node: OnnxNode) -> Reading:
    """Read Mul as an affine map.

    Restrictions: by a constant; the product of two values (gates, attention) has no rate-coded form.
    """
    return _read_arithmetic(
        node, lambda value, _: Affine.of(value), "the product of two values has no rate-coded form (gates, attention)"
    )


@READERS.register("Div")
def read_div(node: OnnxNode) -> Reading:
    """Read Div as an affine map.

    Restrictions: by a constant without zeros.
    """

    def build(value: Tensor, flipped: bool) -> Affine:
        if flipped:
            raise Unsupported("division by a value is not linear")
        if bool((value == 0).any()):
            raise Unsupported("division by zero")
        return Affine.of(1 / value)

    return _read_arithmetic(node, build, "the quotient of two values is not linear")


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    make = torch.Generator().manual_seed(3)
    yield Affine(torch.randn((4, 1, 1), generator=make), torch.randn((4, 1, 1), generator=make)), [(4, 5, 6)]
    yield Affine(torch.randn((1, 1, 1), generator=make), torch.randn((4, 5, 6), generator=make)), [(4, 5, 6)]
    yield Affine(torch.randn((7,), generator=make), torch.zeros(1)), [(7,)]
