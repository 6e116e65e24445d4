"""Choose samples by seeded hashes: in halves, or a few of many."""

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np


def split_half(ids: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split samples by a seeded hash of their ids: (indices to calibrate with, indices to evaluate on), both sorted.

    The order of the ids plays no part. Samples are sorted by sha256 of ``"SEED ID"``; the first half (rounded up)
    calibrates. Equal samples (ids that differ by ``-k`` only) stay together: the cut moves to the nearest place
    between two different samples that leaves none of the halves empty. One single sample is for calibration.
    """
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(ids):
        base = name.partition("-")[0]
        groups.setdefault(hashlib.sha256(f"{seed} {base}".encode()).hexdigest(), []).append(index)
    ordered = [groups[key] for key in sorted(groups)]
    sizes = np.cumsum([len(group) for group in ordered])
    half = (len(ids) + 1) // 2
    cut = 1 + int(np.argmin(np.abs(sizes[:-1] - half))) if len(ordered) > 1 else len(ordered)
    first, second = (np.array(sorted(itertools.chain(*part)), np.int64) for part in (ordered[:cut], ordered[cut:]))
    return first, second


def limited(indices: np.ndarray, samples: int | None, seed: int) -> np.ndarray:
    """Return at most so many of the indices, chosen by a seeded hash (sets are often sorted by class)."""
    if samples is None or samples >= len(indices):
        return indices
    ranked = sorted(indices.tolist(), key=lambda index: hashlib.sha256(f"{seed}:{index}".encode()).digest())
    return np.array(sorted(ranked[:samples]), np.int64)
