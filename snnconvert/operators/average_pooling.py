"""Average pooling and means over space: linear operators without weights, ``y = sum of the window / count``.

``count`` is the kernel's size, or, where padding is not to be counted, the number of real elements under the window.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from snnconvert.graph import IncompatibleScale, OnnxWriter, Operator, Role, Shape
from snnconvert.operators.affine import Affine
from snnconvert.operators.convolution import Convolution, per_channel, pool_fan_out
from snnconvert.operators.onnx_node import READERS, OnnxNode, Reading, Unsupported, composed
from snnconvert.operators.window import Window, ceil_extension, extended, read_window, require_elements


@dataclass(frozen=True, eq=False)
class AveragePool(Operator):
    """Mean over windows of samples ``(C, *space)``; ``extension`` is what ceil_mode adds at the end, never counted."""

    window: Window
    count_padding: bool = False
    extension: tuple[int, ...] = ()

    role = Role.LINEAR

    @property
    def _reach(self) -> Window:
        return extended(self.window, self.extension)

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        return self._reach.pooled(inputs[0])

    def work(self, inputs: Sequence[Shape]) -> int:
        return self._reach.work(inputs[0])

    def _weights(self, space: Shape) -> Tensor:
        """Return kernel size / count for every output position: 1 where the whole window counts."""
        factor = torch.ones((), dtype=torch.float64)
        reach = self._reach
        for axis, size in enumerate(space):
            padding = (self.window.before[axis], self.window.after[axis]) if self.count_padding else (0, 0)
            factor = factor[..., None] * (reach.kernel[axis] / reach.elements(axis, size, *padding))
        return factor

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0]
        factor = self._weights(tuple(x.shape[2:]))
        window = self._reach
        padded, padding = window.padded(x)
        if window.dilation != (1,) * len(window.kernel):
            kernel = torch.full(
                (x.shape[1], 1, *window.kernel), 1.0 / _size(window.kernel), dtype=x.dtype, device=x.device
            )
            function = F.conv1d if len(window.kernel) == 1 else F.conv2d
            y = function(padded, kernel, None, window.stride, padding, window.dilation, x.shape[1])
        elif len(window.kernel) == 1:
            y = F.avg_pool1d(F.pad(padded, (padding[0],) * 2), window.kernel, window.stride)
        else:
            y = F.avg_pool2d(F.pad(padded, (padding[1],) * 2 + (padding[0],) * 2), window.kernel, window.stride)
        return y if bool((factor == 1).all()) else y * factor.to(y)

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        per_channel(scales[0], shapes[0][0])  # it must not vary within a channel
        return scales[0]

    def fan_out(self, downstream: Tensor, shapes: Sequence[Shape], index: int = 0) -> Tensor:
        return pool_fan_out(self._reach, shapes[0], downstream)

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        plain = not any(self.extension) and self.window.dilation == (1,) * len(self.window.kernel)
        if plain:
            settings = self.window.onnx_settings()
            del settings["dilations"]  # came with opset 19
            writer.node("AveragePool", [inputs[0]], output, count_include_pad=int(self.count_padding), **settings)
            return
        # opset 18 has neither dilated average pools nor one reading of ceil_mode: a grouped convolution has both
        channels = shapes[0][0]
        kernel = torch.full((channels, 1, *self.window.kernel), 1.0 / _size(self.window.kernel))
        name = writer.fresh(f"{output}.sum")
        Convolution(kernel, None, self._reach, channels).to_onnx(writer, inputs, shapes, name)
        factor = self._weights(shapes[0][1:]).float()
        writer.node("Mul", [name, writer.constant(f"{output}.factor", factor)], output)


def _size(kernel: tuple[int, ...]) -> int:
    return math.prod(kernel)


@dataclass(frozen=True, eq=False)
class Mean(Operator):
    """Mean over some axes of a sample (global average pooling); ``keep`` leaves them with size 1."""

    axes: tuple[int, ...]
    keep: bool = True

    role = Role.LINEAR

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        if not self.axes or max(self.axes) >= len(shape):
            raise ValueError(f"no axes {self.axes} in shape {shape}")
        kept = [1 if axis in self.axes else size for axis, size in enumerate(shape)]
        return tuple(size for axis, size in enumerate(kept) if self.keep or axis not in self.axes)

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[0].mean([axis + 1 for axis in self.axes], keepdim=self.keep)

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        scale = scales[0]
        if any(scale.shape[axis] != 1 for axis in self.axes):
            raise IncompatibleScale
        return scale if self.keep else scale.squeeze(self.axes)

    def fan_out(self, downstream: Tensor, shapes: Sequence[Shape], index: int = 0) -> Tensor:
        kept = downstream
        if not self.keep:
            for axis in sorted(self.axes):
                kept = kept.unsqueeze(axis)
        return kept.to(torch.float64).expand(shapes[0])

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        axes = writer.constant(f"{output}.axes", [axis + 1 for axis in self.axes])
        writer.node("ReduceMean", [inputs[0], axes], output, keepdims=int(self.keep))


@READERS.register("AveragePool")
def read_average_pool(node: OnnxNode) -> Reading:
    """Read AveragePool as a linear operator.

    Restrictions: 1 or 2 axes of space; ceil_mode, dilations and count_include_pad are free; no window wholly in the
    padding.
    """
    name, shape = node.data()
    kernel = node.integers("kernel_shape")
    if len(kernel) not in (1, 2):
        raise Unsupported(f"a pool in {len(kernel)} dimensions; 1 and 2 are supported")
    window = read_window(node, kernel, shape[1:])
    extension = ceil_extension(window, shape[1:]) if node.flag("ceil_mode", False) else (0,) * len(kernel)
    require_elements(extended(window, extension), shape[1:])
    return Reading(AveragePool(window, node.flag("count_include_pad", False), extension), (name,))


@READERS.register("GlobalAveragePool")
def read_global_average_pool(node: OnnxNode) -> Reading:
    """Read GlobalAveragePool as a linear operator."""
    name, shape = node.data()
    if len(shape) < 2:
        raise Unsupported(f"a sample of shape {shape} has no axes of space")
    return Reading(Mean(tuple(range(1, len(shape)))), (name,))


@READERS.register("ReduceMean")
@READERS.register("ReduceSum")
def read_reduction(node: OnnxNode) -> Reading:
    """Read ReduceMean and ReduceSum as linear operators.

    Restrictions: over axes of the sample, which are named.
    """
    name, shape = node.data()
    axes = node.integers("axes", (), index=1)
    if not axes:
        raise Unsupported("it reduces over every axis, the batch included", "name its axes")
    chosen = tuple(sorted({node.sample_axis(axis, len(shape)) for axis in axes}))
    mean = Mean(chosen, node.flag("keepdims", True))
    if node.op_type == "ReduceMean":
        return Reading(mean, (name,))
    count = math.prod(shape[axis] for axis in chosen)
    rank = len(mean.infer_shape([shape]))
    return composed(name, mean, Affine.of(torch.full((1,) * rank, float(count), dtype=torch.float64)))


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    for count in (False, True):
        yield AveragePool(Window((3, 2), (2, 1), (1, 1), (1, 0), (1, 1)), count, (0, 0)), [(4, 8, 7)]
        yield AveragePool(Window((3, 3), (2, 2), (1, 1), (1, 1), (1, 1)), count, (1, 1)), [(4, 8, 8)]
    yield AveragePool(Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0)), False, (0, 0)), [(4, 8, 8)]
    yield AveragePool(Window((2, 2), (1, 1), (2, 2), (0, 0), (0, 0)), False, (0, 0)), [(3, 8, 8)]
    yield AveragePool(Window((3,), (2,), (1,), (1,), (1,)), False, (0,)), [(4, 9)]
    yield Mean((1, 2)), [(4, 3, 5)]
    yield Mean((1, 2), keep=False), [(4, 3, 5)]
