"""The schedule: retries, jobs of other runs, and what is told of them; the executor here only pretends."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from snnconvert.batch import batch as story
from snnconvert.batch.schedule import Result, Schedule
from snnconvert.batch.schema import read_batch
from snnconvert.batch.task import Outcome, Task
from snnconvert.errors import OutputError
from snnconvert.report.publish import publish

FINE, REFUSED, CRASHED = Outcome(0, 1.0), Outcome(3, 1.0, "E101", "broken"), Outcome(7, 1.0, "E501", "", transient=True)


class Pretending:
    """Ends the attempts at a job as they are given, in turn; the last one again and again."""

    def __init__(self, ends: dict[str, Sequence[Outcome]], slots: int = 2) -> None:
        self.ends, self.slots = ends, slots
        self.tasks: list[Task] = []
        self.most, self.closed = 0, False
        self._running: list[Task] = []

    def submit(self, task: Task) -> None:
        self.tasks.append(task)
        self._running.append(task)
        self.most = max(self.most, len(self._running))

    def wait(self, timeout: float | None) -> list[tuple[str, Outcome]]:
        if not self._running:
            return []
        task = self._running.pop(0)
        ends = self.ends.get(task.name.rpartition("-")[0], [FINE])
        end = ends[min(task.attempt, len(ends)) - 1]
        if end.status == 0 and task.part is None:
            publish(Path(task.destination), {"metrics.json": b"{}"}, b"{}", task.force)
        return [(task.name, end)]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def plan(sweep: Path) -> Callable[..., tuple[Schedule, list[story.Entry], Pretending]]:
    def make(execution: str = "{}", slots: int = 2, **ends: Sequence[Outcome]):
        sweep.write_text(sweep.read_text().replace("{jobs: 2}", execution))
        source = read_batch(sweep)
        found = story.look(source, (), trust=False)
        found.store.open()
        executor = Pretending(ends, slots)
        return Schedule(found.store, executor, source.checked.execution, lambda result: None), found.missing, executor

    return make


def outcomes(results: list[Result]) -> list[tuple[str, str]]:
    return sorted((result.entry.planned.name, result.state) for result in results)


def test_transient_failures_are_tried_again_and_others_are_not(plan) -> None:
    schedule, missing, executor = plan("{retries: 2}", once=[CRASHED, CRASHED, FINE])
    executor.ends["mlp-percentile=99.0"] = [REFUSED, FINE]
    executor.ends["mlp-percentile=99.9"] = [CRASHED]
    results = schedule.run(missing)
    assert outcomes(results) == [
        ("mlp-percentile=100.0", "done"),
        ("mlp-percentile=99.0", "failed"),
        ("mlp-percentile=99.9", "failed"),
        ("once", "done"),
    ]
    attempts = {
        name.rpartition("-")[0]: [task.attempt for task in executor.tasks if task.name == name]
        for name in {task.name for task in executor.tasks}
    }
    assert attempts == {
        "mlp-percentile=100.0": [1],
        "mlp-percentile=99.0": [1],
        "mlp-percentile=99.9": [1, 2, 3],
        "once": [1, 2, 3],
    }
    assert executor.closed
    records = {result.entry.planned.name: schedule.store.recorded(result.entry.folder) for result in results}
    assert {name: (record["status"], record["attempts"]) for name, record in records.items()} == {
        "mlp-percentile=100.0": (0, 1),
        "mlp-percentile=99.0": (3, 1),
        "mlp-percentile=99.9": (7, 3),
        "once": (0, 3),
    }


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_jobs_at_once_than_there_is_room_for(plan, slots: int) -> None:
    schedule, missing, executor = plan(slots=slots)
    assert len(schedule.run(missing)) == 4
    assert executor.most == slots


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_shards_come_before_their_job_and_keep_to_the_room_too(plan, slots: int) -> None:
    schedule, missing, executor = plan("{shards: 3}", slots)
    assert len(schedule.run(missing)) == 4
    assert executor.most == slots
    for entry in missing:
        mine = [task for task in executor.tasks if task.name.partition("#")[0] == entry.folder]
        assert [task.part for task in mine] == [(0, 3), (1, 3), (2, 3), None]


def test_shard_that_fails_is_left_to_its_job(plan) -> None:
    schedule, missing, executor = plan("{shards: 2, retries: 1}", 1, once=[CRASHED, FINE])
    assert outcomes(schedule.run(missing))[-1] == ("once", "done")
    assert [(task.part, task.attempt) for task in executor.tasks if task.name.startswith("once")] == [
        ((0, 2), 1),
        ((1, 2), 1),
        (None, 1),
        (None, 2),
    ]


def test_job_whose_shards_are_refused_is_refused_with_them(plan) -> None:
    schedule, missing, executor = plan("{shards: 2, retries: 1}", 1, once=[REFUSED])
    assert outcomes(schedule.run(missing))[-1] == ("once", "failed")
    assert [task.part for task in executor.tasks if task.name.startswith("once")] == [(0, 2), (1, 2)]
    (failed,) = (entry for entry in missing if entry.planned.name == "once")
    assert schedule.store.recorded(failed.folder)["status"] == REFUSED.status


def test_job_that_another_run_holds_is_waited_for_and_not_done_again(plan, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, missing, executor = plan()
    theirs = missing[1]
    schedule.store.place(theirs).mkdir()
    lock = FileLock(schedule.store.place(theirs) / "lock")
    lock.acquire()
    slept = []

    def done_meanwhile(seconds: float) -> None:
        slept.append(seconds)
        publish(schedule.store.bundle(theirs), {"metrics.json": b"{}"}, b"{}", False)
        lock.release()

    monkeypatch.setattr("snnconvert.batch.schedule.time.sleep", done_meanwhile)
    results = schedule.run(missing)
    assert len(slept) == 1
    assert [(result.entry, result.cached) for result in results if result.cached] == [(theirs, True)]
    assert theirs.folder not in {task.name for task in executor.tasks}


def test_job_of_a_run_that_died_is_done(plan, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, missing, executor = plan()
    schedule.store.place(missing[0]).mkdir()
    lock = FileLock(schedule.store.place(missing[0]) / "lock")
    lock.acquire()
    monkeypatch.setattr("snnconvert.batch.schedule.time.sleep", lambda seconds: lock.release())
    assert outcomes(schedule.run(missing))[1] == ("mlp-percentile=99.0", "done")
    assert len(executor.tasks) == 4


def test_place_that_is_taken_fails_that_job_only(plan) -> None:
    schedule, missing, executor = plan()
    elsewhere = schedule.store.output.parent / "elsewhere"
    publish(elsewhere, {"metrics.json": b"{}"}, b"{}", False)
    (elsewhere / "metrics.json").write_bytes(b"[]")
    schedule.store.bundle(missing[0]).symlink_to(elsewhere)
    results = schedule.run(missing)
    failed = [result for result in results if result.state == "failed"]
    assert [result.outcome.code for result in failed if result.outcome] == ["E401"]
    assert len(executor.tasks) == 3
    assert schedule.store.bundle(missing[0]).is_symlink()
    assert (elsewhere / "metrics.json").read_bytes() == b"[]"


def test_failing_record_lets_go_of_every_lock(plan, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, missing, executor = plan()

    def full(*_: object) -> None:
        raise OutputError("E402", "the disk is full")

    monkeypatch.setattr(schedule.store, "record", full)
    with pytest.raises(OutputError, match="E402"):
        schedule.run(missing)
    assert executor.closed
    assert not any(schedule.store.is_locked(entry) for entry in missing)
