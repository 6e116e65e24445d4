"""Sums of values, as where a shortcut meets its branch: ``y = x_1 + ... + x_n``, all of one shape."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from snnconvert.graph import OnnxWriter, Operator, Role, Shape


@dataclass(frozen=True, eq=False)
class Sum(Operator):
    """The sum of values of one shape."""

    role = Role.SUM

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(set(inputs)) != 1:
            raise ValueError(f"values of different shapes are added: {', '.join(map(str, inputs))}")
        return inputs[0]

    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        total = inputs[0]
        for value in inputs[1:]:
            total = total + value
        return total

    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        total = inputs[0]
        for index, value in enumerate(inputs[1:], start=2):
            name = output if index == len(inputs) else writer.fresh(f"{output}.sum")
            total = writer.node("Add", [total, value], name)


def examples() -> Iterator[tuple[Operator, list[Shape]]]:
    """Yield operators with input shapes for the contract tests."""
    yield Sum(), [(4, 5), (4, 5)]
    yield Sum(), [(4, 5, 2)] * 3
