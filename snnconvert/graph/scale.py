"""Scales and shifts of a value: float64 tensors that broadcast to the shape of one sample, of the same rank."""

import torch
from torch import Tensor


def ones(rank: int) -> Tensor:
    """Return the scale 1 for a value of this rank."""
    return torch.ones((1,) * rank, dtype=torch.float64)


def scale_of(values: Tensor, axis: int, rank: int) -> Tensor:
    """Lay a vector of per-channel values along ``axis`` of a value of this rank."""
    shape = [1] * rank
    shape[axis] = values.numel()
    return values.to(torch.float64).reshape(shape)


def full(scale: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Spread a scale over every element of a sample."""
    return scale.expand(shape).contiguous()


def compact(scale: Tensor, tolerance: float = 0.0) -> Tensor:
    """Shrink every axis along which the scale does not change; the inverse of :func:`full`.

    ``tolerance`` is relative to the largest entry: sums of the same numbers in another order are still the same.
    """
    limit = tolerance * float(scale.abs().max()) if scale.numel() else 0.0
    for axis in range(scale.ndim):
        first = scale.narrow(axis, 0, 1)
        if scale.shape[axis] > 1 and bool(((scale - first).abs() <= limit).all()):
            scale = first
    return scale.contiguous()


def same(left: Tensor, right: Tensor) -> bool:
    """Tell whether two scales are equal where both are spread over a sample."""
    return bool((left == right).all())
