"""One attempt at one job, in a process of its own that may run out of memory, time or luck without harm to others."""

import faulthandler
import os
import resource
import signal
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from snnconvert import pipeline
from snnconvert.batch.task import Outcome, Task
from snnconvert.checkpoints import Checkpoints
from snnconvert.config import Job
from snnconvert.errors import LimitError, OutputError, SnnError
from snnconvert.memory import load_libraries, ran_out
from snnconvert.progress import Silent
from snnconvert.report.manifest import verify_bundle
from snnconvert.report.text import printable

KILOBYTE = 1024  # what ru_maxrss counts in
LINE = 600  # characters
TELL_EVERY = 30.0  # seconds


class Stopped(BaseException):
    """SIGTERM: clean up, and go."""


class Story(Silent):
    """Writes down what a conversion says."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._name, self._total, self._done, self._told = "", 0, 0, 0.0

    def _line(self, text: str) -> None:
        self._log.write(f"{printable(text, LINE)}\n")
        self._log.flush()

    def stage(self, name: str, total: int) -> None:
        self._name, self._total, self._done, self._told = name, total, 0, time.monotonic()
        self._line(f"{time.strftime('%H:%M:%S')} {name}: {total}")

    def advance(self, samples: int) -> None:
        self._done += samples
        if time.monotonic() - self._told > TELL_EVERY:
            self._told = time.monotonic()
            self._line(f"{time.strftime('%H:%M:%S')} {self._name}: {self._done} of {self._total}")

    def note(self, text: str) -> None:
        self._line(f"note: {text}")

    def detail(self, text: str) -> None:
        self._line(text)

    def warn(self, text: str) -> None:
        self._line(f"warning: {text}")


def confine(task: Task) -> None:
    """Take no more memory than the task may; stdout and stderr go to its log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of us: the parent decides
    signal.signal(signal.SIGTERM, _stop)
    descriptor = os.open(task.log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o666)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    faulthandler.enable(2)
    if task.memory is not None and task.job["device"] == "cpu":  # a GPU's driver maps more than it uses
        load_libraries()
        resource.setrlimit(resource.RLIMIT_DATA, (task.memory, task.memory))


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise Stopped


def attempt(task: Task) -> Outcome:
    """Carry out a task; whatever goes wrong is an outcome.

    Raises:
        Stopped: SIGTERM came; nothing unfinished is left.
    """
    started = time.monotonic()
    with Path(task.log).open("a", encoding="utf-8", errors="backslashreplace") as log:
        log.write(f"{task.name}: attempt {task.attempt}, {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        error = _error(task, log)
        if error is not None:
            log.write(f"{error}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE
    seconds = round(time.monotonic() - started, 3)
    if error is None:
        return Outcome(0, seconds, peak=peak)
    transient = isinstance(error, OutputError) or (isinstance(error, LimitError) and task.memory is None)
    return Outcome.failed(error, seconds, transient=transient, peak=peak)


def _error(task: Task, log: TextIO) -> SnnError | None:
    destination = Path(task.destination)
    with suppress(SnnError):
        verify_bundle(destination)  # an attempt before this one died just behind the end of its work
        return None
    try:
        job = Job.model_validate(task.job)
        kept = Checkpoints(Path(task.calibration), Path(task.evaluation), task.key)
        if task.part is not None:
            number, parts = task.part
            pipeline.run_part(job, number, parts, Story(log), kept)
        else:
            pipeline.run(job, destination, task.force, task.command, Story(log), kept)
    except Exception as problem:  # noqa: BLE001 - one failing job never stops the others
        if not isinstance(problem, LimitError) and ran_out(problem, task.memory):
            return LimitError("E501", f"out of memory ({problem})", "execution.memory gives it more")
        if isinstance(problem, SnnError):
            return problem
        if isinstance(problem, OSError):
            where = task.destination if problem.filename is None else problem.filename
            return OutputError("E402", f"{where}: {problem.strerror or problem}")
        log.write(traceback.format_exc())
        return SnnError("E999", f"a bug in snnconvert ({type(problem).__name__})", f"please report it, with {task.log}")
    return None
