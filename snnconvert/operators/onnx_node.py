"""A read-only view of one ONNX node, and the registry of functions that turn such a node into an operator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnconvert.graph import Operator, Shape
from snnconvert.registry import Registry

MAX_ELEMENTS = 2**26  # of one sample of one value
TO_THE_END = (2**31 - 1, 2**63 - 1)  # of a slice, whichever way it goes
MAX_INTEGERS = 1024  # in a list of axes, sizes or pads

Array = NDArray[np.generic]


class Unsupported(Exception):  # noqa: N818 - a refusal with its reason, told by the loader with the node's name
    """This node cannot be taken: why, and what the user can do; ``advice`` is for where no reason has its own."""

    code = "E123"
    advice = "docs/operators.md tells which forms of an operator are supported; simplify the network, as onnxsim does"

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint or self.advice


class TooLarge(Unsupported):
    """This node asks for more memory than any network needs."""

    code = "E122"
    advice = "is a size wrong? if not, convert a smaller network, or export it without what makes this so large"


@dataclass(frozen=True)
class Reading:
    """What a node was read as: an operator on some of the node's inputs, or on readings of its own (nested)."""

    operator: Operator
    inputs: "tuple[str | Reading, ...]"


def composed(value: "str | Reading", *operators: Operator) -> Reading:
    """Return the reading that applies operators one after the other to a value."""
    reading = value
    for operator in operators:
        reading = Reading(operator, (reading,))
    if isinstance(reading, str):
        raise ValueError("no operators to compose")
    return reading


@dataclass(frozen=True)
class OnnxNode:
    """One ONNX node. Input ``i`` is a constant (``constants[i]``) or a value of this sample shape (``shapes[i]``).

    ``batch`` is the size of the batch axis, or a number that stands for it; ``outputs`` counts to the last with a name.
    """

    name: str
    op_type: str
    opset: int
    attributes: Mapping[str, object]
    inputs: tuple[str, ...]
    constants: tuple[Array | None, ...]
    shapes: tuple[Shape | None, ...]
    batch: int
    outputs: int = 1

    def data(self, index: int = 0) -> tuple[str, Shape]:
        """Return name and sample shape of an input that must depend on the sample."""
        shape = self.shapes[index] if index < len(self.shapes) else None
        if shape is None:
            raise Unsupported(f"input {index} must be a value that is computed from the sample")
        return self.inputs[index], shape

    def constant(self, index: int, default: Array | None = None) -> Array:
        """Return an input that must be a constant; ``default`` where an optional one is left out."""
        if index >= len(self.inputs) or self.inputs[index] == "":
            if default is None:
                raise Unsupported(f"input {index} is missing")
            return default
        value = self.constants[index]
        if value is None:
            raise Unsupported(
                f"input {index} ('{self.inputs[index]}') is computed from the sample, and must be constant",
                "such a network multiplies or indexes activations by activations; it has no rate-coded form",
            )
        return value

    def optional(self, index: int) -> Array | None:
        """Return a constant input, or None where it is left out."""
        if index >= len(self.inputs) or self.inputs[index] == "":
            return None
        return self.constant(index)

    def weight(self, index: int) -> NDArray[np.float32]:
        """Return a constant floating-point input as float32."""
        value = self.constant(index)
        if value.dtype.kind != "f":
            raise Unsupported(f"input {index} ('{self.inputs[index]}') has type {value.dtype}, not a float")
        return value.astype(np.float32)

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise Unsupported(f"attribute '{name}' is no integer")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return an integer attribute that is 0 or 1; of other numbers nobody knows what they mean."""
        value = self.integer(name, int(default))
        if value not in (0, 1):
            raise Unsupported(f"attribute '{name}' is {value}, neither 0 nor 1")
        return bool(value)

    def number(self, name: str, default: float) -> float:
        """Return a float attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, float | int):
            raise Unsupported(f"attribute '{name}' is no number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def integers(self, name: str, default: tuple[int, ...] | None = None, index: int | None = None) -> tuple[int, ...]:
        """Return a list of integers: attribute ``name``, or, as newer opsets have it, constant input ``index``."""
        value: object = self.attributes.get(name)
        if value is None and index is not None:
            found = self.optional(index)
            if found is not None and found.size > MAX_INTEGERS:
                raise Unsupported(f"'{name}' has {found.size} entries")
            value = None if found is None else [int(each) for each in np.atleast_1d(found)]
        if value is None:
            if default is None:
                raise Unsupported(f"'{name}' is missing")
            return default
        if not isinstance(value, list | tuple):
            raise Unsupported(f"'{name}' is no list of integers")
        return tuple(int(each) for each in value)

    def sample_axis(self, axis: int, rank: int) -> int:
        """Turn an ONNX axis (the batch is axis 0) into an axis of a sample with ``rank`` axes."""
        resolved = axis + rank + 1 if axis < 0 else axis
        if not 0 <= resolved <= rank:
            raise Unsupported(f"axis {axis} of a tensor with {rank + 1} axes")
        if resolved == 0:
            raise Unsupported("it works across the batch", "every sample must be treated alone")
        return resolved - 1


def cut(start: int, end: int, step: int, size: int) -> range:
    """Return which elements of an axis ONNX's Slice takes; not Python's, where a negative step begins below 0."""
    if step == 0:
        raise Unsupported("step 0")
    start, end = (place + size if place < 0 else place for place in (start, end))
    if step > 0:
        return range(min(max(start, 0), size), min(max(end, 0), size), step)
    last = -1 if end in TO_THE_END else min(max(end, -1), size - 1)
    return range(min(max(start, 0), size - 1), last, step)


# a reader returns one reading for each output of the node
READERS: Registry[Callable[[OnnxNode], Reading | tuple[Reading, ...]]] = Registry("ONNX operator")
