"""Runs what a file makes torch do in a child of this process: it may crash, loop or ask for memory, and only it ends.

The child is a fork, so that torch is not loaded twice. It keeps one thread, writes no file and has limits on time and
memory. That is isolation from accidents and exhaustion, no security boundary.
"""

import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from snnconvert.errors import LimitError, ModelError, SnnError
from snnconvert.memory import DATA, STATUS
from snnconvert.processes import live_with

TRUST = "--trust-model runs it without limits, if you know who made the file"
PATIENCE = 4  # how long to wait, in times of what it may compute: others may use the machine too
POSSIBLE = sys.platform == "linux" and STATUS.exists()  # elsewhere a fork of threads, or no count of memory
DONE, REFUSED, EXHAUSTED, FAILED = b"+", b"-", b"M", b"!"


@dataclass(frozen=True)
class Limits:
    """Seconds of a processor, and bytes of memory beyond what the process has."""

    seconds: float
    memory: int


def isolated(where: str, work: Callable[[], bytes], limits: Limits) -> bytes:
    """Return what ``work`` returns in a child; ``where`` names the file in refusals.

    Raises:
        ModelError: what the work raises.
        LimitError: the child took too long or too much memory, or crashed (E501).
    """
    if not POSSIBLE:
        return work()
    tempfile.gettempdir()  # found by writing into it, which the child may not; torch asks for it when it is imported
    reader, writer = os.pipe()
    parent = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads may run; the child uses none of their locks
        child = os.fork()
    if child == 0:
        os.close(reader)
        _work(writer, work, limits, parent)  # does not return
    os.close(writer)
    deadline, ended = time.monotonic() + PATIENCE * limits.seconds, False
    try:
        answer = _received(reader, deadline)
        ended = answer is not None
    finally:
        os.close(reader)
        if not ended:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    exhausted = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
    if answer is None or exhausted:
        seconds = limits.seconds if exhausted else PATIENCE * limits.seconds
        raise LimitError("E501", f"{where}: torch takes more than {seconds:.0f} s on the model", TRUST)
    kind, content = answer[:1], answer[1:]
    if kind == DONE:
        return content
    if kind == REFUSED:
        raise ModelError(**json.loads(content))
    if kind == EXHAUSTED:
        raise LimitError("E501", f"{where}: torch runs out of memory on the model", TRUST)
    how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "an error of its own"
    raise LimitError("E501", f"{where}: torch crashes on the model ({how})", "export the network again")


def _received(reader: int, deadline: float) -> bytes | None:
    """Return all that the child sends, None where the deadline comes first."""
    parts: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return None
        part = os.read(reader, 2**20)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _work(writer: int, work: Callable[[], bytes], limits: Limits, parent: int) -> None:
    """Do the work in the child, send the answer, and leave without any of the parent's business at exit."""
    try:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        live_with(parent)
        _limit(limits)
        gc.freeze()  # a collection that goes through the parent's objects copies all their pages
        with os.fdopen(writer, "wb") as stream:
            for part in _answer(work):
                stream.write(part)
    finally:
        os._exit(0)


def _answer(work: Callable[[], bytes]) -> tuple[bytes, bytes]:
    import torch

    torch.set_num_threads(1)  # the threads of the parent are not here
    try:
        return DONE, work()
    except SnnError as refusal:
        return (EXHAUSTED, b"") if isinstance(refusal, LimitError) else (REFUSED, json.dumps(refusal.document).encode())
    except MemoryError:
        return EXHAUSTED, b""
    except BaseException:  # noqa: BLE001 - the parent tells that there was one
        return FAILED, b""


def _limit(limits: Limits) -> None:
    taken = int(STATUS.read_text().split()[DATA]) * resource.getpagesize()
    seconds = int(limits.seconds) + 1
    for kind, soft, hard in (
        (resource.RLIMIT_DATA, taken + limits.memory, taken + limits.memory),
        (resource.RLIMIT_CPU, seconds, seconds + 1),  # at the first there is SIGXCPU, which tells why
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # a lower limit is there already
            resource.setrlimit(kind, (soft, hard))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write fails, and does not kill
