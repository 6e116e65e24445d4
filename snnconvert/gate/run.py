"""Runs a bundle on the samples of a baseline, wherever they lie among others."""

from collections.abc import Set
from pathlib import Path

import numpy as np

from snnconvert.data.samples import Dataset
from snnconvert.errors import DataError
from snnconvert.report.evaluator import Evaluator


class ChosenSamples(Evaluator):
    """An evaluator that leaves out samples whose names are not ``wanted`` (None: none), and counts them."""

    def __init__(self, folder: Path, wanted: Set[str] | None) -> None:
        super().__init__(folder)
        self.wanted = wanted
        self.left_out = 0
        self._found: tuple[Dataset, np.ndarray, list[str]] | None = None

    def samples(self, path: str | None, most: int | None = None) -> tuple[Dataset, np.ndarray, list[str]]:
        if self._found is None:
            dataset, indices, ids = super().samples(path, most)
            kept = [place for place, name in enumerate(ids) if self.wanted is None or name in self.wanted]
            if not kept:
                raise DataError("E201", f"{path}: holds no sample of the baseline", "give the samples of the baseline")
            self.left_out = len(ids) - len(kept)
            self._found = dataset, indices[kept], [ids[place] for place in kept]
        return self._found
