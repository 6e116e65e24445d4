"""Sums with the same bits whatever the number of threads: torch shares a large sum among them, and rounds otherwise."""

import numpy as np
from torch import Tensor


def total(values: Tensor) -> float:
    """Return the sum of all values, in float64."""
    return float(values.cpu().numpy().sum(dtype=np.float64))


def squared(difference: Tensor) -> float:
    """Return the sum of squares."""
    return total(difference.double().square())
