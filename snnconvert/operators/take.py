"""Elements taken by a constant index along one axis, ``y[i] = x[index[i]]``: chosen, repeated, reordered."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snnconvert.graph import OnnxWriter, Operator, Role, Shape, compact
from snnconvert.operators.onnx_node import MAX_ELEMENTS, READERS, OnnxNode, Reading, TooLarge, Unsupported, composed
from snnconvert.operators.reshape import Identity, Reshape

MAX_INDEX = 2**22  # elements along one axis


@dataclass(frozen=True, eq=False)
class Take(Operator):
    """Elements of a sample's ``axis``, chosen, repeated and ordered by ``index``."""

    axis: int
    index: tuple[int, ...]

    role = Role.LINEAR
    keeps_spikes = True

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        if self.axis >= len(shape) or not all(0 <= each < shape[self.axis] for each in self.index):
            raise ValueError(f"indices along axis {self.axis} of a sample of shape {shape}")
        return (*shape[: self.axis], len(self.index), *shape[self.axis + 1 :])

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[0].index_select(self.axis + 1, torch.tensor(self.index, device=inputs[0].device))

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        scale = scales[0]
        if scale.shape[self.axis] == 1:
            return scale
        return compact(scale.index_select(self.axis, torch.tensor(self.index)))

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        index = writer.constant(f"{output}.index", list(self.index))
        writer.node("Gather", [inputs[0], index], output, axis=self.axis + 1)


def taken(value: "str | Reading", shape: Shape, indices: Sequence[Sequence[int] | None]) -> Reading:
    """Read a value whose axes are indexed, one index or None an axis; refuse a result that is too large."""
    size = math.prod(len(index) if index is not None else n for index, n in zip(indices, shape, strict=True))
    if size > MAX_ELEMENTS or any(len(index) > MAX_INDEX for index in indices if index is not None):
        raise TooLarge(f"it makes a sample of more than {MAX_ELEMENTS} elements")
    reading = value
    for axis, index in enumerate(indices):
        if index is not None and tuple(index) != tuple(range(shape[axis])):
            reading = Reading(Take(axis, tuple(index)), (reading,))
    return Reading(Identity(), (reading,)) if isinstance(reading, str) else reading


def spread(name: str, shape: Shape, target: Shape) -> "str | Reading":
    """Read a value whose axes of size 1 are repeated to the sizes of ``target``; refuse any other difference."""
    if shape == target:
        return name
    if len(shape) != len(target) or any(n not in (1, size) for n, size in zip(shape, target, strict=True)):
        raise Unsupported(f"a sample of shape {shape} does not spread to {target}")
    repeated = [[0] * size if n != size else None for n, size in zip(shape, target, strict=True)]
    return taken(name, shape, repeated)


def together(node: OnnxNode) -> "tuple[list[str | Reading], Shape]":
    """Return the values of one node, its constants left out, spread to one shape, and that shape."""
    values = [node.data(index) for index, shape in enumerate(node.shapes) if shape is not None]
    shapes = [shape for _, shape in values]
    if len({len(shape) for shape in shapes}) > 1:
        raise Unsupported(f"samples of shapes {' and '.join(map(str, shapes))}")
    target = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    if math.prod(target) > MAX_ELEMENTS:
        raise TooLarge(f"it makes a sample of more than {MAX_ELEMENTS} elements")
    return [spread(name, shape, target) for name, shape in values], target


@READERS.register("Gather")
def read_gather(node: OnnxNode) -> Reading:
    """Read Gather as a move of elements.

    Restrictions: a constant index, one number or a list, along an axis of the sample.
    """
    name, shape = node.data()
    index = node.constant(1)
    axis = node.sample_axis(node.integer("axis", 0), len(shape))
    if index.ndim > 1 or index.dtype.kind not in "iu" or index.size > MAX_ELEMENTS:
        raise Unsupported(f"an index of shape {index.shape}; a number or a list of them is supported")
    chosen = [int(each) for each in index.reshape(-1)]
    if not all(-shape[axis] <= each < shape[axis] for each in chosen):
        raise Unsupported(f"an index beyond the {shape[axis]} elements of axis {axis + 1}")
    take = Take(axis, tuple(each % shape[axis] for each in chosen))
    if index.ndim == 1:
        return Reading(take, (name,))
    return composed(name, take, Reshape((*shape[:axis], *shape[axis + 1 :])))


@READERS.register("Expand")
def read_expand(node: OnnxNode) -> Reading:
    """Read Expand as a move of elements.

    Restrictions: a constant shape that leaves the batch alone.
    """
    name, shape = node.data()
    target = node.integers("shape", index=1)
    target = (1,) * (len(shape) + 1 - len(target)) + target
    if len(target) != len(shape) + 1 or target[0] not in (1, node.batch):
        raise Unsupported(f"a sample of shape {shape} to {target}: it spreads the batch")
    sizes = tuple(max(n, size) for n, size in zip(shape, target[1:], strict=True))
    if any(size not in (1, n) for n, size in zip(sizes, target[1:], strict=True)):
        raise Unsupported(f"a sample of shape {shape} does not spread to {target[1:]}")
    if math.prod(sizes) > MAX_ELEMENTS:
        raise TooLarge(f"it makes a sample of more than {MAX_ELEMENTS} elements")
    reading = spread(name, shape, sizes)
    return Reading(Identity(), (name,)) if isinstance(reading, str) else reading


@READERS.register("Tile")
def read_tile(node: OnnxNode) -> Reading:
    """Read Tile as a move of elements.

    Restrictions: constant repeats that leave the batch alone.
    """
    name, shape = node.data()
    repeats = node.integers("repeats", index=1)
    if len(repeats) != len(shape) + 1 or repeats[0] != 1 or min(repeats) < 1:
        raise Unsupported(f"repeats {repeats} of a sample of shape {shape}")
    if math.prod(shape) * math.prod(repeats) > MAX_ELEMENTS:
        raise TooLarge(f"it makes a sample of more than {MAX_ELEMENTS} elements")
    return taken(name, shape, [[*range(n)] * count for n, count in zip(shape, repeats[1:], strict=True)])


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    yield Take(1, (0, 0, 1, 1, 2, 2)), [(4, 3, 5)]
    yield Take(0, (3, 1)), [(4, 3, 5)]
