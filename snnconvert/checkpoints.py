"""What a conversion keeps between runs: statistics that other ones share, and an evaluation that goes on where it was.

A file is the SHA-256 of the rest and the rest, numpy's .npz. One that is missing, broken or of something else is made
again; nothing that is kept changes a result by a bit. What is kept of an evaluation is bound to the key of its job, and
to the digest of the network that was simulated: another processor may round a weight to another one.
"""

import hashlib
import io
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from snnconvert.calibrate import ActivationStatistics, from_arrays, to_arrays
from snnconvert.errors import OutputError
from snnconvert.graph import Graph
from snnconvert.report.single_file import clear_unfinished, write_whole

Arrays = dict[str, NDArray[Any]]
EVERY = 60.0  # seconds between checkpoints of an evaluation
DIGEST = 32  # bytes
MOST = 2**31  # bytes of a file
BY_SAMPLE = {"snn": 1, "ann": 0, "labels": 0}  # what of a state has a row a sample, and along which axis
BROKEN = (ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile)
AGAIN = "what was kept of the evaluation is damaged; it is measured again"
Warn = Callable[[str], None]


@dataclass
class Checkpoints:
    """Files of one conversion, each in a folder of its own, or None where nothing is kept.

    ``key`` tells the evaluations of different jobs apart, ``network`` is the digest of what is simulated.
    """

    calibration: Path | None = None
    evaluation: Path | None = None
    key: str = ""
    network: str = ""
    _last: float = field(default_factory=time.monotonic)

    def statistics(
        self, graph: Graph, per_channel: bool, collect: Callable[[], ActivationStatistics]
    ) -> ActivationStatistics:
        """Return the statistics that are kept, or else collect and keep them; others wait meanwhile for the same ones.

        Raises:
            OutputError: they cannot be written (E402).
        """
        if self.calibration is None:
            return collect()
        with _only_one(self.calibration):
            with suppress(*BROKEN):
                arrays = _read(self.calibration)
                found = None if arrays is None else from_arrays(arrays, graph, per_channel)
                if found is not None:
                    return found
            statistics = collect()
            _write(self.calibration, to_arrays(statistics))
            return statistics

    def of(self, network: str) -> "Checkpoints":
        """Return the same for a network of this digest."""
        return replace(self, network=network)

    def state(self, warn: Warn) -> Arrays | None:
        """Return where an evaluation was that did not end, if it was one of this job and network."""
        return None if self.evaluation is None else self._load(self.evaluation, warn)

    def keep(self, state: Callable[[], Arrays]) -> None:
        """Keep where an evaluation is, now and then.

        Raises:
            OutputError: it cannot be written (E402).
        """
        if self.evaluation is not None and time.monotonic() - self._last >= EVERY:
            _write(self.evaluation, {**self._mine, **state()})
            self._last = time.monotonic()

    def parts(self, warn: Warn) -> dict[int, list[Arrays]]:
        """Return what other processes measured of parts of the samples: sums of every batch, by the first sample."""
        found: dict[int, list[Arrays]] = {}
        for path in [] if self.evaluation is None else sorted(self._parts.glob("*.npz")):
            arrays = self._load(path, warn)
            try:
                if arrays is not None:
                    start = int(arrays.pop("start"))
                    found[start] = _apart(arrays)
            except BROKEN:
                warn(f"{path.name}: {AGAIN}")
        return found

    def has_part(self, number: int, parts: int) -> bool:
        """Tell whether a part of this job was measured, by whatever processor."""
        with suppress(*BROKEN):
            arrays = _read(self._parts / _name(number, parts))
            return arrays is not None and str(arrays["key"]) == self.key
        return False

    def keep_part(self, number: int, parts: int, start: int, states: Sequence[Arrays]) -> None:
        """Keep the sums of every batch of a part that begins at the sample ``start``.

        Raises:
            OutputError: they cannot be written (E402).
        """
        if self.evaluation is None:
            return
        try:
            self._parts.mkdir(exist_ok=True)
        except OSError as problem:
            raise OutputError("E402", f"{self._parts}: cannot be made ({problem.strerror or problem})") from None
        _write(self._parts / _name(number, parts), {**self._mine, "start": np.array(start), **_together(states)})

    @property
    def _mine(self) -> Arrays:
        return {"key": np.array(self.key), "network": np.array(self.network)}

    def _load(self, path: Path, warn: Warn) -> Arrays | None:
        """Return what a file keeps of this job and network, if it does."""
        try:
            arrays = _read(path)
            mine = arrays is not None and {name: str(arrays.pop(name)) for name in self._mine} == {
                name: str(value) for name, value in self._mine.items()
            }
        except BROKEN:
            warn(f"{path.name}: {AGAIN}")
            return None
        return arrays if mine else None

    @property
    def _parts(self) -> Path:
        return (self.evaluation or Path()).parent / "parts"

    def done(self) -> None:
        """Forget the evaluation, whose bundle is written."""
        if self.evaluation is not None:
            with suppress(OSError):
                self.evaluation.unlink(missing_ok=True)
            shutil.rmtree(self._parts, ignore_errors=True)


def _name(number: int, parts: int) -> str:
    return f"{number + 1}-of-{parts}.npz"


def _together(states: Sequence[Arrays]) -> Arrays:
    """Return states of batches as one: what has a row a sample behind one another, the rest on top of one another."""
    return {
        name: np.concatenate([each[name] for each in states], axis=BY_SAMPLE[name])
        if name in BY_SAMPLE
        else np.stack([each[name] for each in states])
        for name in states[0]
    }


def _apart(arrays: Arrays) -> list[Arrays]:
    """Undo :func:`_together`."""
    ends = np.cumsum(arrays["samples"])[:-1]
    rows = {
        name: np.split(array, ends, axis=BY_SAMPLE[name]) if name in BY_SAMPLE else [*array]
        for name, array in arrays.items()
    }
    return [dict(zip(rows, each, strict=True)) for each in zip(*rows.values(), strict=True)]


def _read(path: Path) -> Arrays | None:
    """Return the arrays of a file, None where there is none; what is BROKEN is raised as it comes."""
    try:
        if path.stat().st_size > MOST:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        raise ValueError("its digest is another one")
    with np.load(io.BytesIO(content[DIGEST:]), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getbuffer()
    write_whole(path, hashlib.sha256(content).digest() + content)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.parent / "lock")
        lock.acquire()
        clear_unfinished(path.parent)
    except OSError as problem:
        raise OutputError("E402", f"{path}: cannot be locked ({problem.strerror or problem})") from None
    try:
        yield
    finally:
        lock.release()
