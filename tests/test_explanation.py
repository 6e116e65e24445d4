"""What is looked at for a diagnosis, and how much of it a budget pays for."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from snnconvert import explanation, pipeline
from snnconvert.config import build_job
from snnconvert.conversion import Conversion
from snnconvert.explanation import explain, times, unfitted
from snnconvert.measure import step_work
from snnconvert.progress import Silent

MODELS = Path(__file__).parents[1] / "models"


def converted(samples: int = 300, steps: tuple[int, ...] = (1, 4), name: str = "digits_cnn", **options: Any):
    document = {
        "model": str(MODELS / f"{name}.onnx"),
        "calib": {"path": str(MODELS / "digits_calib.npz"), "samples": samples},
        "eval": {"path": str(MODELS / "digits_test.npz"), "samples": 16},
        "preprocess": "scale=1/16",
        "convert": {"steps": steps, "correct": (), **options},
    }
    return pipeline.convert(build_job(document, "test"), torch.device("cpu"), Silent())


def explained(conversion: Conversion) -> dict[str, Any]:
    found = explain(conversion, torch.device("cpu"), None, None, Silent()).metrics
    json.dumps(found, allow_nan=False)
    return found


def test_points_of_a_curve() -> None:
    assert times((1, 2, 4)) == [1, 2, 4]
    many = times(tuple(range(1, 1001)))
    assert (many[0], many[-1], len(many)) == (1, 1000, 8)


def test_samples_of_corrections_are_left_out() -> None:
    conversion = converted(correct=("bias",), correct_samples=100)
    chosen = unfitted(conversion)
    assert len(chosen) == 200
    assert not set(chosen.indices) & set(conversion.calib.part(100, 0).indices)
    conversion = converted(110, correct=("bias",), correct_samples=100)
    assert len(unfitted(conversion)) == 110


def test_explanation_is_whole_and_repeats_itself() -> None:
    chosen = converted(name="digits_resnet", steps=(1, 4, 8))
    found = explained(chosen)
    assert found == explained(chosen)
    diagnosis, curves = found["diagnosis"], found["curves"]
    assert (diagnosis["samples"], diagnosis["t"], curves["samples"]) == (64, 8, 64)
    assert [row["name"] for row in diagnosis["layers"]] == list(chosen.network.neurons)
    assert curves["steps"] == [1, 4, 8]
    for name in ("bound", "synchronous", "delayed"):
        assert all(0 <= value <= 1 for value in curves[name]), name
    assert curves["bound"][-1] > 0.9
    assert diagnosis["sentence"]


def test_delayed_network_is_compared_with_a_synchronous_one() -> None:
    plain = explained(converted(name="digits_resnet", steps=(8,)))["curves"]
    delayed = explained(converted(name="digits_resnet", steps=(8,), onset_delay=1))["curves"]
    assert delayed["synchronous"] == plain["synchronous"]
    assert delayed["delayed"] == plain["delayed"]


def test_why_there_is_no_delayed_run() -> None:
    found = explained(converted(reset="zero", steps=(4,)))
    assert found["curves"]["delayed"] is None
    assert "may not fire" in found["curves"]["why"]
    assert "reset to zero" in found["diagnosis"]["sentence"]


def test_corrections_are_fitted_anew_where_the_budget_pays_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = converted(name="digits_resnet", steps=(2, 4), correct=("bias", "weights"))
    curves = explained(chosen)["curves"]
    assert (curves["why"], curves["samples"], curves["fitted"]) == ("", 44, 16)  # of 300, 256 were fitted on
    assert curves["delayed"][-1] > 0.5
    monkeypatch.setattr(explanation, "WORK", step_work(chosen.network) * 6 * 3 * 2 * 7)  # 7 samples could be fitted on
    curves = explained(chosen)["curves"]
    assert (curves["delayed"], curves["why"]) == (None, "it would take too long")


def test_one_step_of_one_bit_is_said_to_be_impossible() -> None:
    assert "cannot carry an activation" in explained(converted(steps=(1,)))["diagnosis"]["sentence"]


@pytest.mark.parametrize(
    ("budget", "samples", "delayed"), [(1e12, 64, True), (30.0, 23, True), (18.0, 18, False), (1.0, 4, False)]
)
def test_budget(monkeypatch: pytest.MonkeyPatch, budget: float, samples: int, delayed: bool) -> None:
    chosen = converted(steps=(2, 4))
    monkeypatch.setattr(
        explanation, "WORK", budget * step_work(chosen.network) * (4 + 16)
    )  # runs of 4 steps, and their bounds
    found = explained(chosen)
    assert found["diagnosis"]["samples"] == samples
    assert (found["curves"]["delayed"] is not None) == delayed
    if not delayed:
        assert "too long" in found["curves"]["why"]


def test_what_would_take_minutes_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "WORK", 1.0)
    found = explained(converted())
    assert found["curves"] is None
    assert found["diagnosis"]["sentence"].startswith("Not measured: 4 samples would take ")
