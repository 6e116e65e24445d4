"""Processes that measure batches side by side; what they find comes back in the order of the batches.

A process that has used threads cannot be forked, so that each begins anew: that takes some seconds. What goes between
them is pickled by `multiprocessing`, here and nowhere else; none of it comes from a file.
"""

import multiprocessing
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import numba
import torch

from snnconvert.bench import Bench, Piece
from snnconvert.checkpoints import Arrays
from snnconvert.errors import LimitError, SnnError
from snnconvert.memory import limit, load_libraries, ran_out
from snnconvert.processes import live_with

GRACE = 5.0  # seconds for a process to end that has said goodbye
Measure = Callable[[Iterable[Piece]], Iterator[Arrays]]


class Worker(NamedTuple):
    """A process, and what connects us."""

    process: BaseProcess
    connection: Connection


@contextmanager
def measuring(bench: Bench, count: int) -> Iterator[Measure]:
    """Yield what turns batches into their sums, by so many processes; by this one alone, where they are fewer than two.

    They share the threads that torch has here, and begin with the first batch. A limit on memory that is in force here
    is one for each of them.

    Raises:
        SnnError: what reading or measuring a batch raises, at that batch's turn.
        LimitError: a process ended, most likely for want of memory, or cannot begin (E501).
    """
    if count < 2:
        yield lambda batches: (bench.measure(piece).state() for piece in batches)
        return
    workers: list[Worker] = []

    def measure(batches: Iterable[Piece]) -> Iterator[Arrays]:
        busy: deque[Worker] = deque()
        errors: list[Exception] = []
        for piece in _until_error(batches, errors):
            if not workers:
                workers.extend(_started(count))
                content = pickle.dumps(bench)  # torch's tensors by value
                for worker in workers:  # now that all of them begin: each hears it when it has imported all
                    _send(worker, content)
            if len(busy) < count:
                worker = workers[len(busy)]
                _send(worker, piece)
            else:
                worker = busy.popleft()
                found = _found(worker)
                _send(worker, piece)  # before what it found is used, which takes time
                yield found
            busy.append(worker)
        while busy:
            yield _found(busy.popleft())
        for error in errors:  # at its own turn
            raise error

    try:
        yield measure
    finally:
        for worker in workers:
            worker.process.kill()  # it holds nothing
        for worker in workers:
            worker.process.join()
            worker.connection.close()


def _until_error(batches: Iterable[Piece], errors: list[Exception]) -> Iterator[Piece]:
    """Yield batches until one cannot be read, which is put down."""
    try:
        yield from batches
    except Exception as problem:  # noqa: BLE001 - raised when those before it are done
        errors.append(problem)


def _started(count: int) -> Iterator[Worker]:
    """Start the processes."""
    context, threads = multiprocessing.get_context("spawn"), max(1, torch.get_num_threads() // count)
    resource_tracker.ensure_running()  # or the first start does it, and lets SIGINT through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C reaches all of us: this process decides
    try:
        for number in range(count):
            ours, theirs = context.Pipe()
            name, arguments = f"snnconvert-{number}", (theirs, os.getpid(), threads)
            process = context.Process(target=_work, args=arguments, name=name, daemon=True)
            process.start()
            theirs.close()
            yield Worker(process, ours)
    except OSError as problem:
        what = f"--workers: the system starts no {count} processes ({problem.strerror or problem})"
        raise LimitError("E501", what, "fewer --workers") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(worker: Worker, what: Piece | bytes) -> None:
    with suppress(OSError):  # of one that has ended, the answer will tell
        worker.connection.send_bytes(what) if isinstance(what, bytes) else worker.connection.send(what)


def _found(worker: Worker) -> Arrays:
    """Return what a process found of the batch that it was given last."""
    try:
        found: Arrays | Exception = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join(GRACE)
        raise LimitError(
            "E501",
            f"a process that evaluates has ended (status {worker.process.exitcode})",
            "it may have run out of memory: fewer --workers take less; a script of yours needs "
            "if __name__ == '__main__'",
        ) from None
    if isinstance(found, Exception):
        raise found
    return found


def _work(connection: Connection, parent: int, threads: int) -> None:
    """Be one of the processes: measure a batch after the other, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    live_with(parent)
    load_libraries()
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))
    with suppress(EOFError, OSError):
        bench: Bench = pickle.loads(connection.recv_bytes())  # noqa: S301 - our parent made it
        while True:
            piece = connection.recv()
            try:
                found: Arrays | Exception = bench.measure(piece).state()
            except SnnError as problem:
                found = problem
            except Exception as problem:  # noqa: BLE001 - our parent raises it
                told = "".join(traceback.format_exception(problem))
                found = MemoryError(str(problem)) if ran_out(problem, limit()) else RuntimeError(told)
            connection.send(found)
