"""Batches as processes: signals, kill -9 at any moment, two at once, children that crash or take too much."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from snnconvert.batch.local import LocalPool
from snnconvert.batch.task import Outcome, Task
from snnconvert.report.manifest import verify_bundle

from .conftest import carried_out, contents

Start = Callable[..., subprocess.Popen[str]]


def finished(process: subprocess.Popen[str], status: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    return out, err


def whole(output: Path) -> list[Path]:
    """The bundles of an output directory, of which none may be half written."""
    bundles = [path for path in output.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for bundle in bundles:
        verify_bundle(bundle)
    return bundles


def leftovers(output: Path) -> list[Path]:
    return [path for path in output.rglob("*") if ".tmp" in path.name]


def alive_below(folder: Path) -> list[int]:
    """Processes that have a file open below a folder."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and any(
                str(each.readlink()).startswith(str(folder)) for each in (process / "fd").iterdir()
            ):
                found.append(int(process.name))
    return found


def wait_for_simulation(output: Path, jobs: int) -> None:
    deadline = time.monotonic() + 60
    while sum("evaluate" in path.read_text() for path in output.glob(".snnconvert/*/log.txt")) < jobs:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    pool = LocalPool(2, 1)
    yield pool
    pool.close()


@pytest.fixture
def task(sweep: Path, tmp_path: Path) -> Callable[..., Task]:
    def make(name: str = "one", timeout: float | None = None, memory: int | None = None, steps: int = 4) -> Task:
        job = {
            "model": str(sweep.parent / "net.onnx"),
            "calib": {"path": str(sweep.parent / "calib.npz")},
            "eval": {"path": str(sweep.parent / "eval.npz")},
            "preprocess": "scale=1/16",
            "convert": {"steps": [steps]},
            "device": "cpu",
        }
        log = str(tmp_path / f"{name}.txt")
        kept = (str(tmp_path / "calibration.npz"), str(tmp_path / f"{name}.npz"), name)
        return Task(name, job, str(tmp_path / name), log, *kept, "test", False, timeout, memory)

    return make


def outcome(pool: LocalPool, task: Task) -> Outcome:
    pool.submit(task)
    while not (ended := pool.wait(None)):
        pass
    ((name, found),) = ended
    assert name == task.name
    return found


def test_refusal_in_a_child_is_an_outcome(pool: LocalPool, task: Callable[..., Task], sweep: Path) -> None:
    (sweep.parent / "net.onnx").write_bytes(b"\0")
    found = outcome(pool, task())
    assert (found.status, found.code, found.transient) == (3, "E101", False)


def test_child_that_takes_too_long_is_stopped(pool: LocalPool, task: Callable[..., Task], tmp_path: Path) -> None:
    started = time.monotonic()
    found = outcome(pool, task(timeout=1.5, steps=1_000_000))
    assert (found.status, found.code, found.message) == (7, "E501", "took more than 1.5 s")
    assert not found.transient
    assert time.monotonic() - started < 30
    assert not (tmp_path / "one").exists()
    assert leftovers(tmp_path) == []


def test_child_that_takes_too_much_memory_ends_alone(pool: LocalPool, task: Callable[..., Task]) -> None:
    pool.submit(task("small", memory=4 * 2**30))
    pool.submit(task("large", memory=150_000_000))
    found: dict[str, Outcome] = {}
    while len(found) < 2:
        found |= dict(pool.wait(None))
    assert found["small"].status == 0
    assert (found["large"].status, found["large"].code) == (7, "E501"), found["large"]
    assert "execution.memory" in str(found["large"].hint)


def test_log_that_cannot_be_written_is_an_outcome(pool: LocalPool, task: Callable[..., Task], tmp_path: Path) -> None:
    (tmp_path / "one.txt").mkdir()
    found = outcome(pool, task())
    assert (found.status, found.code) == (5, "E402")


def test_job_that_was_published_already_is_done(pool: LocalPool, task: Callable[..., Task], tmp_path: Path) -> None:
    assert outcome(pool, task()).status == 0
    assert outcome(pool, task()).status == 0  # as after the death of who should have told
    verify_bundle(tmp_path / "one")


def test_child_that_is_killed_is_told_of(task: Callable[..., Task], tmp_path: Path) -> None:
    own = LocalPool(1, 1)
    try:
        own.submit(task(steps=1_000_000))
        deadline = time.monotonic() + 60
        while "evaluate" not in ((tmp_path / "one.txt").read_text() if (tmp_path / "one.txt").exists() else ""):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (child,) = alive_below(tmp_path)
        os.kill(child, signal.SIGKILL)
        ((_, found),) = own.wait(None)
        assert (found.status, found.transient, found.message) == (7, True, "its process crashed (SIGKILL)")
    finally:
        own.close()


def test_death_of_the_server_loses_its_tasks_and_no_more(task: Callable[..., Task]) -> None:
    own = LocalPool(1, 1)
    own._server.kill()
    found = outcome(own, task())
    assert (found.status, found.code) == (7, "E501")
    assert "has crashed" in str(found.message)
    own.close()


@pytest.mark.parametrize(
    ("number", "status"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_signal_stops_the_children_and_the_same_command_goes_on(
    sweep: Path, start: Start, number: signal.Signals, status: int
) -> None:
    output = sweep.parent / "runs"
    process = start("batch", sweep, "--set", "convert.steps=[1000000]", "--only", "*=99.*")
    wait_for_simulation(output, 2)
    assert len(alive_below(output)) >= 3  # two children, and the locks of their parent
    process.send_signal(number)
    out, err = finished(process, status)
    assert out == ""
    assert err.splitlines() == [
        "note: 0 of 2 jobs have ended: the same command goes on from here",
        "interrupted: nothing unfinished was left behind",
    ]
    assert leftovers(output) == []
    assert whole(output) == []
    assert alive_below(output) == []


def test_children_die_with_a_parent_that_is_killed(sweep: Path, start: Start) -> None:
    output = sweep.parent / "runs"
    process = start("batch", sweep, "--set", "convert.steps=[1000000]", "--only", "once")
    wait_for_simulation(output, 1)
    deadline = time.monotonic() + 30
    process.kill()
    process.communicate()
    while alive_below(output):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_runs_at_once_do_no_job_twice(sweep: Path, start: Start) -> None:
    output = sweep.parent / "runs"
    first, second = start("batch", sweep), start("batch", sweep)
    told = [finished(process)[1] for process in (first, second)]
    done = sum(line.count(": done in ") for line in told)
    assert done == 4
    assert len(whole(output)) == 4
    assert leftovers(output) == []
    attempts = [path.read_text().count("attempt") for path in output.glob(".snnconvert/*/log.txt")]
    assert attempts == [1] * 4


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.slow)])  # 200 in benchmarks
def test_kill_at_any_moment_leaves_no_half_and_the_rerun_ends_alike(sweep: Path, start: Start, kills: int) -> None:
    carried_out(sweep, f"output={sweep.parent / 'undisturbed'}")
    expected, output = contents(sweep.parent / "undisturbed"), sweep.parent / "runs"
    moments = random.Random(kills)
    for _ in range(kills):
        process = start("batch", sweep)
        time.sleep(moments.uniform(3.0, 6.0))
        process.kill()
        process.communicate()
        if output.exists():
            whole(output)
    carried_out(sweep)
    assert contents(output) == expected
    assert leftovers(output) == []
