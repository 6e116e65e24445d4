"""Operators that only move elements: reshape (Flatten, Squeeze, Unsqueeze), transpose, concatenation, identity.

Their scale is the input's, moved the same way: ``f(s * x) = f(s) * f(x)``.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor

from snnconvert.graph import OnnxWriter, Operator, Role, Shape, compact, full
from snnconvert.operators.onnx_node import READERS, OnnxNode, Reading, Unsupported, composed


@dataclass(frozen=True, eq=False)
class Reshape(Operator):
    """Give a sample another shape, elements in row-major order."""

    shape: Shape

    role = Role.LINEAR
    keeps_spikes = True

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        if math.prod(inputs[0]) != math.prod(self.shape):
            raise ValueError(f"cannot reshape {inputs[0]} to {self.shape}")
        return self.shape

    def undone(self, shape: Shape) -> "Reshape":
        """Return the reshape that gives a sample its ``shape`` back."""
        return Reshape(shape)

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[0].reshape(inputs[0].shape[0], *self.shape)

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        return compact(full(scales[0], shapes[0]).reshape(self.shape))

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        writer.node("Reshape", [inputs[0], writer.constant(f"{output}.shape", [0, *self.shape])], output)


@dataclass(frozen=True, eq=False)
class Transpose(Operator):
    """Permute the axes of a sample: axis ``i`` of the output is axis ``order[i]`` of the input."""

    order: tuple[int, ...]

    role = Role.LINEAR
    keeps_spikes = True

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        if sorted(self.order) != list(range(len(inputs[0]))):
            raise ValueError(f"order {self.order} of a sample of shape {inputs[0]}")
        return tuple(inputs[0][axis] for axis in self.order)

    def undone(self, shape: Shape) -> "Transpose":
        """Return the permutation that gives a sample its ``shape`` back."""
        return Transpose(tuple(self.order.index(axis) for axis in range(len(shape))))

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[0].permute(0, *(axis + 1 for axis in self.order))

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        return scales[0].permute(self.order)

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        writer.node("Transpose", [inputs[0]], output, perm=[0, *(axis + 1 for axis in self.order)])


@dataclass(frozen=True, eq=False)
class Concat(Operator):
    """Join values along an axis of the sample."""

    axis: int

    role = Role.LINEAR
    keeps_spikes = True

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        rest = {tuple(size for axis, size in enumerate(shape) if axis != self.axis) for shape in inputs}
        if len(rest) != 1 or len({len(shape) for shape in inputs}) != 1 or self.axis >= len(inputs[0]):
            raise ValueError(f"cannot join {', '.join(map(str, inputs))} along axis {self.axis}")
        first = list(inputs[0])
        first[self.axis] = sum(shape[self.axis] for shape in inputs)
        return tuple(first)

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(inputs), self.axis + 1)

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        return compact(torch.cat([full(scale, shape) for scale, shape in zip(scales, shapes, strict=True)], self.axis))

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        writer.node("Concat", list(inputs), output, axis=self.axis + 1)


@dataclass(frozen=True, eq=False)
class Identity(Operator):
    """Leave the value as it is (Identity, Dropout at inference, a cast from float to float)."""

    role = Role.IDENTITY

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        return inputs[0]

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[0]

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        return scales[0]

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        writer.node("Identity", [inputs[0]], output)


def _reshaped(node: OnnxNode, target: Sequence[int], wished: Sequence[int] = ()) -> Reading:
    """Read a reshape of the whole tensor to ``target`` (batch first, -1 allowed once), in the file ``wished``."""
    name, shape = node.data()
    total = node.batch * math.prod(shape)
    known = math.prod(size for size in target if size != -1)
    if list(target).count(-1) > 1 or any(size < -1 for size in target) or known <= 0 or total % known:
        raise Unsupported(f"shape {tuple(wished)} for samples of shape {shape}")
    resolved = tuple(total // known if size == -1 else size for size in target)
    if math.prod(resolved) != total or resolved[:1] != (node.batch,):
        raise Unsupported(
            f"it reshapes the batch axis (samples of shape {shape} to {tuple(wished)})",
            "every sample must be treated alone: keep axis 0",
        )
    return Reading(Reshape(resolved[1:]), (name,))


@READERS.register("Reshape")
def read_reshape(node: OnnxNode) -> Reading:
    """Read Reshape as a move of elements.

    Restrictions: constant shape that leaves the batch alone.
    """
    _, shape = node.data()
    source = (node.batch, *shape)
    target = wished = node.integers("shape", index=1)
    if not node.flag("allowzero", False):
        if any(size == 0 and axis >= len(source) for axis, size in enumerate(target)):
            raise Unsupported(f"shape {target} for a tensor with {len(source)} axes")
        target = tuple(source[axis] if size == 0 else size for axis, size in enumerate(target))
    return _reshaped(node, target, wished)


@READERS.register("Flatten")
def read_flatten(node: OnnxNode) -> Reading:
    """Read Flatten as a move of elements.

    Restrictions: axis 1.
    """
    _, shape = node.data()
    axis = node.integer("axis", 1)
    if axis != 1 and (axis >= 0 or axis + len(shape) != 0):
        raise Unsupported(f"axis {axis}: it flattens across the batch", "use axis 1")
    return _reshaped(node, (node.batch, math.prod(shape)))


@READERS.register("Squeeze")
def read_squeeze(node: OnnxNode) -> Reading:
    """Read Squeeze as a move of elements.

    Restrictions: axes of the sample.
    """
    _, shape = node.data()
    axes = node.integers("axes", (), index=1)
    if axes:
        chosen = {node.sample_axis(axis, len(shape)) for axis in axes}
    else:
        if node.batch == 1:
            raise Unsupported("it squeezes every axis of size 1, the batch included", "name its axes")
        chosen = {axis for axis, size in enumerate(shape) if size == 1}
    if any(shape[axis] != 1 for axis in chosen):
        raise Unsupported(f"axes {axes} of a sample of shape {shape} are not all of size 1")
    return _reshaped(node, (node.batch, *(size for axis, size in enumerate(shape) if axis not in chosen)))


@READERS.register("Unsqueeze")
def read_unsqueeze(node: OnnxNode) -> Reading:
    """Read Unsqueeze as a move of elements.

    Restrictions: axes of the sample.
    """
    _, shape = node.data()
    axes = node.integers("axes", index=1)
    rank = len(shape) + len(axes)
    chosen = {node.sample_axis(axis, rank) for axis in axes}
    if len(chosen) != len(axes):
        raise Unsupported(f"axes {axes} name one axis twice")
    sizes = iter(shape)
    return _reshaped(node, (node.batch, *(1 if axis in chosen else next(sizes) for axis in range(rank))))


@READERS.register("Transpose")
def read_transpose(node: OnnxNode) -> Reading:
    """Read Transpose as a move of elements.

    Restrictions: the batch stays the first axis.
    """
    name, shape = node.data()
    order = node.integers("perm", tuple(range(len(shape), -1, -1)))
    if sorted(order) != list(range(len(shape) + 1)) or order[0] != 0:
        raise Unsupported(f"perm {order} moves the batch axis" if order[:1] != (0,) else f"perm {order}")
    return Reading(Transpose(tuple(axis - 1 for axis in order[1:])), (name,))


@READERS.register("DepthToSpace")
@READERS.register("SpaceToDepth")
def read_depth_to_space(node: OnnxNode) -> Reading:
    """Read DepthToSpace (pixel shuffle) and SpaceToDepth as moves of elements.

    Restrictions: 2 axes of space.
    """
    name, shape = node.data()
    block = node.integer("blocksize", 0)
    if len(shape) != 3 or not 1 <= block <= max(shape):
        raise Unsupported(f"blocksize {block} of a sample of shape {shape}")
    channels, height, width = shape
    if node.op_type == "SpaceToDepth":
        split: Shape = (channels, height // block, block, width // block, block)
        order: tuple[int, ...] = (2, 4, 0, 1, 3)
        joined: Shape = (channels * block * block, height // block, width // block)
    else:
        within = node.text("mode", "DCR") == "DCR"
        depth = channels // (block * block)
        split = (block, block, depth, height, width) if within else (depth, block, block, height, width)
        order = (2, 3, 0, 4, 1) if within else (0, 3, 1, 4, 2)
        joined = (depth, height * block, width * block)
    if math.prod(split) != math.prod(shape) or math.prod(joined) != math.prod(shape):
        raise Unsupported(f"blocksize {block} of a sample of shape {shape}")
    return composed(name, Reshape(split), Transpose(order), Reshape(joined))


@READERS.register("Concat")
def read_concat(node: OnnxNode) -> Reading:
    """Read Concat as a move of elements.

    Restrictions: of values, along an axis of the sample.
    """
    if any(shape is None for shape in node.shapes):
        raise Unsupported("it joins values and constants")
    _, shape = node.data()
    return Reading(Concat(node.sample_axis(node.integer("axis", 1), len(shape))), node.inputs)


@READERS.register("Identity")
def read_identity(node: OnnxNode) -> Reading:
    """Read Identity: removed."""
    return Reading(Identity(), (node.data()[0],))


@READERS.register("Cast")
def read_cast(node: OnnxNode) -> Reading:
    """Read Cast: removed.

    Restrictions: to float32.
    """
    if node.integer("to", 0) != TensorProto.FLOAT:
        raise Unsupported(f"a cast to type {node.integer('to', 0)}", "export the network in float32")
    return Reading(Identity(), (node.data()[0],))


@READERS.register("Dropout")
def read_dropout(node: OnnxNode) -> Reading:
    """Read Dropout: removed.

    Restrictions: inference mode.
    """
    training = node.optional(2) if len(node.inputs) > 2 else None
    if training is not None and bool(np.any(training)):
        raise Unsupported("training_mode is set", "export the network in eval mode")
    return Reading(Identity(), (node.data()[0],))


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    yield Reshape((12, 5)), [(4, 3, 5)]
    yield Transpose((2, 0, 1)), [(4, 3, 5)]
    yield Concat(0), [(4, 3, 5), (2, 3, 5)]
    yield Concat(1), [(4, 3, 5), (4, 1, 5)]
    yield Identity(), [(4, 3)]
