"""When a sample is decided: its best class leads the second by so much that it need not run on.

The error of a rate falls as 1/T, so that of the sum of outputs over T steps stays about the same, and a lead that is
large enough once stays. This file is carried by the evaluator of every bundle unchanged, so it needs nothing but numpy.
"""

import numpy as np


def leads(outputs: np.ndarray) -> np.ndarray:
    """Return by how much the largest of outputs ``(N, classes)`` exceeds the second, ``(N,)``."""
    first_two = np.partition(outputs, -2, axis=1)[:, -2:]
    return np.asarray(first_two[:, 1] - first_two[:, 0])


def settled(outputs: np.ndarray, lead: float | None) -> np.ndarray:
    """Tell which samples of summed outputs ``(N, classes)`` are decided; none where ``lead`` is None."""
    return np.zeros(len(outputs), bool) if lead is None else leads(outputs) >= lead
