"""Runs tasks on the workers of a Dask cluster that somebody has started and named to us.

Jobs are futures: Dask gives the job of a worker that dies to another one. On a worker, too, a job is a process of its
own. Model, samples and output must lie on a file system that all of them share. We open no listener.
"""

import os
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import distributed
from distributed.client import FuturesCancelledError
from distributed.scheduler import KilledWorker

from snnconvert.batch.local import LocalPool
from snnconvert.batch.schema import Execution, Tls
from snnconvert.batch.task import Outcome, Task
from snnconvert.errors import LimitError, OutputError, UsageError

PATIENCE = 20.0  # seconds for the scheduler to answer
LOOK = 0.5  # seconds between looks whether to stop
GRACE = 10.0  # seconds for a task to clean up


class Cluster:
    """The workers of a scheduler, named by its address or by the file that it wrote."""

    def __init__(self, execution: Execution) -> None:
        where = execution.scheduler
        if not where:
            raise UsageError(
                "E003", "execution.backend: dask needs a scheduler", "--scheduler tcp://HOST:8786, or FILE"
            )
        named = {"address": where} if "://" in where else {"scheduler_file": where}
        if "scheduler_file" in named and not Path(where).is_file():
            raise UsageError("E001", f"--scheduler: {where}: no such file", "an address begins with tcp:// or tls://")
        try:
            self._client: Any = distributed.Client(
                **named, timeout=PATIENCE, security=_security(execution.tls), set_as_default=False, name="snnconvert"
            )
        except (OSError, TimeoutError, ValueError) as problem:
            raise OutputError(
                "E404", f"--scheduler: {where}: does not answer ({problem})", "is the scheduler running?"
            ) from None
        self._where = where
        self._most = execution.jobs
        self._stop = f"snnconvert-{uuid.uuid4().hex}"
        self._event = distributed.Event(self._stop, client=self._client)
        self._futures: dict[str, Any] = {}
        self._started: dict[str, float] = {}

    @property
    def slots(self) -> int:
        """As many tasks as the workers have threads; one where there are no workers yet."""
        threads: int = sum(self._client.nthreads().values())
        return max(1, threads if self._most is None else min(self._most, threads))

    def submit(self, task: Task) -> None:
        """Give a task to the scheduler."""
        self._started[task.name] = time.monotonic()
        self._futures[task.name] = self._client.submit(
            attempt_here,
            task.to_document(),
            self._stop,
            key=f"{task.name}-{uuid.uuid4().hex[:8]}",
            pure=False,
        )

    def wait(self, timeout: float | None) -> list[tuple[str, Outcome]]:
        """Return what has ended, also by the death of more workers than Dask forgives.

        Raises:
            OutputError: the scheduler is gone (E404).
        """
        if not self._futures:
            return []
        try:
            with self._client.as_current():
                distributed.wait([*self._futures.values()], timeout=timeout, return_when="FIRST_COMPLETED")
        except TimeoutError:
            return []
        except FuturesCancelledError:
            if self._client.status != "running":
                hint = "start it again; the same command goes on"
                raise OutputError("E404", f"--scheduler: {self._where}: is gone", hint) from None
        ended = [(name, future) for name, future in self._futures.items() if future.done()]
        for name, _ in ended:
            del self._futures[name]
        return [(name, self._outcome(name, future)) for name, future in ended]

    def close(self) -> None:
        """Tell the workers to stop what they do for us, and leave the cluster as it is."""
        try:
            if self._futures:
                self._event.set()  # a task that has not begun ends at once
                with self._client.as_current():
                    distributed.wait([*self._futures.values()], timeout=GRACE)
        except (TimeoutError, OSError):
            self._client.cancel([*self._futures.values()])
        finally:
            self._futures.clear()
            self._client.close()

    def _outcome(self, name: str, future: Any) -> Outcome:
        seconds = round(time.monotonic() - self._started.pop(name), 3)
        try:
            return Outcome(**future.result())
        except KilledWorker as problem:
            message, hint = f"several workers died of it ({problem.task})", "see the log of its last attempt"
        except Exception as problem:  # noqa: BLE001 - whatever a worker raises is the outcome of its job only
            message, hint = f"the worker failed ({type(problem).__name__}: {problem})", "see the worker's log"
        return Outcome.failed(LimitError("E501", message, hint), seconds, transient=True)


def _security(tls: Tls | None) -> Any:
    """Return how to reach the cluster; None leaves it to Dask's own configuration."""
    if tls is None:
        return None
    return distributed.Security(
        require_encryption=True, tls_ca_file=tls.ca, tls_client_cert=tls.cert, tls_client_key=tls.key
    )


def attempt_here(task: dict[str, Any], stop: str) -> dict[str, Any]:
    """Carry out a task in a child of the worker that calls this; end it early where the event ``stop`` is set."""
    event = distributed.Event(stop)
    if event.is_set():
        raise RuntimeError("stopped before it began")
    given = os.environ.get("OMP_NUM_THREADS", "")  # 1 is what Dask gives a task, if nobody says otherwise
    with closing(LocalPool(1, int(given) if given.isdecimal() else 1)) as pool:
        pool.submit(Task(**task))
        while not (ended := pool.wait(LOOK)):
            if event.is_set():
                raise RuntimeError("stopped")
    return ended[0][1].to_document()
