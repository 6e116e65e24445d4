"""Predictions, measurements and baselines, made of a few arrays."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnconvert.gate.baseline import counts
from snnconvert.gate.measurement import Measurement
from snnconvert.gate.predictions import Predictions
from snnconvert.gate.schema import Gate, Model, Row
from snnconvert.gate.update import write_baseline


def ids(n: int) -> tuple[str, ...]:
    return tuple(f"{index:016x}" for index in range(n))


@pytest.fixture
def predict() -> Callable[..., Predictions]:
    """Predictions of ``n`` samples of class 1, at each step wrong on the given positions."""

    def make(
        n: int = 1000, wrong: dict[int, list[int]] | None = None, *, labelled: bool = True, ann_wrong: int = 0
    ) -> Predictions:
        wrong = {8: [], 32: []} if wrong is None else wrong
        snn = np.ones((n, len(wrong)), np.int64)
        for column, places in enumerate(wrong.values()):
            snn[places, column] = 0
        ann = np.ones(n, np.int64)
        ann[:ann_wrong] = 2
        return Predictions(ids(n), np.full(n, 1 if labelled else -1), ann, tuple(wrong), snn)

    return make


@pytest.fixture
def measure() -> Callable[..., Measurement]:
    """The measurement of such predictions; every step costs ``spikes`` spikes and ten times as many operations."""

    def make(predictions: Predictions, spikes: float = 100.0, **options: object) -> Measurement:
        rows = []
        for t in predictions.steps:
            right, agreed = counts(predictions, t)
            cost = {"spikes_per_sample": spikes * t, "synops_per_sample": 10 * spikes * t}
            rows.append(Row(t=t, correct=right, agreed=agreed, **cost))
        model = Model(file="net.onnx", sha256="a" * 64)
        return Measurement("net_snn", "stored", model, dict(options), predictions, tuple(rows))

    return make


@pytest.fixture
def baseline_file(tmp_path: Path, predict: Callable, measure: Callable) -> Path:
    """A baseline of one network ``net`` that is always right, 1,000 samples at T = 8 and 32."""
    path = tmp_path / "snn-baseline.json"
    write_baseline(path, None, [("net", measure(predict()), Gate())], "first")
    return path
