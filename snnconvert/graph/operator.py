"""What an operator is: a pure function of one or more samples that knows how to be folded, rescaled and counted."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import ClassVar, Self

import torch
from torch import Tensor

from snnconvert.graph.onnx_writer import OnnxWriter

Shape = tuple[int, ...]


class Role(Enum):
    """What becomes of an operator in a spiking network."""

    WEIGHTED = "weighted synapse"  # linear in the input plus a bias, and free to choose the scale of its output
    LINEAR = "linear"  # linear without weights: carries the scale of its input through
    SUM = "sum"  # adds values, which must have one common scale
    ACTIVATION = "spiking"  # becomes a layer of neurons
    MAXIMUM = "maximum"  # max pooling
    IDENTITY = "identity"  # leaves its input as it is


class IncompatibleScale(Exception):  # noqa: N818 - it is an answer, not a failure
    """An operator cannot take this scale into its weights; the caller keeps it outside."""


class Operator(ABC):
    """A function of samples. Subclasses are frozen dataclasses whose tensors are float32 parameters.

    Tensors given to :meth:`evaluate` have the batch as axis 0; shapes given to :meth:`infer_shape` do not have it.
    """

    role: ClassVar[Role]
    keeps_spikes: ClassVar[bool] = False  # every output element is one input element, or zero
    weights: ClassVar[Mapping[str, int | None]] = {}  # fields that are weights, with their axis of outputs, if any

    @abstractmethod
    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ValueError where the inputs do not fit."""

    @abstractmethod
    def evaluate(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the output of a batch."""

    @abstractmethod
    def to_onnx(self, writer: OnnxWriter, inputs: Sequence[str], shapes: Sequence[Shape], output: str) -> None:
        """Write the operator as ONNX nodes (opset 18) that compute ``output``."""

    def rescaled(self, input_scale: Tensor, output_scale: Tensor, output_shift: Tensor) -> "Operator":
        """Return g with ``g(x) = output_scale * f(input_scale * x) + output_shift`` (weighted operators only).

        Raises:
            IncompatibleScale: where the weights cannot hold such a scale.
        """
        raise IncompatibleScale

    def regression(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return inputs ``(N, places, groups, inputs)`` and outputs ``(N, places, groups, outputs)`` of the weights.

        ``x`` and ``y`` are of the shapes of the operator's input and output: at each place, the weights ``(groups,
        outputs, inputs)`` make the one of the other. None where an operator does not tell.
        """
        return None

    def shifted(self, weight: Tensor, bias: Tensor) -> "Operator":
        """Return the operator with ``weight (groups, outputs, inputs)`` and ``bias (outputs of all groups,)`` added."""
        raise NotImplementedError

    def carry_scale(self, scales: Sequence[Tensor], shapes: Sequence[Shape]) -> Tensor:
        """Return s with ``f(scale * x) = s * f(x)`` (operators that choose no scale of their own).

        Raises:
            IncompatibleScale: where no such scale exists.
        """
        raise IncompatibleScale

    def structure(self) -> "Operator":
        """Return the operator whose Jacobian counts connections: each existing weight is 1."""
        return self

    def fan_out(self, downstream: Tensor, shapes: Sequence[Shape], index: int = 0) -> Tensor:
        """Count, for each element of input ``index``, the connections that leave it, border included.

        ``downstream`` (shape of the output) says how many connections leave each element of the output.
        """
        return _paths(self.structure(), downstream, shapes, index)

    def effective_fan_out(self, downstream: Tensor, shapes: Sequence[Shape], index: int = 0) -> Tensor:
        """Count the same without the connections whose weight is zero."""
        if not self.weights:
            return self.fan_out(downstream, shapes, index)
        present = {name: (getattr(self, name) != 0).float() for name in self.weights}
        return _paths(dataclasses.replace(self.structure(), **present), downstream, shapes, index)  # type: ignore[type-var]

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Return the operator with a function applied to each of its tensors (a device, a dtype)."""
        changed = {name: function(value) for name, value in self.tensors.items()}
        return dataclasses.replace(self, **changed) if changed else self  # type: ignore[type-var]

    @property
    def finite(self) -> bool:
        """Whether no parameter is NaN or infinite."""
        return all(bool(value.isfinite().all()) for value in self.tensors.values())

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its parameters, by the names of the fields."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Multiply-accumulates of one sample (weighted operators; 0 for others; bias not counted)."""
        return 0

    def work(self, inputs: Sequence[Shape]) -> int:
        """Bound what one sample costs: multiply-accumulates, or elements that are read or written."""
        return max(self.macs(inputs), math.prod(self.infer_shape(inputs)), *(math.prod(shape) for shape in inputs))


def _paths(structure: Operator, downstream: Tensor, shapes: Sequence[Shape], index: int) -> Tensor:
    """Count the ways from each element of an input to the output: they are the gradient, where weights are 1 or 0."""
    probes = [torch.zeros((1, *shape), dtype=torch.float64, requires_grad=True) for shape in shapes]
    counting = structure.mapped(lambda tensor: tensor.double())
    with torch.enable_grad():
        output = counting.evaluate(probes)
        if not output.requires_grad:
            return torch.zeros(shapes[index], dtype=torch.float64)
        (gradient,) = torch.autograd.grad(output, probes[index], downstream[None].to(output.dtype))
    return gradient[0]
