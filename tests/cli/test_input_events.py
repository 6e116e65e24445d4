"""A network on event recordings, from the command line: converted, evaluated, exported, refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnconvert import load_bundle

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty digits whose pixels send as many events as they are bright, from 0 to 16, at times by chance."""
    with np.load(MODELS / "digits_test.npz") as data:
        images, labels = data["images"][:60, :, :, 0], data["labels"][:60]
    rng = np.random.default_rng(0)
    parts = []
    for image in images:
        place = np.repeat(np.arange(64), image.ravel())
        t = np.sort(rng.integers(0, 10**5, len(place)))
        place = rng.permutation(place)
        parts.append(np.stack([place % 8, place // 8, t, np.ones_like(t)]))
    x, y, t, p = np.concatenate(parts, axis=1)
    offsets = np.cumsum([0, *(part.shape[1] for part in parts)])
    path = tmp_path_factory.mktemp("events") / "digits.npz"
    np.savez(path, x=x, y=y, t=t, p=p, offsets=offsets, labels=labels, sensor_size=[8, 8, 1])
    return path


@pytest.fixture
def job(recordings: Path) -> list[str]:
    names = ["--calib", recordings, "--preprocess", "scale=1/16", "--encoding", "events", "--steps", "2,8"]
    return [str(MODELS / "digits_cnn.onnx"), *map(str, names)]


def test_evaluator_and_engine_agree_on_recordings(cli: Callable, job: list[str], work: Path) -> None:
    done = cli(*job, "--out", "net")
    assert done.status == 0
    assert "cut into 8 steps" in done.err
    told = json.loads((work / "net" / "metrics.json").read_bytes())
    assert told["macs_per_sample"]["snn_first_layer"] == 0  # every event is an operation of its own
    assert told["curves"]["why"] == "input events come when they come"
    assert told["steps"][1]["accuracy"] > 0.8
    again = json.loads(cli("evaluate", "net", "--json").out)
    for one, other in zip(told["steps"], again["steps"], strict=True):
        for name in ("accuracy", "agreement", "spikes_per_sample", "synops_per_sample"):
            assert other[name] == pytest.approx(one[name], rel=1e-3), name
    assert told["cost"]["synaptic_operations"]["Effective_MACs"] > 0
    x, labels = load_bundle("net").samples()  # as the engine takes them
    (readout,) = load_bundle("net").simulate(x, 8)
    accuracy = float((readout.estimate.argmax(1).numpy() == labels).mean())
    assert accuracy == pytest.approx(told["steps"][1]["accuracy"], abs=0.04)
    assert cli("check", "net", "--baseline", "base.json", "--update", "--reason", "first").status == 1
    assert cli("check", "net", "--baseline", "base.json").status == 0


@pytest.mark.parametrize("to", ["nir", "onnx", "torch"])
def test_it_is_exported(cli: Callable, job: list[str], to: str) -> None:
    if to == "nir":
        job[0] = str(MODELS / "digits_resnet.onnx")
    assert cli(*job, "--out", "net").status == 0
    done = cli("export", "net", "--to", to, "--out", f"net_.{'py' if to == 'torch' else to}", "--verify")
    assert done.status == 0, done.err
    assert "all equal" in done.err


def test_recordings_are_summed_unless_they_are_asked_for_in_time(cli: Callable, job: list[str]) -> None:
    constant = [*job[: job.index("--encoding")], *job[job.index("--encoding") + 2 :]]
    done = cli(*constant, "--out", "net")
    assert done.status == 0
    assert "recordings are summed to frames" in done.err


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (["--calib", str(MODELS / "digits_calib.npz")], "no event recordings"),
        (["--preprocess", "scale=1/16,mean=0.5"], "the mean that --preprocess subtracts is no event"),
        (["--readout-from", "2"], "the first steps bring a part of the sample"),
        (["--encoding", "poisson"], "poisson"),
        (["--neuron", "differential"], "takes its input for a running mean"),
    ],
)
def test_what_cannot_be_is_refused(cli: Callable, job: list[str], other: list[str], told: str) -> None:
    done = cli(*job, *other, "--out", "net")
    assert done.status == 2
    assert told in done.err


def test_more_steps_and_other_samples_are_refused(cli: Callable, job: list[str]) -> None:
    assert cli(*job, "--out", "net").status == 0
    assert "a recording lasts for 8" in cli("evaluate", "net", "--steps", "9").err
    assert "no event recordings" in cli("evaluate", "net", "--data", MODELS / "digits_test.npz").err


def test_auto_chooses_on_recordings(cli: Callable, job: list[str]) -> None:
    done = cli(*job, "--method", "auto", "--spikes", "graded", "--out", "net", "-v")
    assert done.status == 0, done.err
    assert "auto chose" in done.err
    assert "differential" not in done.err
