"""Runs tasks on this machine, by a process that has imported everything and forks a child for each."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from snnconvert.batch.task import Outcome, Task
from snnconvert.errors import LimitError
from snnconvert.processes import processors

MEMORY_A_JOB = 2 * 2**30  # bytes that a job finds on this machine, where nobody says how many jobs
GRACE = 15.0  # seconds for all children to clean up
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class LocalPool:
    """Up to ``slots`` tasks at once, each with ``threads`` threads."""

    def __init__(self, slots: int, threads: int) -> None:
        self.slots = slots
        self._names: set[str] = set()
        self._rest = b""
        command = [sys.executable, "-m", "snnconvert.batch.server", str(os.getpid())]
        self._server = subprocess.Popen(
            command, env=_environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def submit(self, task: Task) -> None:
        """Send a task to the server; if it is dead, waiting will tell."""
        self._names.add(task.name)
        if self._server.stdin is not None:
            with suppress(BrokenPipeError):
                self._server.stdin.write(f"{json.dumps(task.to_document())}\n".encode())

    def wait(self, timeout: float | None) -> list[tuple[str, Outcome]]:
        """Return what has ended; everything, where the server itself has."""
        if not self._names or self._server.stdout is None:
            return []
        if not select.select([self._server.stdout], [], [], timeout)[0]:
            return []
        received = os.read(self._server.stdout.fileno(), 2**20)
        if not received:
            return self._all_lost()
        *lines, self._rest = (self._rest + received).split(b"\n")
        answers = [json.loads(line) for line in lines]
        for name, _ in answers:
            self._names.remove(name)
        return [(name, Outcome(**document)) for name, document in answers]

    def close(self) -> None:
        """Stop the server, and by that its children: they clean up first, if they can."""
        if self._server.stdin is not None:
            with suppress(OSError):
                self._server.stdin.close()
        self._server.terminate()  # which ends it where it still imports, and has no child yet
        try:
            self._server.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        if self._server.stdout is not None:
            self._server.stdout.close()
        self._names.clear()

    def _all_lost(self) -> list[tuple[str, Outcome]]:
        status = self._server.wait()
        message, hint = f"the process that starts jobs has crashed (status {status})", "run the same command again"
        lost = Outcome.failed(LimitError("E501", message, hint))
        names, self._names = [*self._names], set()
        return [(name, lost) for name in names]


def automatic_slots() -> int:
    """Return how many jobs this machine holds: by its processors and its memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(processors(), memory // MEMORY_A_JOB))


def _environment(threads: int) -> Mapping[str, str]:
    return {**os.environ, **dict.fromkeys(THREADS, str(threads))}
