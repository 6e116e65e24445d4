"""Slices and zero padding, and both at once as a shortcut takes them: every output is one input, or zero.

:class:`Selection` is what a parameter-free shortcut (option A of He et al. 2016) is as a synapse:
``y = weight * pad(slice(x)) + bias``, one connection for each element that is kept.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from snnconvert.graph import IncompatibleScale, OnnxWriter, Operator, Role, Shape, compact
from snnconvert.operators.affine import Affine
from snnconvert.operators.onnx_node import (
    MAX_ELEMENTS,
    READERS,
    OnnxNode,
    Reading,
    TooLarge,
    Unsupported,
    composed,
    cut,
)
from snnconvert.operators.take import taken
from snnconvert.operators.window import torch_pads


@dataclass(frozen=True, eq=False)
class Slice(Operator):
    """``x[start:stop:step]`` along every axis of the sample, steps positive."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...]

    role = Role.LINEAR
    keeps_spikes = True

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(inputs[0]) != len(self.start) or any(
            stop > size for stop, size in zip(self.stop, inputs[0], strict=True)
        ):
            raise ValueError(f"slice to {self.stop} of a sample of shape {inputs[0]}")
        return tuple(len(range(*bounds)) for bounds in zip(self.start, self.stop, self.step, strict=True))

    def _of(self, x: Tensor, offset: int) -> Tensor:
        """Slice the axes from ``offset`` on; an axis of size 1 in a scale stays."""
        index = [slice(None)] * offset + [
            slice(a, b, s) if offset or x.shape[axis] > 1 else slice(None)
            for axis, (a, b, s) in enumerate(zip(self.start, self.stop, self.step, strict=True))
        ]
        return x[tuple(index)]

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return self._of(inputs[0], 1)

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        return compact(self._of(scales[0], 0))

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        axes = [axis + 1 for axis in range(len(self.start))]
        bounds = [
            writer.constant(f"{output}.{name}", list(values))
            for name, values in (("start", self.start), ("stop", self.stop), ("axes", axes), ("step", self.step))
        ]
        writer.node("Slice", [inputs[0], *bounds], output)


@dataclass(frozen=True, eq=False)
class Pad(Operator):
    """Zeros before and after, along every axis of the sample."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    role = Role.LINEAR
    keeps_spikes = True

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(inputs[0]) != len(self.before):
            raise ValueError(f"pads for {len(self.before)} axes of a sample of shape {inputs[0]}")
        return tuple(b + size + a for b, size, a in zip(self.before, inputs[0], self.after, strict=True))

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return F.pad(inputs[0], torch_pads(self.before, self.after))

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        # what is padded is zero, so that any positive scale is right there: the smallest one keeps others constant
        scale = scales[0]
        pads = [
            (b, a) if scale.shape[axis] > 1 else (0, 0)
            for axis, (b, a) in enumerate(zip(self.before, self.after, strict=True))
        ]
        return F.pad(scale, torch_pads(*zip(*pads, strict=True)), value=float(scale.min()))

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        pads = writer.constant(f"{output}.pads", [0, *self.before, 0, *self.after])
        writer.node("Pad", [inputs[0], pads], output, mode="constant")


@dataclass(frozen=True, eq=False)
class Selection(Operator):
    """``weight * pad(slice(x)) + bias``; both parameters have a sample's rank and broadcast to the output."""

    slice: Slice
    pad: Pad
    weight: Tensor
    bias: Tensor

    role = Role.WEIGHTED
    weights: ClassVar[Mapping[str, int | None]] = {"weight": None}

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        return self.pad.infer_shape([self.slice.infer_shape(inputs)])

    @property
    def moving(self) -> "Selection":
        """The same without weights and biases."""
        return dataclasses.replace(self, weight=torch.ones_like(self.weight), bias=torch.zeros_like(self.bias))

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        moved = self.pad.evaluate([self.slice.evaluate(inputs)])
        if self._weighs:
            moved = moved * self.weight
        return moved + self.bias if self._shifts else moved

    @cached_property
    def _weighs(self) -> bool:
        return bool((self.weight != 1).any())

    @cached_property
    def _shifts(self) -> bool:
        return bool(self.bias.any())

    def rescaled(self, input_scale: Tensor, output_scale: Tensor, output_shift: Tensor) -> "Selection":
        moved = self.pad.carry_scale([self.slice.carry_scale([input_scale], [])], [])
        weight = output_scale * self.weight.double() * moved
        bias = output_scale * self.bias.double() + output_shift
        return dataclasses.replace(self, weight=compact(weight).float(), bias=compact(bias).float())

    def structure(self) -> "Selection":
        return self.moving

    def macs(self, inputs: Sequence[Shape]) -> int:
        return math.prod(self.slice.infer_shape(inputs)) if self._weighs else 0

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        cut = writer.fresh(f"{output}.slice")
        self.slice.to_onnx(writer, inputs, shapes, cut)
        padded = writer.fresh(f"{output}.pad")
        self.pad.to_onnx(writer, [cut], [], padded)
        shifted = self._shifts
        scaled = writer.fresh(f"{output}.scaled") if shifted else output
        writer.node("Mul", [padded, writer.constant(f"{output}.weight", self.weight)], scaled)
        if shifted:
            writer.node("Add", [scaled, writer.constant(f"{output}.bias", self.bias)], output)


