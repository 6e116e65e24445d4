"""Sliding windows: kernel, stride, dilation and padding, shared by convolutions and pools."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from snnconvert.operators.onnx_node import MAX_ELEMENTS, OnnxNode, TooLarge, Unsupported

MAX_SIZE = 2**20  # of a kernel, stride or pad: larger numbers are mistakes or attacks


def torch_pads(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Return padding as ``torch.nn.functional.pad`` takes it: of the last axis first, before and after."""
    return [pad for pair in zip(reversed(before), reversed(after), strict=True) for pad in pair]


@dataclass(frozen=True)
class Window:
    """A window over the spatial axes; ``before`` and ``after`` are the padding, which counts as zeros."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    def pooled(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of a pool's output for samples ``(C, *space)``, or raise ValueError."""
        if len(shape) != len(self.kernel) + 1:
            raise ValueError(f"expects {len(self.kernel) + 1} axes, got {tuple(shape)}")
        return (shape[0], *self.output_size(shape[1:]))

    def work(self, shape: Sequence[int]) -> int:
        """Count the elements that a pool reads of a sample ``(C, *space)``."""
        return math.prod(self.pooled(shape)) * math.prod(self.kernel)

    def output_size(self, space: Sequence[int]) -> tuple[int, ...]:
        """Return the spatial size of the output, or raise ValueError where the window does not fit."""
        sizes = []
        for size, k, s, d, b, a in zip(
            space, self.kernel, self.stride, self.dilation, self.before, self.after, strict=True
        ):
            reach = size + b + a - d * (k - 1) - 1
            if reach < 0:
                raise ValueError(f"a window of {d * (k - 1) + 1} does not fit into {size} + {b + a} padding")
            sizes.append(reach // s + 1)
        return tuple(sizes)

    @property
    def symmetric(self) -> bool:
        """Whether torch's own padding arguments can express the padding."""
        return self.before == self.after

    def elements(self, axis: int, size: int, first: int = 0, last: int = 0) -> Tensor:
        """Count, for each position of the window along an axis, the elements under it, ``(positions,)``.

        ``first`` and ``last`` say how much of the padding before and after counts as elements.
        """
        before, step, reach = self.before[axis], self.dilation[axis], self.dilation[axis] * (self.kernel[axis] - 1) + 1
        counted = torch.zeros(before + size + self.after[axis], dtype=torch.float64)
        counted[before - first : before + size + last] = 1
        windows: Tensor = counted.unfold(0, reach, self.stride[axis])
        return windows[:, ::step].sum(1)

    def padded(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Return the input, padded where that is needed, and the padding that torch still has to do."""
        if self.symmetric:
            return x, self.before
        return F.pad(x, torch_pads(self.before, self.after)), (0,) * len(self.kernel)

    def onnx_settings(self) -> dict[str, Any]:
        """Return the attributes of Conv, AveragePool and MaxPool."""
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.stride),
            "dilations": list(self.dilation),
            "pads": [*self.before, *self.after],
        }


def read_window(node: OnnxNode, kernel: Sequence[int], space: Sequence[int]) -> Window:
    """Read strides, dilations, and pads or auto_pad."""
    rank = len(kernel)
    if len(space) != rank:
        raise Unsupported(f"a window in {rank} dimensions over an input with {len(space)} axes of space")
    stride = node.integers("strides", (1,) * rank)
    dilation = node.integers("dilations", (1,) * rank)
    pads = node.integers("pads", (0,) * (2 * rank))
    if len(stride) != rank or len(dilation) != rank or len(pads) != 2 * rank:
        raise Unsupported(f"strides {stride}, dilations {dilation}, pads {pads} for {rank} dimensions")
    if not all(1 <= number <= MAX_SIZE for number in (*kernel, *stride, *dilation)):
        raise Unsupported(
            f"kernel {tuple(kernel)}, strides {stride}, dilations {dilation}: must lie between 1 and {MAX_SIZE}"
        )
    if not all(0 <= pad <= MAX_SIZE for pad in pads):
        raise Unsupported(f"pads {pads}: must lie between 0 and {MAX_SIZE}", "use Slice, not negative pads")
    before, after = pads[:rank], pads[rank:]
    auto = node.text("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise Unsupported(f"auto_pad '{auto}'")
    if auto != "NOTSET":
        before = after = (0,) * rank
    if auto.startswith("SAME"):
        if dilation != (1,) * rank:
            raise Unsupported(f"auto_pad '{auto}' with dilations {dilation}", "export with pads as numbers")
        missing = [
            max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
            for size, k, s, d in zip(space, kernel, stride, dilation, strict=True)
        ]
        small, large = tuple(m // 2 for m in missing), tuple(m - m // 2 for m in missing)
        before, after = (small, large) if auto == "SAME_UPPER" else (large, small)
    channels = node.data()[1][0]
    if channels * math.prod(n + b + a for n, b, a in zip(space, before, after, strict=True)) > MAX_ELEMENTS:
        raise TooLarge(f"pads {(*before, *after)} make a sample of more than {MAX_ELEMENTS} elements")
    return Window(tuple(kernel), stride, dilation, before, after)


def require_elements(window: Window, space: Sequence[int]) -> None:
    """Refuse a pool with a window that lies wholly in the padding: it has no mean and no maximum."""
    try:
        window.output_size(space)
    except ValueError as problem:
        raise Unsupported(str(problem)) from None
    if any(bool((window.elements(axis, size) == 0).any()) for axis, size in enumerate(space)):
        raise Unsupported(f"pads {(*window.before, *window.after)}: a window would lie wholly in the padding")


def ceil_extension(window: Window, space: Sequence[int]) -> tuple[int, ...]:
    """Return the padding at the end that ceil_mode implies; a window that would start in it is dropped."""
    extra = []
    for size, k, s, d, b, a in zip(
        space, window.kernel, window.stride, window.dilation, window.before, window.after, strict=True
    ):
        reach = size + b + a - d * (k - 1) - 1
        count = -(-reach // s) + 1
        if (count - 1) * s >= size + b:
            count -= 1
        extra.append(max((count - 1) * s - reach, 0))
    return tuple(extra)


def extended(window: Window, extension: tuple[int, ...]) -> Window:
    """Return the window with more padding at the end."""
    if not any(extension):
        return window
    after = tuple(a + e for a, e in zip(window.after, extension, strict=True))
    return Window(window.kernel, window.stride, window.dilation, window.before, after)
