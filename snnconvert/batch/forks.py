"""Runs tasks in forks of this process: isolated from each other, and without seconds of imports.

For a process that was made for it (``server.py``): what uses threads or OpenMP before it forks breaks its children.
"""

import importlib
import json
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import numba

from snnconvert.batch.child import Stopped, attempt, confine
from snnconvert.batch.task import Outcome, Task
from snnconvert.errors import LimitError, OutputError
from snnconvert.processes import live_with

SIGNALS = {signal.SIGINT, signal.SIGTERM}
GRACE = 5.0  # seconds to clean up after SIGTERM
NEEDED = ("torch.fx.experimental.symbolic_shapes", "jinja2.ext", "numpy.ma")  # what every job imports late


@dataclass
class _Running:
    task: Task
    process: BaseProcess
    answer: Connection
    started: float

    @property
    def deadline(self) -> float:
        return inf if self.task.timeout is None else self.started + self.task.timeout


class Forks:
    """A child process a task; ``work`` is what they do."""

    def __init__(self, work: Callable[[Task], Outcome] = attempt) -> None:
        self.heard = False  # whether what is waited for besides could be read
        self._work = work
        self._running: dict[str, _Running] = {}
        self._context = multiprocessing.get_context("fork")
        for name in NEEDED:  # here once, and not in every child
            importlib.import_module(name)
        numba.njit("int64(int64)")(lambda number: number)  # the same for what numba sets up when it first compiles

    def submit(self, task: Task) -> None:
        """Fork a child for a task."""
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_live, args=(theirs, task, self._work, os.getpid()), name=task.name)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child has its own ways with them
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of threads: numpy's BLAS stops its own
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        self._running[task.name] = _Running(task, process, ours, time.monotonic())

    def wait(self, also: int) -> list[tuple[str, Outcome]]:
        """Wait until a task ends or ``also`` can be read; return what has ended. A late task is stopped."""
        until = min((each.deadline for each in self._running.values()), default=inf)
        patience = None if until == inf else max(0.0, until - time.monotonic())
        ready = wait([also, *(each.answer for each in self._running.values())], patience)
        self.heard = also in ready
        ended = []
        for name, each in [*self._running.items()]:
            late = time.monotonic() >= each.deadline
            if each.answer in ready or late:
                ended.append((name, self._end(each, late and each.answer not in ready)))
                del self._running[name]
        return ended

    def close(self) -> None:
        """Stop all children: they clean up first, if they can."""
        _stop([each.process for each in self._running.values()])
        for each in self._running.values():
            each.answer.close()
        self._running.clear()

    def _end(self, running: _Running, late: bool) -> Outcome:
        content = b""
        if not late:
            with suppress(EOFError, OSError):
                content = running.answer.recv_bytes()
            running.process.join(GRACE)
        _stop([running.process])
        running.answer.close()
        status = running.process.exitcode or 0
        running.process.close()
        if content:
            return Outcome(**json.loads(content))
        seconds = round(time.monotonic() - running.started, 3)
        if late:
            error = LimitError("E501", f"took more than {running.task.timeout:g} s", "execution.timeout gives it more")
            return Outcome.failed(error, seconds)
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        limited = "" if running.task.memory is None else "; with more than execution.memory it may not"
        error = LimitError("E501", f"its process crashed ({how})", f"see {running.task.log}{limited}")
        return Outcome.failed(error, seconds, transient=True)


def _stop(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _live(answer: Connection, task: Task, work: Callable[[Task], Outcome], parent: int) -> None:
    """Be the child of one task, and send back what came of it."""
    live_with(parent)
    try:
        confine(task)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        outcome = work(task)
    except Stopped:
        os._exit(signal.SIGTERM + 128)
    except OSError as problem:
        error = OutputError("E402", f"{task.log}: {problem.strerror or problem}")
        outcome = Outcome.failed(error, transient=True)
    with suppress(OSError):  # nobody listens any more
        answer.send_bytes(json.dumps(outcome.to_document()).encode())
