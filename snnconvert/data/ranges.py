"""Between which values samples lie, and whether two sets look as if they were stored in the same units."""

import numpy as np

from snnconvert.errors import DataError

UNLIKE = 10.0  # 0..1 against 0..255 comes to 255, 0..16 to 16; eight real images against eight others to 1.04


def value_range(x: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value of ``x``, for people to see. Raises DataError E201 if it is empty."""
    if x.size == 0:
        raise DataError("E201", "no values to take the range of")
    return float(x.min()), float(x.max())


def range_warning(calib: np.ndarray, evaluation: np.ndarray) -> str | None:
    """Say that a few samples of both sets, preprocessed, lie in wildly different ranges; None where they do not.

    They do where one of the ranges covers less than a tenth of what both cover together.
    """
    (low, high), (other_low, other_high) = ranges = value_range(calib), value_range(evaluation)
    together = max(high, other_high) - min(low, other_low)
    if together <= UNLIKE * min(high - low, other_high - other_low):
        return None
    ours, theirs = (f"{each[0]:.4g} to {each[1]:.4g}" for each in ranges)
    return f"calibration samples lie from {ours}, evaluation samples from {theirs}: are both stored in the same units?"
