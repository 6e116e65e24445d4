"""Runs what is missing of a batch, and nothing twice: neither of this run nor of another one in the same directory."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from filelock import FileLock

from snnconvert.batch.keys import key_of
from snnconvert.batch.schema import Execution
from snnconvert.batch.store import DONE, Entry, Store
from snnconvert.batch.task import Executor, Outcome, Task
from snnconvert.errors import SnnError

LOOK_AGAIN = 0.5  # seconds, where another run holds what is left
FAILED, SKIPPED = "failed", "skipped"


@dataclass(frozen=True)
class Result:
    """What became of a job: done (``cached`` where it was before), failed with an outcome, or skipped."""

    entry: Entry
    state: str
    cached: bool = False
    outcome: Outcome | None = None


@dataclass
class _Held:
    """A job at work, the lock that keeps others from it, and the names of shards of its evaluation that come first."""

    entry: Entry
    lock: FileLock
    task: Task
    shards: set[str] = field(default_factory=set)
    refused: Outcome | None = None  # by a shard, and surely by the job


class Schedule:
    """The missing jobs of a batch on their way through an executor; ``heard`` is told of each result."""

    def __init__(self, store: Store, executor: Executor, execution: Execution, heard: Callable[[Result], None]) -> None:
        self.store = store
        self.executor = executor
        self.execution = execution
        self.heard = heard
        self._held: dict[str, _Held] = {}
        self._ready: deque[Task] = deque()  # tasks of jobs that are held, for which there was no room yet
        self._running: set[str] = set()
        self._results: list[Result] = []

    def run(self, missing: Sequence[Entry]) -> list[Result]:
        """Run the jobs; return their results in the order in which they came.

        Raises:
            OutputError: the output directory cannot be written (E402). Then, and at any signal, children are stopped
                and locks are let go of.
        """
        waiting = deque(missing)
        try:
            while waiting or self._held:
                others = self._start(waiting)
                self._feed()
                if self._held:
                    for name, outcome in self.executor.wait(LOOK_AGAIN if others else None):
                        self._ended(name, outcome)
                elif waiting:
                    time.sleep(LOOK_AGAIN)
        finally:
            self.executor.close()
            for held in self._held.values():
                held.lock.release()
            self._held.clear()
        return self._results

    def _start(self, waiting: deque[Entry]) -> int:
        """Start jobs while there is room; return how many of those that wait are at work elsewhere."""
        others = 0
        while waiting and others < len(waiting) and self._room > 0:
            entry = waiting.popleft()
            if not self.execution.keep_going and any(each.state == FAILED for each in self._results):
                self._finish(Result(entry, SKIPPED))
                continue
            lock = self.store.lock(entry)
            if lock is None:
                waiting.append(entry)
                others += 1
                continue
            try:
                self._begin(entry, lock)
            except BaseException:
                self._held.pop(entry.folder, None)
                lock.release()
                raise
        return others

    def _begin(self, entry: Entry, lock: FileLock) -> None:
        if self.store.state(entry).state == DONE:  # another run was faster
            lock.release()
            self._finish(Result(entry, DONE, cached=True))
            return
        try:
            force = self.store.make_room(entry)
        except SnnError as problem:
            self._close(_Held(entry, lock, self._task(entry, False)), Outcome.failed(problem))
            return
        (self.store.place(entry) / "log.txt").unlink(missing_ok=True)
        held = _Held(entry, lock, self._task(entry, force))
        self._held[entry.folder] = held
        count = self.execution.shards
        shards = [replace(held.task, name=f"{entry.folder}#{at}", part=(at, count)) for at in range(count)]
        held.shards = {each.name for each in shards} if count > 1 else set()
        self._ready.extend(shards if count > 1 else [held.task])

    @property
    def _room(self) -> int:
        return self.executor.slots - len(self._running) - len(self._ready)

    def _feed(self) -> None:
        """Let run what there is room for."""
        while self._ready and len(self._running) < self.executor.slots:
            task = self._ready.popleft()
            self._running.add(task.name)
            self.executor.submit(task)

    def _task(self, entry: Entry, force: bool, attempt: int = 1) -> Task:
        return Task(
            name=entry.folder,
            job=entry.planned.job.model_dump(mode="json") | {"device": self._device(entry)},
            destination=str(self.store.bundle(entry)),
            log=str(self.store.place(entry) / "log.txt"),
            calibration=str(self.store.calibration(entry)),
            evaluation=str(self.store.place(entry) / "evaluation.npz"),
            key=key_of(entry.key),
            command="snnconvert batch",
            force=force,
            timeout=self.execution.timeout,
            memory=self.execution.memory,
            attempt=attempt,
        )

    @staticmethod
    def _device(entry: Entry) -> str:
        """Return the device of the key: ``auto`` must not mean another one where the job runs."""
        device = entry.planned.job.device
        return str(entry.key["device"]).partition(" ")[0] if device == "auto" else device

    def _ended(self, name: str, outcome: Outcome) -> None:
        self._running.discard(name)
        held = self._held[name.partition("#")[0]]
        if name in held.shards:
            held.shards.discard(name)
            if outcome.status and not outcome.transient:
                held.refused = outcome
            if held.shards:
                return
            if held.refused is None:  # whatever became of them: what they lack, the job does itself
                self._ready.append(held.task)
                return
            outcome = held.refused  # as the job would be
        if outcome.transient and held.task.attempt <= self.execution.retries:
            held.task = self._task(held.entry, held.task.force, held.task.attempt + 1)
            self._ready.append(held.task)
            return
        del self._held[held.entry.folder]
        self._close(held, outcome)

    def _close(self, held: _Held, outcome: Outcome) -> None:
        try:
            error = None
            if outcome.status:
                error = {"code": outcome.code, "message": outcome.message, "hint": outcome.hint}
            self.store.record(
                held.entry,
                {
                    "status": outcome.status,
                    "error": error,
                    "seconds": outcome.seconds,
                    "peak_memory": outcome.peak,
                    "attempts": held.task.attempt,
                },
            )
        finally:
            held.lock.release()
        self._finish(Result(held.entry, FAILED if outcome.status else DONE, outcome=outcome))

    def _finish(self, result: Result) -> None:
        self._results.append(result)
        self.heard(result)
