"""Max pooling: ``y = max of the window``; padding never wins.

Over spikes it becomes the exact counter form (what the lateral inhibition pooling of Li et al. 2022 computes):
``y(t) = max N(t) - max N(t-1)``, where ``N`` is the cumulative input of each element of the window.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from snnconvert.graph import OnnxWriter, Operator, Role, Shape
from snnconvert.operators.convolution import per_channel, pool_fan_out
from snnconvert.operators.onnx_node import READERS, OnnxNode, Reading, Unsupported, composed
from snnconvert.operators.reshape import Reshape
from snnconvert.operators.window import Window, ceil_extension, extended, read_window, require_elements, torch_pads


@dataclass(frozen=True, eq=False)
class MaxPool(Operator):
    """Maximum over windows of samples ``(C, *space)``."""

    window: Window

    role = Role.MAXIMUM

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        return self.window.pooled(inputs[0])

    def work(self, inputs: Sequence[Shape]) -> int:
        return self.window.work(inputs[0])

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        window = self.window
        x, padding = inputs[0], window.before
        # torch pads by at most half a kernel, alike on both sides
        if not window.symmetric or any(2 * b > k for b, k in zip(window.before, window.kernel, strict=True)):
            x = F.pad(x, torch_pads(window.before, window.after), value=-math.inf)
            padding = (0,) * len(window.kernel)
        function = F.max_pool1d if len(window.kernel) == 1 else F.max_pool2d
        return function(x, window.kernel, window.stride, padding, window.dilation)

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        per_channel(scales[0], shapes[0][0])  # it must not vary within a channel
        return scales[0]

    def fan_out(self, downstream: Tensor, shapes: Sequence[Shape], index: int = 0) -> Tensor:
        return pool_fan_out(self.window, shapes[0], downstream)

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        writer.node("MaxPool", [inputs[0]], output, **self.window.onnx_settings())


@READERS.register("MaxPool")
def read_max_pool(node: OnnxNode) -> Reading:
    """Read MaxPool: exact by counting spikes, or as ``--max-pool`` says.

    Restrictions: 1 or 2 axes of space; one scale within a channel; no second output.
    """
    name, shape = node.data()
    kernel = node.integers("kernel_shape")
    if len(kernel) not in (1, 2):
        raise Unsupported(f"a pool in {len(kernel)} dimensions; 1 and 2 are supported")
    window = read_window(node, kernel, shape[1:])
    if node.flag("ceil_mode", False):
        window = extended(window, ceil_extension(window, shape[1:]))
    require_elements(window, shape[1:])
    return Reading(MaxPool(window), (name,))


@READERS.register("GlobalMaxPool")
def read_global_max_pool(node: OnnxNode) -> Reading:
    """Read GlobalMaxPool as a max pool with one window.

    Restrictions: 1 or 2 axes of space.
    """
    name, shape = node.data()
    if len(shape) not in (2, 3):
        raise Unsupported(f"a pool over a sample of shape {shape}")
    rank = len(shape) - 1
    return Reading(MaxPool(Window(shape[1:], (1,) * rank, (1,) * rank, (0,) * rank, (0,) * rank)), (name,))


@READERS.register("ReduceMax")
def read_reduce_max(node: OnnxNode) -> Reading:
    """Read ReduceMax as a max pool with one window.

    Restrictions: over all axes of space.
    """
    name, shape = node.data()
    axes = node.integers("axes", (), index=1)
    chosen = {node.sample_axis(axis, len(shape)) for axis in axes}
    if len(shape) not in (2, 3) or chosen != set(range(1, len(shape))):
        raise Unsupported(f"axes {axes} of a sample of shape {shape}; all axes of space are supported")
    rank = len(shape) - 1
    pool = MaxPool(Window(shape[1:], (1,) * rank, (1,) * rank, (0,) * rank, (0,) * rank))
    return Reading(pool, (name,)) if node.flag("keepdims", True) else composed(name, pool, Reshape(shape[:1]))


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    yield MaxPool(Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0))), [(4, 8, 8)]
    yield MaxPool(Window((3, 3), (2, 2), (1, 1), (1, 1), (1, 1))), [(4, 9, 8)]
    yield MaxPool(Window((3, 2), (2, 1), (1, 2), (0, 1), (2, 0))), [(4, 9, 8)]
    yield MaxPool(Window((3,), (2,), (1,), (1,), (0,))), [(4, 9)]
