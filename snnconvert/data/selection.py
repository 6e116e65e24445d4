"""Chooses, of the samples of one or two sets, those that calibrate and those that evaluate."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from snnconvert.data.preprocessing import Preprocessing, layout
from snnconvert.data.samples import Dataset, batches, open_dataset, sample_ids, split_half
from snnconvert.errors import DataError


@dataclass(frozen=True)
class Selection:
    """Samples of a set, and how they become inputs of the network of shape ``shape``."""

    dataset: Dataset
    indices: np.ndarray
    preprocessing: Preprocessing
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def layout(self) -> str:
        """How a sample is read, told by the network's input."""
        first = int(self.indices[0])
        try:
            return layout(self.dataset.sample(first).shape, self.shape)
        except DataError as error:
            raise DataError(error.code, f"{self.dataset.origin(first)}: {error.message}", error.hint) from None

    @property
    def labels(self) -> np.ndarray | None:
        """Labels of the chosen samples, or None."""
        return None if self.dataset.labels is None else self.dataset.labels[self.indices]

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the chosen samples; every one of them is read once."""
        return sample_ids(self.dataset, self.indices)

    def first(self, count: int) -> np.ndarray:
        """Return the first few samples, preprocessed, ``(N, ...)``."""
        chosen = batches(self.dataset, self.indices[:count], self.preprocessing, self.shape, count)
        return np.concatenate([x for _, x in chosen])

    def batches(self, size: int, advance: Callable[[int], None]) -> Iterator[np.ndarray]:
        """Yield preprocessed samples ``(N, ...)``; ``advance(N)`` is called when a batch has been used."""
        for _, x in batches(self.dataset, self.indices, self.preprocessing, self.shape, size):
            yield x
            advance(len(x))


def select(
    calib: tuple[str, int | None],
    evaluation: tuple[str | None, int | None],
    seed: int,
    preprocessing: Preprocessing,
    shape: tuple[int, ...],
) -> tuple[Selection, Selection]:
    """Open ``(path, at most so many samples)`` of both sets and return who calibrates and who evaluates.

    Where no path evaluates, a seeded hash of the samples halves the calibration set.
    """
    dataset = open_dataset(calib[0])
    everything = np.arange(len(dataset), dtype=np.int64)
    if evaluation[0] is not None:
        other = open_dataset(evaluation[0])
        halves = (everything, np.arange(len(other), dtype=np.int64))
    else:
        other, halves = dataset, split_half(sample_ids(dataset, everything), seed)
        if len(halves[1]) == 0:  # one sample, or many copies of one
            raise DataError("E201", f"{calib[0]}: one sample cannot both calibrate and evaluate", "give --eval")
    return (
        Selection(dataset, limited(halves[0], calib[1], seed), preprocessing, shape),
        Selection(other, limited(halves[1], evaluation[1], seed), preprocessing, shape),
    )


def limited(indices: np.ndarray, samples: int | None, seed: int) -> np.ndarray:
    """Return at most so many of the indices, chosen by a seeded hash (sets are often sorted by class)."""
    if samples is None or samples >= len(indices):
        return indices
    ranked = sorted(indices.tolist(), key=lambda index: hashlib.sha256(f"{seed}:{index}".encode()).digest())
    return np.array(sorted(ranked[:samples]), np.int64)


def shared(left: Selection, right: Selection) -> int:
    """Count the chosen samples of ``right`` that are, to the bit, chosen in ``left`` too."""
    seen = {name.partition("-")[0] for name in left.ids}
    return sum(name.partition("-")[0] in seen for name in right.ids)
