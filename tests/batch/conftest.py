"""A batch file with tiny sets of digits, runs of it in this process and in others, and what stands in an output."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnconvert.batch import batch as story
from snnconvert.batch import executors
from snnconvert.batch.child import attempt
from snnconvert.batch.schema import read_batch
from snnconvert.batch.task import Outcome, Task

MODELS = Path(__file__).parents[2] / "models"
SMALL = """\
version: 1
output: runs
defaults:
  calib: {path: calib.npz}
  eval: {path: eval.npz}
  preprocess: scale=1/16
  convert: {steps: [1, 4]}
matrix:
  convert.percentile: [99.0, 99.9, 100.0]
jobs:
  - {name: mlp, model: net.onnx}
  - {name: once, model: net.onnx, matrix: false, convert: {neuron: if-signed}}
execution: {jobs: 2}
"""


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def _digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    shutil.copy(MODELS / "digits_mlp.onnx", folder / "net.onnx")
    for name, source in (("calib", "digits_calib"), ("eval", "digits_test")):
        with np.load(MODELS / f"{source}.npz") as data:
            np.savez(folder / f"{name}.npz", images=data["images"][:24], labels=data["labels"][:24])
    return folder


@pytest.fixture
def sweep(_digits: Path, tmp_path: Path) -> Path:
    """A batch of four jobs that take a moment each: three percentiles, and one that is not swept."""
    for file in _digits.iterdir():
        shutil.copy(file, tmp_path / file.name)
    (tmp_path / "sweep.yaml").write_text(SMALL, encoding="utf-8")
    return tmp_path / "sweep.yaml"


class Inline:
    """Runs tasks in this process: tests of all that is around them need no others."""

    slots = 2

    def __init__(self) -> None:
        self._ended: list[tuple[str, Outcome]] = []

    def submit(self, task: Task) -> None:
        self._ended.append((task.name, attempt(task)))

    def wait(self, timeout: float | None) -> list[tuple[str, Outcome]]:
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        self._ended.clear()


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "executor_of", lambda execution, on_gpu: Inline())


def carried_out(config: Path, *assignments: str, only: Sequence[str] = ()) -> tuple[dict[str, Any], list[Any]]:
    """Run a batch in this process; return its summary and the results of what ran."""
    source, heard = read_batch(config, assignments), []
    found = story.look(source, tuple(only), trust=False)
    return story.run(source, found, heard.append), heard


def states(config: Path, *assignments: str) -> dict[str, str]:
    """The state of every job by its folder."""
    found = story.look(read_batch(config, assignments), (), trust=False)
    return {folder: state.state for folder, state in found.states.items()}


def contents(output: Path) -> dict[str, bytes]:
    """Everything in an output directory that equal batches have in common."""
    files = [path for path in output.rglob("*") if path.is_file() and ".snnconvert" not in path.parts]
    return {str(path.relative_to(output)): path.read_bytes() for path in files if path.name != "run.json"}


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line as a process of its own; whatever is left of it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from snnconvert.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        command = [sys.executable, "-c", code, *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()
