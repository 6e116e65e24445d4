"""Runs a torch network under a limit on every value that it computes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from snnconvert.load.ends import MAX_BATCH_ELEMENTS

# where a number that is too large means the end, or is a value
UNBOUNDED = {
    "slice",
    "add",
    "sub",
    "mul",
    "div",
    "clamp",
    "clamp_min",
    "clamp_max",
    "fill",
    "full",
    "scalar_tensor",
    "where",
}


class TooLargeError(Exception):
    """A value would have more elements than the limit."""


class SizeLimit(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Asks for the shape of every result before it is computed; ``finding`` is why a run was stopped.

    A view or a copy of something large is no larger than it was, so the limit is that of the largest operand.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.finding: str | None = None

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operator, if its result is small enough."""
        kwargs = dict(kwargs or {})
        if function is torch.ops.aten.equal.default:  # of all pairs of constants, in torch's passes; it makes no tensor
            return function(*args, **kwargs)
        self._require_sound(function, args)
        operands = list(_tensors((*args, *kwargs.values())))
        limit = max([MAX_BATCH_ELEMENTS, *(each.numel() for each in operands)])
        for shape in self._shapes(function, args, kwargs, operands):
            if shape.numel() > limit:
                self.finding = f"a value of shape {tuple(shape)}, more than {limit} elements"
                raise TooLargeError(self.finding)
        return function(*args, **kwargs)

    def _require_sound(self, function: Any, args: tuple[Any, ...]) -> None:
        """Refuse what an operator of torch would believe without looking."""
        name = function._schema.name.removeprefix("aten::")
        if name == "_native_batch_norm_legit_no_training":
            channels = args[0].shape[1] if args[0].ndim > 1 else -1
            if any(each is not None and tuple(each.shape) != (channels,) for each in args[1:5]):
                self.finding = f"a batch norm of {channels} channels with parameters of other sizes"
        elif name.startswith("upsample_bicubic"):  # it reads beyond its input for some scales, and cannot be converted
            self.finding = "cubic interpolation"
        elif name not in UNBOUNDED and any(abs(each) >= 2**31 for each in _integers(args)):
            self.finding = f"{name} with a size of 2**31 or more"
        if self.finding:
            raise TooLargeError(self.finding)

    def _shapes(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Sequence[torch.Tensor]
    ) -> list[torch.Size]:
        """Return the shapes of the results; none where only the numbers in the operands could tell."""
        described = _mapped(_on_meta, args), _mapped(_on_meta, kwargs)
        if "device" in kwargs or not operands:  # it makes a tensor from nothing
            described[1]["device"] = torch.device("meta")
        try:
            return [each.shape for each in _tensors([function(*described[0], **described[1])])]
        except (RuntimeError, NotImplementedError, TypeError):
            return []


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("meta")


def _tensors(values: Iterable[Any]) -> Iterable[torch.Tensor]:
    """Yield the tensors in nested sequences."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


def _integers(values: Iterable[Any]) -> Iterable[int]:
    """Yield the whole numbers in nested sequences."""
    for value in values:
        if isinstance(value, int):
            yield value
        elif isinstance(value, tuple | list):
            yield from _integers(value)


def _mapped(function: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """Apply a function to the tensors in nested sequences."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, tuple | list):
        return type(value)(_mapped(function, each) for each in value)
    if isinstance(value, dict):
        return {key: _mapped(function, each) for key, each in value.items()}
    return value
