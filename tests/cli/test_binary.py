"""A classifier of two classes with one output, as many are trained: a logit, with a sigmoid behind it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, helper

Save = Callable[..., Path]
LAYERS = [
    helper.make_node("Gemm", ["x", "a", "b"], ["h"]),
    helper.make_node("Relu", ["h"], ["r"]),
    helper.make_node("Gemm", ["r", "c", "d"], ["z"]),
]
SIGMOID = helper.make_node("Sigmoid", ["z"], ["y"])
SQUEEZED = [helper.make_node("Sigmoid", ["z"], ["s"]), helper.make_node("Reshape", ["s", "all"], ["y"])]
STEPS = (2, 8, 64)


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    make = np.random.default_rng(0)
    drawn = {"a": make.normal(size=(6, 20)), "b": make.normal(size=20), "c": make.normal(size=(20, 1)) / 4}
    return {name: value.astype(np.float32) for name, value in drawn.items()} | {"d": np.zeros(1, np.float32)}


@pytest.fixture
def data(tmp_path: Path, weights: dict[str, np.ndarray]) -> Path:
    """Samples that the network answers rightly: labels are where its logit is positive, in numpy."""
    x = np.random.default_rng(1).normal(size=(120, 6)).astype(np.float32)
    logits = np.maximum(x @ weights["a"] + weights["b"], 0) @ weights["c"]
    np.savez(tmp_path / "data.npz", x=x, y=(logits[:, 0] > 0).astype(np.int64))
    return tmp_path / "data.npz"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snnconvert", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("stop", [[], ["--stop", "2"]], ids=["whole", "stopped"])
@pytest.mark.parametrize("end", [[SIGMOID], SQUEEZED], ids=["sigmoid", "reshaped"])
def test_its_accuracy_is_that_of_the_sign(
    save_onnx: Save, weights: dict[str, np.ndarray], data: Path, end: list[NodeProto], stop: list[str]
) -> None:
    model = save_onnx([*LAYERS, *end], weights | {"all": np.array([-1])}, (6,))
    out = data.parent / "snn"
    steps = ",".join(map(str, STEPS))
    done = run("convert", model, "--calib", data, "--eval", data, "--steps", steps, "--out", out, *stop)
    assert done.returncode == 0, done.stderr
    assert "one output tells two classes, class 1 where it is positive" in done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["classes"], metrics["ann"]["accuracy"]) == (2, 1.0)
    for row in metrics["steps"]:
        assert row["accuracy"] == row["agreement"]
    assert metrics["steps"][-1]["accuracy"] > 0.9
    predictions = np.load(out / "predictions.npz")
    assert set(np.unique(predictions["snn"])) == {0, 1}
    assert np.array_equal(predictions["ann"], np.load(data)["y"])
    again = subprocess.run([sys.executable, out / "evaluate.py", "--json"], check=True, capture_output=True, text=True)
    for own, row in zip(json.loads(again.stdout)["steps"], metrics["steps"], strict=True):
        assert own["accuracy"] == pytest.approx(row["accuracy"], abs=0.02)
        assert own["agreement"] == own["accuracy"]
    assert "the ANN" in (out / "report.html").read_text()


def test_a_logit_alone_is_no_class(save_onnx: Save, weights: dict[str, np.ndarray], data: Path) -> None:
    out = data.parent / "snn"
    done = run("convert", save_onnx(LAYERS, weights, (6,)), "--calib", data, "--steps", "8", "--out", out)
    assert "a network of two classes with one output says so by a sigmoid at its end" in done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["classes"] is None
    assert metrics["steps"][0]["accuracy"] is None


def test_a_label_of_a_third_class_is_refused(save_onnx: Save, weights: dict[str, np.ndarray], data: Path) -> None:
    stored = np.load(data)
    np.savez(data, x=stored["x"], y=stored["y"] + 1)
    done = run("convert", save_onnx([*LAYERS, SIGMOID], weights, (6,)), "--calib", data, "--out", data.parent / "snn")
    assert done.returncode == 4
    assert "label 2, but the network has 2 classes" in done.stderr
