"""Fully connected layers: ``y = W x + b`` over the last axis of a sample (Gemm, MatMul).

Rescaling: ``W'[o, i] = output_scale[o] * W[o, i] * input_scale[i]``, ``b'[o] = output_scale[o] * b[o] + shift[o]``.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from snnconvert.graph import IncompatibleScale, OnnxWriter, Operator, Role, Shape
from snnconvert.operators.onnx_node import READERS, OnnxNode, Reading, Unsupported


def per_feature(scale: Tensor, features: int) -> Tensor:
    """Return the scale as a vector over the last axis, or raise IncompatibleScale where it varies elsewhere."""
    if any(size != 1 for size in scale.shape[:-1]):
        raise IncompatibleScale
    return scale.reshape(-1).expand(features)


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """Weights ``(O, I)``, bias ``(O,)`` or None, on samples ``(..., I)``."""

    weight: Tensor
    bias: Tensor | None

    role = Role.WEIGHTED
    weights: ClassVar[Mapping[str, int | None]] = {"weight": 0}

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        if not shape or shape[-1] != self.weight.shape[1]:
            raise ValueError(f"expects {self.weight.shape[1]} features, got shape {shape}")
        return (*shape[:-1], self.weight.shape[0])

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return F.linear(inputs[0], self.weight, self.bias)

    def rescaled(self, input_scale: Tensor, output_scale: Tensor, output_shift: Tensor) -> "Linear":
        a = per_feature(input_scale, self.weight.shape[1])
        s = per_feature(output_scale, self.weight.shape[0])
        c = per_feature(output_shift, self.weight.shape[0])
        weight = s[:, None] * self.weight.double() * a[None, :]
        bias = c if self.bias is None else s * self.bias.double() + c
        zero = self.bias is None and not bool(bias.any())
        return dataclasses.replace(self, weight=weight.float(), bias=None if zero else bias.float())

    def regression(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x.reshape(len(x), -1, 1, x.shape[-1]), y.reshape(len(y), -1, 1, y.shape[-1])

    def shifted(self, weight: Tensor, bias: Tensor) -> "Linear":
        before = torch.zeros_like(bias) if self.bias is None else self.bias
        return Linear(self.weight + weight[0], before + bias)

    def structure(self) -> "Linear":
        return Linear(torch.ones_like(self.weight), None)

    def macs(self, inputs: Sequence[Shape]) -> int:
        return self.weight.numel() * math.prod(inputs[0][:-1])

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        if len(shapes[0]) == 1:
            names = [inputs[0], writer.constant(f"{output}.weight", self.weight)]
            if self.bias is not None:
                names.append(writer.constant(f"{output}.bias", self.bias))
            writer.node("Gemm", names, output, transB=1)
            return
        weight = writer.constant(f"{output}.weight", self.weight.T.contiguous())
        if self.bias is None:
            writer.node("MatMul", [inputs[0], weight], output)
            return
        product = writer.node("MatMul", [inputs[0], weight], writer.fresh(f"{output}.product"))
        writer.node("Add", [product, writer.constant(f"{output}.bias", self.bias)], output)


@READERS.register("Gemm")
def read_gemm(node: OnnxNode) -> Reading:
    """Read Gemm, ``alpha * x W + beta * C``, as a weighted synapse.

    Restrictions: constant W and C; no transA.
    """
    name, shape = node.data()
    if node.flag("transA", False):
        raise Unsupported("transA mixes the samples of a batch")
    weight = node.weight(1)
    if weight.ndim != 2 or len(shape) != 1:
        raise Unsupported(f"inputs of rank {len(shape) + 1} and {weight.ndim}; both must have rank 2")
    weight = (weight if node.flag("transB", False) else weight.T) * np.float32(node.number("alpha", 1.0))
    bias = None
    if node.optional(2) is not None:
        added = node.weight(2) * np.float32(node.number("beta", 1.0))
        if added.ndim == 2 and added.shape[0] != 1:
            raise Unsupported(f"C of shape {added.shape} differs from sample to sample")
        if added.size not in (1, weight.shape[0]):
            raise Unsupported(f"C of shape {added.shape} for {weight.shape[0]} outputs")
        bias = torch.from_numpy(np.broadcast_to(added.reshape(-1), (weight.shape[0],)).copy())
    return Reading(Linear(torch.from_numpy(np.ascontiguousarray(weight)), bias), (name,))


@READERS.register("MatMul")
def read_matmul(node: OnnxNode) -> Reading:
    """Read MatMul as a weighted synapse on the last axis.

    Restrictions: the second operand is a constant matrix.
    """
    name, shape = node.data()
    weight = node.weight(1)
    if weight.ndim != 2 or not shape:
        raise Unsupported(f"a constant of shape {weight.shape}; a matrix is supported")
    return Reading(Linear(torch.from_numpy(np.ascontiguousarray(weight.T)), None), (name,))


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    make = torch.Generator().manual_seed(2)
    yield Linear(torch.randn((5, 7), generator=make), torch.randn(5, generator=make)), [(7,)]
    yield Linear(torch.randn((5, 7), generator=make), None), [(7,)]
    yield Linear(torch.randn((5, 7), generator=make), torch.randn(5, generator=make)), [(3, 7)]
