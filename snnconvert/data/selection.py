"""Chooses, of the samples of one or two sets, those that calibrate and those that evaluate."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from snnconvert.data.prefetch import in_order
from snnconvert.data.preprocessing import Preprocessing, layout
from snnconvert.data.samples import Dataset, Each, batches, numbered, open_dataset, sample_id, sample_ids
from snnconvert.data.split import limited, split_half
from snnconvert.errors import HINTS, DataError

DECODING = 2  # threads that decode images
SKIP_HINT = "--skip-bad N leaves out up to N images that cannot be read"


@dataclass(frozen=True)
class Selection:
    """Samples of a set, and how they become inputs of the network of shape ``shape``.

    workers: threads that decode images. skipped: what is wrong with the images of the set that were left out (of a
    set that serves twice, the calibration's part tells). names: `sample_id` of the samples, where they were needed.
    bins: in how many steps recordings arrive; None where samples are told as a whole.
    """

    dataset: Dataset
    indices: np.ndarray
    preprocessing: Preprocessing
    shape: tuple[int, ...]
    workers: int = 1
    skipped: tuple[str, ...] = ()
    names: Mapping[int, str] | None = None
    bins: int | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def layout(self) -> str:
        """How a sample is read, told by the network's input."""
        first = int(self.indices[0])
        (sample,) = self._each(self.dataset.sample, [first])
        try:
            return layout(sample.shape, self.shape)
        except DataError as error:
            raise error.at(self.dataset.origin(first)) from None

    @property
    def labels(self) -> np.ndarray | None:
        """Labels of the chosen samples, or None."""
        return None if self.dataset.labels is None else self.dataset.labels[self.indices]

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the chosen samples; every one of them is read once, if it was not read before."""
        if self.names is None:
            return sample_ids(self.dataset, self.indices, self._each)
        return numbered(self.names[index] for index in self.indices.tolist())

    def first(self, count: int) -> np.ndarray:
        """Return the first few samples, preprocessed, ``(N, ...)``, or ``(N, bins, ...)``."""
        return np.concatenate([*self.between(0, count).batches(count, lambda _: None)])

    def in_time(self, bins: int | None) -> "Selection":
        """Return the same samples as they arrive in so many steps, or as a whole."""
        return replace(self, bins=bins)

    def part(self, count: int, seed: int) -> "Selection":
        """Return at most so many of the samples, chosen by a seeded hash."""
        return replace(self, indices=limited(self.indices, count, seed))

    def between(self, start: int, stop: int) -> "Selection":
        """Return the samples from one place to before another."""
        return replace(self, indices=self.indices[start:stop])

    def batches(self, size: int, advance: Callable[[int], None]) -> Iterator[np.ndarray]:
        """Yield preprocessed samples ``(N, ...)``, or ``(N, bins, ...)`` with what arrives in each step.

        ``advance(N)`` is called when a batch has been used.
        """
        args = self.dataset, self.indices, self.preprocessing, self.shape, size, self._each, self.bins
        for _, x in batches(*args):
            yield x
            advance(len(x))

    @property
    def _each(self) -> Each:
        return reading(self.dataset, self.workers)


def reading(dataset: Dataset, workers: int) -> Each:
    """Return a `map` that reads images by threads (arrays are at hand), and tells of --skip-bad where one is broken."""

    def each(function: Callable[[int], Any], items: Iterable[int]) -> Iterator[Any]:
        try:
            yield from in_order(function, items, workers if dataset.array is None else 1)
        except DataError as error:
            raise _suggesting(error) from error

    return each


def select(
    calib: tuple[str, int | None],
    evaluation: tuple[str | None, int | None],
    seed: int,
    preprocessing: Preprocessing,
    shape: tuple[int, ...],
    *,
    workers: int = 1,
    skip_bad: int = 0,
) -> tuple[Selection, Selection]:
    """Open ``(path, at most so many samples)`` of both sets and return who calibrates and who evaluates.

    Where no path evaluates, a seeded hash of the samples halves the calibration set. With ``skip_bad``, every image of
    a set is decoded before any is chosen, and up to so many that cannot be read are left out of the set. Raises what
    opening raises, DataError E202 for one bad image more, E201 where too few samples are left.
    """

    def whole(path: str, named: bool) -> Selection:
        dataset = open_dataset(path)
        if not named and (skip_bad == 0 or dataset.array is not None):
            return Selection(dataset, np.arange(len(dataset)), preprocessing, shape, workers)
        names, skipped = _readable(dataset, workers, skip_bad)
        return Selection(dataset, np.array([*names], np.int64), preprocessing, shape, workers, skipped, names)

    first = whole(calib[0], evaluation[0] is None)
    if evaluation[0] is not None:
        second = whole(evaluation[0], False)
    else:
        halves = split_half(first.ids, seed)
        if len(halves[1]) == 0:  # one sample, or many copies of one
            raise DataError("E201", f"{calib[0]}: one sample cannot both calibrate and evaluate", "give --eval")
        second = replace(first, indices=first.indices[halves[1]], skipped=())
        first = replace(first, indices=first.indices[halves[0]])
    return (
        replace(first, indices=limited(first.indices, calib[1], seed)),
        replace(second, indices=limited(second.indices, evaluation[1], seed)),
    )


def shared(left: Selection, right: Selection) -> int:
    """Count the chosen samples of ``right`` that are, to the bit, chosen in ``left`` too."""
    seen = {name.partition("-")[0] for name in left.ids}
    return sum(name.partition("-")[0] in seen for name in right.ids)


def _readable(dataset: Dataset, workers: int, skip_bad: int) -> tuple[dict[int, str], tuple[str, ...]]:
    """Read a whole set; return the names of its samples by their index, and what is wrong with those left out."""

    def look(i: int) -> str | DataError:
        try:
            return sample_id(dataset.sample(i))
        except DataError as error:
            return error

    names: dict[int, str] = {}
    skipped: list[str] = []
    for i, found in enumerate(reading(dataset, workers)(look, range(len(dataset)))):
        if isinstance(found, str):
            names[i] = found
        elif len(skipped) < skip_bad:
            skipped.append(found.message)
        else:
            raise _suggesting(found)
    if not names:
        raise DataError(
            "E201", f"{dataset.path}: none of {len(dataset)} images can be read", f"the first: {skipped[0]}"
        )
    return names, tuple(skipped)


def _suggesting(error: DataError) -> DataError:
    """Return what to raise of an error while reading: where an image is broken, it can be left out."""
    if error.code != "E202":
        return error
    hint = SKIP_HINT if error.hint in (None, HINTS.get(error.code)) else f"{error.hint}, or {SKIP_HINT}"
    return DataError(error.code, error.message, hint)
