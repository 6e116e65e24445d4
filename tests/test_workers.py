"""Several processes find what one finds, to the bit; whatever happens to them is told, and none stays behind."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper

from snnconvert import pipeline
from snnconvert.bench import Bench, Piece, pieces
from snnconvert.config import Job, build_job
from snnconvert.conversion import Conversion
from snnconvert.errors import DataError, LimitError, ModelError, UsageError
from snnconvert.evaluation import evaluate
from snnconvert.measure import Outcomes
from snnconvert.progress import Silent
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


def assert_same(metrics: dict, alone: dict) -> None:
    """Compare all but the last digits of the layers' errors: torch's pass of the ANN rounds as memory is aligned."""
    for row, other in zip(metrics.pop("layers"), alone.pop("layers"), strict=True):
        assert row.pop("rate_error") == pytest.approx(other.pop("rate_error"), rel=1e-6)
        assert row == other
    assert metrics == alone


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"convert": {"steps": [4, 8, 12], "stop": 0.5, "neuron": "if-signed"}},
        {"convert": {"steps": [4], "onset_delay": 4}},
    ],
    ids=["all", "stopping", "delayed"],
)
def test_three_processes_find_what_one_finds(options: dict) -> None:
    alone, outcomes, _ = found(1, **options)
    metrics, others, advanced = found(3, **options)  # five batches
    assert_same(metrics, alone)
    assert others.state().keys() == outcomes.state().keys()
    assert all(np.array_equal(array, outcomes.state()[name]) for name, array in others.state().items())
    assert advanced == [16, 16, 16, 16, 6]


def test_processes_have_fewer_threads_and_the_same_answers() -> None:
    torch.set_num_threads(2)  # put back by a fixture
    alone, _, _ = found(1)
    metrics, _, _ = found(2)
    assert_same(metrics, alone)


def test_large_weights_of_the_reference_travel_too(save_onnx: Callable, tmp_path: Path) -> None:
    weight = np.random.default_rng(1).standard_normal((200, 100)).astype(np.float32)  # 80 kB, beside the model
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = save_onnx(nodes, {"w": weight}, (200,))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((64, 200)).astype(np.float32))
    options = {"model": str(model), "preprocess": "none", "calib": {"path": str(tmp_path / "x.npy")}, "eval": {}}
    assert_same(found(2, **options)[0], found(1, **options)[0])


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
    refusal = pytest.raises(UsageError, match="--workers: processes share processors")
    with refusal, pipeline.exactly(job(workers=2), torch.device("cuda")):
        pytest.fail("it was not refused")


def test_a_batch_that_cannot_be_read_is_told_behind_those_before_it() -> None:
    conversion = converted()

    def failing() -> Iterator[Piece]:
        yield from pieces(conversion.evaluation, 0, 32, 16)
        raise DataError("E202", "x.png: broken")

    with measuring(Bench.of(conversion, CPU), 2) as measure:
        states = measure(failing())
        assert [int(next(states)["samples"]) for _ in range(2)] == [16, 16]
        with pytest.raises(DataError, match=r"x\.png: broken"):
            next(states)


def test_processes_that_cannot_begin_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_self: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    conversion = converted()
    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", refused)
    with (
        measuring(Bench.of(conversion, CPU), 2) as measure,
        pytest.raises(LimitError, match="--workers: the system starts no 2 processes"),
    ):
        list(measure(pieces(conversion.evaluation, 0, 32, 16)))


def test_they_are_interrupted_together_and_in_silence(tmp_path: Path) -> None:
    options = {"calib": MODELS / "digits_calib.npz", "eval": MODELS / "digits_test.npz", "preprocess": "scale=1/16"}
    options |= {"steps": "100000", "correct": "-", "workers": 2, "out": tmp_path / "snn"}
    command = [sys.executable, "-m", "snnconvert", "-q", "convert", str(MODELS / "digits_cnn.onnx")]
    command += [str(each) for name, value in options.items() for each in (f"--{name}", value)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup ignores it, which children inherit
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0)
    signal.signal(signal.SIGINT, before)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 120
        while len(children.read_text().split()) < 3:  # two, and one that tracks what they share
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)  # while they import
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in output
    assert not (tmp_path / "snn").exists()


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
