"""Which constants depend on the number of samples: a free batch may be a size of the output, never part of a formula.

``Shape`` of a value gives its batch beside its other sizes, and nodes go on computing with it. Marks follow it element
by element, so that what a shape is put together from stays apart.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from snnconvert.load.constants import FOLDERS
from snnconvert.load.constants.arithmetic import BROADCAST, UNARY
from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.onnx_node import Array

# elements of inputs 0 to n become elements of the output (None: all inputs); other inputs say which
MOVES: Mapping[str, int | None] = {
    "Gather": 1,
    "Concat": None,
    "Identity": 1,
    "Reshape": 1,
    "Squeeze": 1,
    "Unsqueeze": 1,
    "Transpose": 1,
    "Slice": 1,
    "Flatten": 1,
    "Expand": 1,
    "Tile": 1,
}
# an element of the output is computed from the elements in its place
ELEMENTWISE = {*BROADCAST, *UNARY, "Cast", "CastLike", "Where"}
SIZES: Mapping[str, int] = {"Reshape": 1, "Expand": 1, "Resize": 3}  # the input that is the shape of the output


class BatchMarks:
    """Marks, by the name of a constant, the elements that would be others for another number of samples."""

    def __init__(self) -> None:
        self._marks: dict[str, Array] = {}

    def mark_shape(self, name: str, first: bool, size: int) -> None:
        """Mark what Shape gives of a value: its first element is the batch, if it was asked for."""
        if first and size:
            self._marks[name] = np.arange(size) == 0

    def follow(self, node: OnnxNode, name: str, value: Array) -> None:
        """Mark the constant ``name``, which a node computed as ``value``."""
        marks = [self._marks.get(each) for each in node.inputs]
        if all(mark is None for mark in marks):
            return
        moved = MOVES.get(node.op_type, 0)
        if moved is None:
            moved = len(marks)
        if node.op_type in ELEMENTWISE:
            mark: Array = np.zeros(value.shape, np.bool_)
            for each in marks:
                mark = mark if each is None else np.logical_or(mark, each)
        elif all(each is None for each in marks[moved:]):
            filled = tuple(
                _unmarked(constant) if each is None else each
                for each, constant in zip(marks[:moved], node.constants, strict=False)
            )
            given = dataclasses.replace(node, constants=(*filled, *node.constants[moved:]))
            mark = np.asarray(FOLDERS[node.op_type](given))
        else:  # where an element goes depends on the batch
            mark = np.ones(value.shape, np.bool_)
        if mark.any() or not mark.size:
            self._marks[name] = mark

    def require_unmarked(self, node: OnnxNode) -> None:
        """Refuse a node that computes with the number of samples; one may keep it as the first size of its output."""
        for index, name in enumerate(node.inputs):
            mark = self._marks.get(name)
            if mark is None or (SIZES.get(node.op_type) == index and mark.ndim == 1 and not mark[1:].any()):
                continue
            raise Unsupported(
                f"input {index} ('{name}') is computed from the number of samples",
                "export with a fixed batch, or without arithmetic on the batch: every sample must be treated alone",
            )


def _unmarked(constant: Array | None) -> Array | None:
    return None if constant is None else np.zeros(constant.shape, np.bool_)
