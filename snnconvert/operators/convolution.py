"""Convolution in one and two dimensions: ``y[o] = sum_i W[o, i] * x[i] + b[o]``, with groups, stride and dilation.

Rescaling: ``W'[o, i] = output_scale[o] * W[o, i] * input_scale[i]``, ``b'[o] = output_scale[o] * b[o] + shift[o]``.
The shift, and with it the bias, may differ from place to place: behind zero padding, a constant that was added to the
input reaches the border with fewer weights.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own documentation calls it so
from torch import Tensor

from snnconvert.graph import IncompatibleScale, OnnxWriter, Operator, Role, Shape
from snnconvert.operators.onnx_node import READERS, Array, OnnxNode, Reading, Unsupported
from snnconvert.operators.window import Window, read_window


def per_channel(scale: Tensor, channels: int) -> Tensor:
    """Return the scale as a vector ``(channels,)``, or raise IncompatibleScale where it varies within a channel."""
    if any(size != 1 for size in scale.shape[1:]):
        raise IncompatibleScale
    return scale.reshape(-1).expand(channels)


def rescaled_bias(bias: Tensor | None, scale: Tensor, shift: Tensor) -> Tensor | None:
    """Return ``scale * bias + shift`` for ``scale`` ``(O,)``: one number a channel ``(O,)``, or ``(O, *space)``."""
    tail = (1,) * (shift.ndim - 1)
    total = shift.expand(scale.numel(), *shift.shape[1:])
    if bias is not None:
        total = total + scale.reshape(-1, *tail) * bias.double().reshape(-1, *(bias.shape[1:] or tail))
    elif not bool(total.any()):
        return None
    varies = any(size != 1 for size in total.shape[1:])
    return (total if varies else total.reshape(-1)).float()


def biased(y: Tensor, bias: Tensor) -> Tensor:
    """Add a bias ``(O,)`` or ``(O, *space)`` to a batch."""
    return y + (bias if bias.ndim > 1 else bias.reshape(-1, *[1] * (y.ndim - 2)))


def write_biased(
    writer: OnnxWriter, op_type: str, names: list[str], bias: Tensor | None, output: str, **settings: Any
) -> None:
    """Write a convolution of ``names`` with its bias: its own input, or added where it differs from place to place."""
    if bias is not None and bias.ndim > 1:
        plain = writer.node(op_type, names, writer.fresh(f"{output}.plain"), **settings)
        writer.node("Add", [plain, writer.constant(f"{output}.bias", bias)], output)
        return
    inputs = names if bias is None else [*names, writer.constant(f"{output}.bias", bias)]
    writer.node(op_type, inputs, output, **settings)


@dataclass(frozen=True, eq=False)
class Convolution(Operator):
    """Weights ``(O, I/groups, *kernel)``, bias ``(O,)``, ``(O, *space)`` or None, on samples ``(I, *space)``."""

    weight: Tensor
    bias: Tensor | None
    window: Window
    groups: int = 1

    role = Role.WEIGHTED
    weights: ClassVar[Mapping[str, int | None]] = {"weight": 0}

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        rank = self.weight.ndim - 2
        if len(shape) != rank + 1:
            raise ValueError(f"expects {rank + 1} axes (channels and {rank} of space), got {shape}")
        if shape[0] != self.weight.shape[1] * self.groups:
            raise ValueError(f"expects {self.weight.shape[1] * self.groups} channels, got {shape[0]}")
        return (self.weight.shape[0], *self.window.output_size(shape[1:]))

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        x, padding = self.window.padded(inputs[0])
        function = F.conv1d if self.weight.ndim == 3 else F.conv2d
        own = self.bias if self.bias is None or self.bias.ndim == 1 else None
        y = function(x, self.weight, own, self.window.stride, padding, self.window.dilation, self.groups)
        return y if own is self.bias or self.bias is None else biased(y, self.bias)

    def rescaled(self, input_scale: Tensor, output_scale: Tensor, output_shift: Tensor) -> "Convolution":
        outputs, inputs = self.weight.shape[0], self.weight.shape[1] * self.groups
        a = per_channel(input_scale, inputs)
        s = per_channel(output_scale, outputs)
        tail = (1,) * (self.weight.ndim - 2)
        # (groups, O/groups, I/groups, *kernel): each group reads its own slice of the inputs
        weight = self.weight.double().reshape(self.groups, -1, *self.weight.shape[1:])
        weight = weight * a.reshape(self.groups, 1, -1, *tail)
        weight = weight.reshape(self.weight.shape) * s.reshape(-1, 1, *tail)
        return dataclasses.replace(self, weight=weight.float(), bias=rescaled_bias(self.bias, s, output_shift))

    def regression(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        line = self.weight.ndim == 3
        x, padding = self.window.padded(x)
        kernel, stride, dilation = self.window.kernel, self.window.stride, self.window.dilation
        if line:  # unfold knows images only
            x, kernel = x[:, :, None], (1, *kernel)
            stride, dilation, padding = (1, *stride), (1, *dilation), (0, *padding)
        patches = F.unfold(x, kernel, dilation=dilation, padding=padding, stride=stride)  # (N, inputs, places)
        inputs, outputs = (each.transpose(1, 2) for each in (patches, y.flatten(2)))
        return (
            inputs.reshape(*inputs.shape[:2], self.groups, -1),
            outputs.reshape(*outputs.shape[:2], self.groups, -1),
        )

    def shifted(self, weight: Tensor, bias: Tensor) -> "Convolution":
        before = torch.zeros_like(bias) if self.bias is None else self.bias
        return dataclasses.replace(
            self,
            weight=self.weight + weight.reshape(self.weight.shape),
            bias=before + bias.reshape(-1, *[1] * (before.ndim - 1)),
        )

    def structure(self) -> "Convolution":
        return dataclasses.replace(self, weight=torch.ones_like(self.weight), bias=None)

    def macs(self, inputs: Sequence[Shape]) -> int:
        return self.weight[0].numel() * math.prod(self.infer_shape(inputs))

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        names = [inputs[0], writer.constant(f"{output}.weight", self.weight)]
        write_biased(writer, "Conv", names, self.bias, output, group=self.groups, **self.window.onnx_settings())


def pool_fan_out(window: Window, shape: Shape, downstream: Tensor) -> Tensor:
    """Count the connections of a pool: those of a convolution that sees each channel alone."""
    channels = shape[0]
    return Convolution(torch.ones((channels, 1, *window.kernel)), None, window, channels).fan_out(downstream, [shape])


def read_groups(node: OnnxNode, weight: Array) -> int:
    """Return the groups of a convolution, if they and kernel_shape suit its weights ``(O or C, ..., *kernel)``."""
    groups = node.integer("group", 1)
    if groups < 1 or weight.shape[0] % groups or 0 in weight.shape:
        raise Unsupported(f"{groups} groups with weights of shape {weight.shape}")
    kernel = node.integers("kernel_shape", weight.shape[2:])
    if kernel != weight.shape[2:]:
        raise Unsupported(f"kernel_shape {kernel} with weights of shape {weight.shape}")
    return groups


def read_bias(node: OnnxNode, outputs: int) -> Tensor | None:
    """Return the bias of a convolution, one number for each of its output channels, if there is one."""
    if node.optional(2) is None:
        return None
    bias = torch.from_numpy(node.weight(2))
    if bias.shape != (outputs,):
        raise Unsupported(f"a bias of shape {tuple(bias.shape)} for {outputs} output channels")
    return bias


@READERS.register("Conv")
def read_convolution(node: OnnxNode) -> Reading:
    """Read Conv as a weighted synapse.

    Restrictions: 1 or 2 axes of space, constant weights; groups, strides, dilations, pads and auto_pad are free,
    except auto_pad SAME with dilations.
    """
    name, shape = node.data()
    weight = node.weight(1)
    if weight.ndim not in (3, 4):
        raise Unsupported(f"a convolution in {weight.ndim - 2} dimensions; 1 and 2 are supported")
    groups = read_groups(node, weight)
    bias = read_bias(node, weight.shape[0])
    window = read_window(node, weight.shape[2:], shape[1:])
    return Reading(Convolution(torch.from_numpy(weight), bias, window, groups), (name,))


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    make = torch.Generator().manual_seed(1)
    for groups, stride, dilation, pads in [(1, 1, 1, (0, 0)), (2, 2, 1, (1, 1)), (4, 1, 2, (0, 1)), (1, 3, 1, (2, 1))]:
        weight = torch.randn((8, 4 // groups, 3, 2), generator=make)
        window = Window((3, 2), (stride, 1), (dilation, dilation), ((pads[0],) * 2), ((pads[1],) * 2))
        yield Convolution(weight, torch.randn(8, generator=make), window, groups), [(4, 9, 8)]
    by_place = torch.randn((3, 9, 7), generator=make)
    yield (
        Convolution(
            torch.randn((3, 4, 1, 2), generator=make), by_place, Window((1, 2), (1, 1), (1, 1), (0, 0), (0, 0))
        ),
        [(4, 9, 8)],
    )
    window = Window((5,), (2,), (1,), (2,), (2,))
    yield Convolution(torch.randn((3, 4, 5), generator=make), None, window), [(4, 12)]