def selection_of(steps: Sequence[Operator], shape: Shape) -> Selection:
    """Compose slices and pads, in order, into one selection.

    Raises:
        IncompatibleScale: where a slice cuts into padding of an earlier step, so that one of each is not enough.
    """
    rank = len(shape)
    start, step, size = [0] * rank, [1] * rank, list(shape)
    before, after = [0] * rank, [0] * rank
    for operator in steps:
        if isinstance(operator, Pad):
            before = [b + more for b, more in zip(before, operator.before, strict=True)]
            after = [a + more for a, more in zip(after, operator.after, strict=True)]
        elif isinstance(operator, Slice):
            for axis in range(rank):
                cut = range(operator.start[axis], operator.stop[axis], operator.step[axis])
                if before[axis] or after[axis]:
                    if cut != range(before[axis] + size[axis] + after[axis]):
                        raise IncompatibleScale
                    continue
                start[axis] += cut.start * step[axis]
                step[axis] *= cut.step
                size[axis] = len(cut)
        else:
            raise IncompatibleScale
    stop = [a + (n - 1) * s + 1 for a, n, s in zip(start, size, step, strict=True)]
    one = torch.ones((1,) * rank)
    return Selection(Slice(tuple(start), tuple(stop), tuple(step)), Pad(tuple(before), tuple(after)), one, one * 0)


@READERS.register("Slice")
def read_slice(node: OnnxNode) -> Reading:
    """Read Slice as a move of elements.

    Restrictions: constant bounds within the sample.
    """
    name, shape = node.data()
    starts, ends = node.integers("starts", index=1), node.integers("ends", index=2)
    axes = node.integers("axes", tuple(range(len(starts))), index=3)
    steps = node.integers("steps", (1,) * len(starts), index=4)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise Unsupported("starts, ends, axes and steps differ in length")
    cuts = [range(size) for size in shape]
    for a, b, raw, s in zip(starts, ends, axes, steps, strict=True):
        if raw in (0, -len(shape) - 1):
            if a == 0 and b >= node.batch and s == 1:
                continue
            raise Unsupported("it slices the batch")
        axis = node.sample_axis(raw, len(shape))
        cuts[axis] = cut(a, b, s, shape[axis])
    if any(each.step < 0 for each in cuts):
        return taken(name, shape, cuts)
    bounds = (tuple(each.start for each in cuts), tuple(each.stop for each in cuts), tuple(each.step for each in cuts))
    return Reading(Slice(*bounds), (name,))


