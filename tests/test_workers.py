"""Several processes find what one finds, to the bit; whatever happens to them is told, and none stays behind."""

import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper

from snnconvert import pipeline
from snnconvert.bench import Bench, Piece, pieces
from snnconvert.config import Job, build_job
from snnconvert.conversion import Conversion, Silent
from snnconvert.errors import LimitError, ModelError, UsageError
from snnconvert.evaluation import evaluate
from snnconvert.measure import Outcomes
from snnconvert.workers import measuring

MODELS = Path(__file__).parents[1] / "models"
CPU = torch.device("cpu")


def job(**options: object) -> Job:
    document = {
        "model": str(MODELS / "digits_cnn.onnx"),
        "calib": {"path": str(MODELS / "digits_calib.npz"), "samples": 32},
        "eval": {"path": str(MODELS / "digits_test.npz"), "samples": 70},
        "preprocess": "scale=1/16",
        "convert": {"steps": [1, 4]},
        **options,
    }
    return build_job(document, "test")


def converted(**options: object) -> Conversion:
    return pipeline.convert(job(**options), CPU, Silent())


class Watching(Silent):
    def __init__(self) -> None:
        self.advanced: list[int] = []

    def advance(self, samples: int) -> None:
        self.advanced.append(samples)


def found(workers: int, **options: object) -> tuple[dict, Outcomes, list[int]]:
    conversion, watching = converted(workers=workers, **options), Watching()
    outcomes = evaluate(conversion, CPU, watching)
    assert multiprocessing.active_children() == []
    return conversion.metrics, outcomes, watching.advanced


@pytest.mark.parametrize(
    "options", [{}, {"convert": {"steps": [4, 8, 12], "stop": 0.5, "neuron": "if-signed"}}], ids=["all", "stopping"]
)
def test_three_processes_find_what_one_finds(options: dict) -> None:
    alone, outcomes, _ = found(1, **options)
    metrics, others, advanced = found(3, **options)  # five batches
    for row, other in zip(metrics.pop("layers"), alone.pop("layers"), strict=True):  # torch's own pass, by less threads
        assert row.pop("rate_error") == pytest.approx(other.pop("rate_error"), rel=1e-6)
        assert row == other
    assert metrics == alone
    assert others.state().keys() == outcomes.state().keys()
    assert all(np.array_equal(array, outcomes.state()[name]) for name, array in others.state().items())
    assert advanced == [16, 16, 16, 16, 6]


def test_there_are_no_more_processes_than_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", pytest.fail)
    metrics, _, _ = found(8, eval={"path": str(MODELS / "digits_test.npz"), "samples": 9})
    assert metrics["samples"] == 9


def test_an_error_comes_at_the_turn_of_its_batch(save_onnx: Callable, tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = save_onnx(nodes, {"w": np.full(3, 10, np.float32)}, (3,))
    x = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    np.save(tmp_path / "calib.npy", x)
    x[37] = 1e38
    np.save(tmp_path / "eval.npy", x)
    sets = {name: {"path": str(tmp_path / f"{name}.npy")} for name in ("calib", "eval")}
    conversion, watching = converted(model=str(model), preprocess="none", workers=2, **sets), Watching()
    with pytest.raises(ModelError, match="evaluation sample 37"):
        evaluate(conversion, CPU, watching)
    assert watching.advanced == [16, 16]
    assert multiprocessing.active_children() == []


def test_a_process_that_is_killed_is_told() -> None:
    conversion = converted()
    bench = Bench.of(conversion, CPU)

    def killing() -> Iterator[Piece]:
        for number, piece in enumerate(pieces(conversion.evaluation, 0, 70, 16)):
            if number == 2:
                for process in multiprocessing.active_children():
                    process.kill()
            yield piece

    with measuring(bench, 2) as measure, pytest.raises(LimitError, match=r"has ended \(status -9\)") as error:
        list(measure(killing()))
    assert error.value.code == "E501"
    assert multiprocessing.active_children() == []


def test_what_measures_closes_early_too() -> None:
    conversion = converted()
    with measuring(Bench.of(conversion, CPU), 2) as measure:
        first = next(measure(pieces(conversion.evaluation, 0, 70, 16)))
        assert len(multiprocessing.active_children()) == 2
    assert int(first["samples"]) == 16
    assert multiprocessing.active_children() == []


def test_a_gpu_is_not_shared() -> None:
    with pytest.raises(UsageError, match="--workers: processes share processors"):
        evaluate(converted(workers=2), torch.device("cuda"), Silent())


def test_a_script_without_a_guard_is_told_what_it_needs(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from snnconvert import api\n"
        f"api.convert({str(MODELS / 'digits_cnn.onnx')!r}, calib={str(MODELS / 'digits_calib.npz')!r},"
        f" preprocess='scale=1/16', steps=[1], workers=2, out={str(tmp_path / 'snn')!r})\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert ended.returncode != 0
    assert "E501" in ended.stderr
    assert not (tmp_path / "snn").exists()
