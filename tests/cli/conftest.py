"""The command line, run in this process and in others; two small sets of digits, and a bundle."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from snnconvert.cli import main
from snnconvert.config import build_job
from snnconvert.pipeline import run
from snnconvert.progress import Silent

MODELS = Path(__file__).parents[2] / "models"


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def complaint(self) -> list[str]:
        """The lines of stderr from the error on."""
        lines = self.err.splitlines()
        return lines[next((at for at, line in enumerate(lines) if line.startswith("error[")), len(lines)) :]


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working folder, no settings from outside, and the signals as they were."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in [*os.environ]:
        if name.startswith("SNNCONVERT_") or name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            monkeypatch.delenv(name)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The working folder."""
    return tmp_path / "work"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder for what a test feeds in."""
    (tmp_path / "inputs").mkdir(exist_ok=True)
    return tmp_path / "inputs"


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run the command line in this process."""

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        return Result(status, *capfd.readouterr())

    return call


@pytest.fixture
def shell(work: Path) -> Callable[..., Result]:
    """Run the command line as a process of its own; ``environment`` is added to ours, stdout may go elsewhere."""

    def call(*arguments: object, stdout: int = subprocess.PIPE, prefix: list[str] | None = None, **environment: str):
        command = [*(prefix or [sys.executable, "-W", "error", "-m", "snnconvert"]), *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=work,
            env=process_environment() | environment,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout or "", done.stderr)

    return call


def process_environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An embedded network and small sets: model, calib (40 digits), eval (32 others), unlabelled."""
    folder = tmp_path_factory.mktemp("digits")
    shutil.copy(MODELS / "digits_mlp.onnx", folder / "net.onnx")
    with np.load(MODELS / "digits_calib.npz") as data:
        np.savez(folder / "calib.npz", images=data["images"][:40], labels=data["labels"][:40])
        np.save(folder / "unlabelled.npy", data["images"][:40])
    with np.load(MODELS / "digits_test.npz") as data:
        np.savez(folder / "eval.npz", images=data["images"][:32], labels=data["labels"][:32])
    return {
        "model": folder / "net.onnx",
        "calib": folder / "calib.npz",
        "eval": folder / "eval.npz",
        "unlabelled": folder / "unlabelled.npy",
    }


@pytest.fixture
def job(digits: dict[str, Path]) -> list[str]:
    """Arguments of a conversion that takes a moment."""
    files = [digits["model"], "--calib", digits["calib"], "--eval", digits["eval"]]
    return [*map(str, files), "--preprocess", "scale=1/16", "--steps", "1,4"]


@pytest.fixture(scope="session")
def made_bundle(digits: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = {
        "model": str(digits["model"]),
        "calib": {"path": str(digits["calib"])},
        "eval": {"path": str(digits["eval"])},
        "preprocess": "scale=1/16",
        "convert": {"steps": [1, 4]},
    }
    destination = tmp_path_factory.mktemp("bundle") / "net_snn"
    run(build_job(document, "test"), destination, False, "test", Silent())
    return destination


@pytest.fixture
def bundle(made_bundle: Path, inputs: Path) -> Path:
    """A bundle that a test may change."""
    return Path(shutil.copytree(made_bundle, inputs / "net_snn"))


@pytest.fixture
def in_a_mount(work: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command with a file system of its own at ``work/disk``; skip where that is not allowed."""

    def call(options: str, prepare: str, *command: str) -> subprocess.CompletedProcess[str]:
        (work / "disk").mkdir()
        mount = f'mount -t tmpfs -o {options} full "{work}/disk"'
        probe = ["unshare", "-rm", "sh", "-c", mount]
        if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
            pytest.skip("no mounts of one's own here")
        script = f'{mount} && {prepare} && "$@"; status=$?; ls -A "{work}/disk"; exit $status'
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        return subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, "sh", *command],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call