@READERS.register("Split")
def read_split(node: OnnxNode) -> tuple[Reading, ...]:
    """Read Split as a slice for each output.

    Restrictions: constant sizes, along an axis of the sample.
    """
    name, shape = node.data()
    axis = node.sample_axis(node.integer("axis", 0), len(shape))
    size = -(-shape[axis] // node.outputs)  # the last part may be smaller
    equal = (*[size] * (node.outputs - 1), shape[axis] - size * (node.outputs - 1))
    sizes = node.integers("split", equal, index=1)
    if node.integer("num_outputs", node.outputs) != node.outputs:
        raise Unsupported(f"num_outputs {node.integer('num_outputs', 0)}, but {node.outputs} outputs")
    if min(sizes, default=0) < 1 or sum(sizes) != shape[axis] or len(sizes) < node.outputs:
        raise Unsupported(f"parts of sizes {sizes} of {shape[axis]} elements")
    readings, start = [], 0
    for part in sizes[: node.outputs]:
        first, last = [0] * len(shape), list(shape)
        first[axis], last[axis] = start, start + part
        readings.append(Reading(Slice(tuple(first), tuple(last), (1,) * len(shape)), (name,)))
        start += part
    return tuple(readings)


@READERS.register("Pad")
def read_pad(node: OnnxNode) -> Reading:
    """Read Pad as a move of elements; what it fills with, where that is not 0, is a shift.

    Restrictions: constant pads within the sample, not negative.
    """
    name, shape = node.data()
    before, after = _pads(node, shape)
    mode = node.text("mode", "constant")
    if mode in ("reflect", "edge", "wrap"):
        sides = zip(before, shape, after, strict=True)
        index = [np.pad(np.arange(n), (b, a), mode=mode).tolist() if b or a else None for b, n, a in sides]  # type: ignore[call-overload]
        return taken(name, shape, index)
    if mode != "constant":
        raise Unsupported(f"mode '{mode}'")
    value = node.optional(2)
    filled = node.number("value", 0.0) if value is None else float(np.asarray(value).reshape(-1)[0])
    pad = Pad(before, after)
    if filled == 0:
        return Reading(pad, (name,))
    around = 1 - pad.evaluate([torch.ones((1, *shape), dtype=torch.float64)])[0]
    return composed(name, pad, Affine.of(torch.ones((1,) * len(shape), dtype=torch.float64), filled * around))


def _pads(node: OnnxNode, shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the pads before and after along every axis of the sample."""
    rank = len(shape) + 1
    pads = node.integers("pads", index=1)
    axes = node.integers("axes", tuple(range(rank)), index=3)
    if not all(-rank <= axis < rank for axis in axes):
        raise Unsupported(f"axes {axes} of a tensor with {rank} axes")
    if len(pads) != 2 * len(axes):
        raise Unsupported(f"{len(pads)} pads for {len(axes)} axes")
    before, after = [0] * rank, [0] * rank
    for index, axis in enumerate(axes):
        before[axis % rank], after[axis % rank] = pads[index], pads[index + len(axes)]
    if before[0] or after[0]:
        raise Unsupported("it pads the batch")
    if min(before + after) < 0:
        raise Unsupported("negative pads", "use Slice")
    if math.prod(b + n + a for b, n, a in zip(before[1:], shape, after[1:], strict=True)) > MAX_ELEMENTS:
        raise TooLarge(f"pads {pads} make a sample of more than {MAX_ELEMENTS} elements")
    return tuple(before[1:]), tuple(after[1:])


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    cut, pad = Slice((0, 0, 1), (4, 6, 7), (1, 2, 3)), Pad((2, 0, 0), (2, 1, 0))
    yield cut, [(4, 6, 7)]
    yield pad, [(4, 6, 7)]
    yield selection_of([cut, pad], (4, 6, 7)), [(4, 6, 7)]
    weight = torch.linspace(-1, 1, 8).reshape(8, 1, 1)
    yield Selection(cut, pad, weight, 2 * weight), [(4, 6, 7)]
