"""Sliding windows: kernel, stride, dilation and padding, shared by convolutions and pools."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from snnconvert.operators.onnx_node import OnnxNode, Unsupported

MAX_SIZE = 2**20  # of a kernel, stride or pad: larger numbers are mistakes or attacks


@dataclass(frozen=True)
class Window:
    """A window over the spatial axes; ``before`` and ``after`` are the padding, which counts as zeros."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

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

    def padded(self, x: Tensor, value: float = 0.0) -> tuple[Tensor, tuple[int, ...]]:
        """Return the input, padded where that is needed, and the padding that torch still has to do."""
        if self.symmetric:
            return x, self.before
        pairs = [pair for b, a in zip(reversed(self.before), reversed(self.after), strict=True) for pair in (b, a)]
        return F.pad(x, pairs, value=value), (0,) * len(self.kernel)

    def onnx_settings(self) -> dict[str, Any]:
        """Return the attributes of Conv, AveragePool and MaxPool."""
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.stride),
            "dilations": list(self.dilation),
            "pads": [*self.before, *self.after],
        }


def read_window(node: OnnxNode, kernel: Sequence[int], space: Sequence[int]) -> Window:
    """Read strides, dilations, pads or auto_pad, and ceil_mode (as padding at the end)."""
    rank = len(kernel)
    if len(space) != rank:
        raise Unsupported(f"a window in {rank} dimensions over an input with {len(space)} axes of space")
    stride = node.integers("strides", (1,) * rank)
    dilation = node.integers("dilations", (1,) * rank)
    pads = node.integers("pads", (0,) * (2 * rank))
    if len(stride) != rank or len(dilation) != rank or len(pads) != 2 * rank:
        raise Unsupported(f"strides {stride}, dilations {dilation}, pads {pads} for {rank} dimensions")
    if not all(1 <= number <= MAX_SIZE for number in (*kernel, *stride, *dilation)):
        raise Unsupported(f"kernel {tuple(kernel)}, strides {stride}, dilations {dilation}: must be at least 1")
    if not all(0 <= pad <= MAX_SIZE for pad in pads):
        raise Unsupported(f"pads {pads}: must not be negative")
    before, after = pads[:rank], pads[rank:]
    auto = node.text("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise Unsupported(f"auto_pad '{auto}'")
    if auto != "NOTSET":
        before = after = (0,) * rank
    if auto.startswith("SAME"):
        missing = [
            max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
            for size, k, s, d in zip(space, kernel, stride, dilation, strict=True)
        ]
        small, large = tuple(m // 2 for m in missing), tuple(m - m // 2 for m in missing)
        before, after = (small, large) if auto == "SAME_UPPER" else (large, small)
    return Window(tuple(kernel), stride, dilation, before, after)


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
