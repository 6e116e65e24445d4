"""Transposed convolution in one and two dimensions: each input spreads its kernel, ``y = W^T x + b``.

Rescaling: ``W'[i, o] = output_scale[o] * W[i, o] * input_scale[i]``, ``b'[o] = output_scale[o] * b[o] + shift[o]``.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from snnconvert.graph import OnnxWriter, Operator, Role, Shape
from snnconvert.operators.convolution import biased, per_channel, read_bias, read_groups, rescaled_bias, write_biased
from snnconvert.operators.onnx_node import MAX_ELEMENTS, READERS, OnnxNode, Reading, TooLarge, Unsupported
from snnconvert.operators.window import MAX_SIZE, Window


@dataclass(frozen=True, eq=False)
class TransposedConvolution(Operator):
    """Weights ``(I, O/groups, *kernel)``, bias ``(O,)``, ``(O, *space)`` or None, on samples ``(I, *space)``.

    The window's padding is cut off the output; ``extra`` are rows that are added at its end.
    """

    weight: Tensor
    bias: Tensor | None
    window: Window
    extra: tuple[int, ...]
    groups: int = 1

    role = Role.WEIGHTED
    weights: ClassVar[Mapping[str, int | None]] = {"weight": 1}

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        if len(shape) != self.weight.ndim - 1:
            raise ValueError(f"expects {self.weight.ndim - 1} axes, got {shape}")
        if shape[0] != self.weight.shape[0]:
            raise ValueError(f"expects {self.weight.shape[0]} channels, got {shape[0]}")
        sizes = [
            size - before - after
            for size, before, after in zip(self.spread(shape[1:]), self.window.before, self.window.after, strict=True)
        ]
        if min(sizes) < 1:
            raise ValueError(f"pads {(*self.window.before, *self.window.after)} leave nothing of the output")
        return (self.weight.shape[1] * self.groups, *sizes)

    def spread(self, space: Sequence[int]) -> list[int]:
        """Return the size of the output before padding is cut off."""
        window = self.window
        return [
            s * (size - 1) + d * (k - 1) + 1 + e
            for size, s, d, k, e in zip(space, window.stride, window.dilation, window.kernel, self.extra, strict=True)
        ]

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        x, window = inputs[0], self.window
        function = F.conv_transpose1d if self.weight.ndim == 3 else F.conv_transpose2d
        # torch cuts alike on both sides only: else the whole output, then the cut
        padding, extra = (window.before, self.extra) if window.symmetric else (0, 0)
        y = function(x, self.weight, None, window.stride, padding, extra, self.groups, window.dilation)
        if not window.symmetric:
            for axis, size in enumerate(self.infer_shape([tuple(x.shape[1:])])[1:]):
                y = F.pad(y, [0, 0] * (y.ndim - 3 - axis) + [0, self.extra[axis]])
                y = y.narrow(axis + 2, window.before[axis], size)
        return y if self.bias is None else biased(y, self.bias)

    def rescaled(self, input_scale: Tensor, output_scale: Tensor, output_shift: Tensor) -> "TransposedConvolution":
        inputs, outputs = self.weight.shape[0], self.weight.shape[1] * self.groups
        a = per_channel(input_scale, inputs)
        s = per_channel(output_scale, outputs)
        tail = (1,) * (self.weight.ndim - 2)
        # (groups, I/groups, O/groups, *kernel): each group writes its own slice of the outputs
        weight = self.weight.double() * a.reshape(-1, 1, *tail)
        weight = weight.reshape(self.groups, -1, *self.weight.shape[1:]) * s.reshape(self.groups, 1, -1, *tail)
        bias = rescaled_bias(self.bias, s, output_shift)
        return dataclasses.replace(self, weight=weight.reshape(self.weight.shape).float(), bias=bias)

    def structure(self) -> "TransposedConvolution":
        return dataclasses.replace(self, weight=torch.ones_like(self.weight), bias=None)

    def macs(self, inputs: Sequence[Shape]) -> int:
        return self.weight[0].numel() * math.prod(inputs[0])

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        names = [inputs[0], writer.constant(f"{output}.weight", self.weight)]
        settings = {**self.window.onnx_settings(), "group": self.groups, "output_padding": list(self.extra)}
        write_biased(writer, "ConvTranspose", names, self.bias, output, **settings)


def _padding(node: OnnxNode, full: Sequence[int], rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what is cut off at both ends: ``pads``, or what ``output_shape`` or ``auto_pad`` leave over."""
    auto = node.text("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise Unsupported(f"auto_pad '{auto}'")
    wanted = node.integers("output_shape", ())
    if auto.startswith("SAME") and not wanted:
        raise Unsupported(f"auto_pad '{auto}'", "export with pads as numbers")
    if wanted:
        if len(wanted) != rank or any(size < 1 or size > whole for size, whole in zip(wanted, full, strict=True)):
            raise Unsupported(f"output_shape {wanted} of at most {tuple(full)}")
        total = [whole - size for whole, size in zip(full, wanted, strict=True)]
        small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        return (large, small) if auto != "SAME_UPPER" else (small, large)
    pads = node.integers("pads", (0,) * (2 * rank)) if auto == "NOTSET" else (0,) * (2 * rank)
    if len(pads) != 2 * rank or not all(0 <= pad <= MAX_SIZE for pad in pads):
        raise Unsupported(f"pads {pads} for {rank} dimensions")
    return pads[:rank], pads[rank:]


@READERS.register("ConvTranspose")
def read_transposed_convolution(node: OnnxNode) -> Reading:
    """Read ConvTranspose as a weighted synapse.

    Restrictions: 1 or 2 axes of space, constant weights; output_padding less than the stride; auto_pad SAME needs
    output_shape.
    """
    name, shape = node.data()
    weight = node.weight(1)
    rank = weight.ndim - 2
    if rank not in (1, 2) or len(shape) != rank + 1:
        raise Unsupported(f"weights of shape {weight.shape} on a sample of shape {shape}; 1 or 2 axes of space")
    groups, kernel, one = read_groups(node, weight), weight.shape[2:], (1,) * rank
    stride, dilation = node.integers("strides", one), node.integers("dilations", one)
    extra = node.integers("output_padding", (0,) * rank)
    if not len(stride) == len(dilation) == len(extra) == rank:
        raise Unsupported(f"strides {stride}, dilations {dilation}, output_padding {extra} for {rank} dimensions")
    if not all(1 <= number <= MAX_SIZE for number in (*stride, *dilation)):
        raise Unsupported(f"strides {stride}, dilations {dilation}: must be at least 1")
    if not all(0 <= e < s for e, s in zip(extra, stride, strict=True)):  # ONNX Runtime's rule
        raise Unsupported(f"output_padding {extra}: must be less than the strides {stride}")
    bias = read_bias(node, weight.shape[1] * groups)
    free = Window(kernel, stride, dilation, (0,) * rank, (0,) * rank)
    full = TransposedConvolution(torch.from_numpy(weight), bias, free, extra, groups).spread(shape[1:])
    if math.prod(full) * weight.shape[1] * groups > MAX_ELEMENTS:
        raise TooLarge(f"it makes a sample of more than {MAX_ELEMENTS} elements")
    window = dataclasses.replace(free, **dict(zip(("before", "after"), _padding(node, full, rank), strict=True)))
    return Reading(TransposedConvolution(torch.from_numpy(weight), bias, window, extra, groups), (name,))


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    make = torch.Generator().manual_seed(4)
    for groups, stride, dilation, pads, extra in [
        (1, 2, 1, ((0, 0), (0, 0)), (0, 0)),
        (2, 2, 1, ((1, 0), (1, 0)), (1, 0)),
        (4, 1, 2, ((1, 0), (0, 1)), (0, 0)),
        (1, 3, 1, ((0, 0), (2, 1)), (2, 0)),
    ]:
        weight = torch.randn((4, 8 // groups, 3, 2), generator=make)
        window = Window((3, 2), (stride, stride), (dilation, dilation), *pads)
        yield TransposedConvolution(weight, torch.randn(8, generator=make), window, extra, groups), [(4, 5, 6)]
    line = Window((4,), (2,), (1,), (1,), (1,))
    yield TransposedConvolution(torch.randn((3, 2, 4), generator=make), None, line, (0,)), [(3, 7)]
