"""Kernels as NIR's readers take them: the same padding on both sides, and in the portable profile square and dense.

A kernel grows by ``l`` zeros in front and ``r`` behind, and its padding p with it; with dilation d, stride s, size S:

    p = before + l d,    2p - (l + r) d = before + after + e,    the same outputs while  -rest <= e < s - rest

where ``rest`` is what the last window leaves of the input.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own documentation calls it so
from torch import Tensor

from snnconvert.export.nir.refusal import require_room
from snnconvert.graph import Shape
from snnconvert.operators.window import Window, torch_pads

MORE = 64  # zeros that are tried in front of a kernel


def dense(weight: Tensor, groups: int) -> Tensor:
    """Return grouped weights ``(O, I/groups, ...)`` as those of all inputs, ``(O, I, ...)``, zero between groups."""
    if groups == 1:
        return weight
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    found = weight.new_zeros(weight.shape[0], inputs * groups, *weight.shape[2:])
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        found[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return found


def embedded(weight: Tensor, window: Window, space: Shape, square: bool) -> tuple[Tensor, tuple[int, ...]]:
    """Return weights ``(O, I, *kernel)`` with zeros around their kernel, and the padding that belongs to them.

    Raises:
        Inexpressible: too many zeros.
        ValueError: no padding alike on both sides (and, where it is to be ``square``, no square kernel) does the same.
    """
    rank = len(window.kernel)
    choices = [dict(_sizes(window, axis, space[axis])) for axis in range(rank)]
    sizes = [set(each) for each in choices]
    common = set.intersection(*sizes) if square else set()
    if not all(sizes) or (square and not common):
        form = "alike on both sides" + (" and a square kernel" if square and all(sizes) else "")
        raise ValueError(f"a kernel of {window.kernel} padded by {window.before} and {window.after}: no padding {form}")
    kernel = [min(common) if square else min(each) for each in sizes]
    fronts = [choices[axis][kernel[axis]] for axis in range(rank)]
    behind = [kernel[axis] - window.kernel[axis] - fronts[axis] for axis in range(rank)]
    require_room(*weight.shape[:2], *kernel)
    padding = tuple(before + front * d for before, front, d in zip(window.before, fronts, window.dilation, strict=True))
    return F.pad(weight, torch_pads(fronts, behind)), padding


def _sizes(window: Window, axis: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield sizes that the kernel may have along an axis, with the zeros in front of it."""
    kernel, stride, step = window.kernel[axis], window.stride[axis], window.dilation[axis]
    before, after = window.before[axis], window.after[axis]
    rest = (size + before + after - step * (kernel - 1) - 1) % stride
    found: dict[int, int] = {}
    for front in range(MORE):
        for more in range(-rest, stride - rest):
            behind, odd = divmod(before - after - more, step)
            if not odd and front + behind >= 0:
                found.setdefault(kernel + 2 * front + behind, front)
    yield from found.items()


def pool_kernel(channels: int, kernel: tuple[int, ...]) -> Tensor:
    """Return the dense weights of an average over windows: each channel sees itself alone."""
    one = torch.ones((channels, 1, *kernel), dtype=torch.float64) / math.prod(kernel)
    return dense(one, channels)
