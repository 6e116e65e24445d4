"""The output directory, which is the database: a job is done when its bundle is there and its manifest verifies.

    OUTPUT/
        NAME-KEY8/                bundles, each there whole or not at all
        summary.json, .csv, .svg  made again from the bundles at the end of every run
        .snnconvert/NAME-KEY8/    lock (held while the job runs), record.json (how it went), log.txt, evaluation.npz
        .snnconvert/calibration/  what several jobs share

The kernel frees the lock of a process that dies, so that no lock is ever stale.
"""

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from snnconvert.batch.expansion import Planned
from snnconvert.batch.keys import calibration_part, changes, key_of
from snnconvert.errors import OutputError, SnnError
from snnconvert.report.manifest import is_bundle, verify_bundle
from snnconvert.report.publish import check_destination
from snnconvert.report.single_file import clear_unfinished, write_whole
from snnconvert.report.staging import reap

PRIVATE = ".snnconvert"
RECORD = "record.json"
BUNDLE = re.compile(r"(.+)-([0-9a-f]{8})")
STAGED = re.compile(r"\.(.+-[0-9a-f]{8})\.tmp-[\w.]+-\d+-[0-9a-f]{8}")
MAX_RECORD = 2**20  # bytes
DONE, DAMAGED, MISSING = "done", "damaged", "missing"


@dataclass(frozen=True)
class Entry:
    """A job with its place: ``folder`` is the name of its bundle, ``key`` what the result depends on."""

    planned: Planned
    key: Mapping[str, Any]
    folder: str


@dataclass(frozen=True)
class State:
    """Whether a job is done, and why not."""

    state: str
    why: str = ""


def entry_of(planned: Planned, key: Mapping[str, Any]) -> Entry:
    """Return the place of a job whose key is known."""
    return Entry(planned, key, f"{planned.name}-{key_of(key)[:8]}")


class Store:
    """The output directory of a batch."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.private = output / PRIVATE

    def open(self) -> None:
        """Make the directory, and clear away what killed runs left in it.

        Raises:
            OutputError: it cannot be made, or holds a summary that is not ours (E401).
        """
        ours = self.private.is_dir()
        if not ours and any((self.output / name).exists() for name in ("summary.json", "summary.csv", "summary.svg")):
            raise OutputError("E401", f"{self.output}: holds a summary of something else", "give another output")
        try:
            self.private.mkdir(parents=True, exist_ok=True)
            for path in self.output.iterdir():
                if found := STAGED.fullmatch(path.name):
                    reap(self.output / found[1])
        except OSError as problem:
            raise self._refusal(problem) from None

    def bundle(self, entry: Entry) -> Path:
        """Return where a job's bundle goes."""
        return self.output / entry.folder

    def place(self, entry: Entry) -> Path:
        """Return where its lock, record and log are."""
        return self.private / entry.folder

    def calibration(self, entry: Entry) -> Path:
        """Return where the statistics are that a job shares with all that calibrate alike."""
        return self.private / "calibration" / key_of(calibration_part(entry.key))[:32] / "statistics.npz"

    def state(self, entry: Entry) -> State:
        """Look whether a job is done, by the manifest of its bundle."""
        bundle = self.bundle(entry)
        if not os.path.lexists(bundle):
            return State(MISSING, self._why(entry))
        try:
            verify_bundle(bundle)
        except SnnError as problem:
            return State(DAMAGED, problem.message.removeprefix(f"{bundle}: "))
        return State(DONE)

    def lock(self, entry: Entry) -> FileLock | None:
        """Take the lock of a job; None where another run holds it.

        Raises:
            OutputError: the lock cannot be made (E402).
        """
        place = self.place(entry)
        try:
            place.mkdir(exist_ok=True)
            lock = FileLock(place / "lock", timeout=0)
            lock.acquire()
            clear_unfinished(place)  # now that nobody else writes there
        except Timeout:
            return None
        except OSError as problem:
            raise self._refusal(problem, "E402") from None
        return lock

    def is_locked(self, entry: Entry) -> bool:
        """Tell whether another run is at a job; nothing is made for it."""
        path = self.place(entry) / "lock"
        try:
            if path.exists():
                with FileLock(path, timeout=0):
                    return False
        except Timeout:
            return True
        except OSError:
            return False  # not ours to write to: nor is it another run's of ours
        return False

    def make_room(self, entry: Entry) -> bool:
        """Prepare the place of a bundle under its lock; tell whether a damaged one must be replaced.

        What is no bundle any more is kept aside, as nothing of it is known to be ours.

        Raises:
            OutputError: something else stands there (E401), or it cannot be moved (E402).
        """
        bundle = self.bundle(entry)
        if not os.path.lexists(bundle) or is_bundle(bundle):
            check_destination(bundle, force=True)
            return os.path.lexists(bundle)
        place = self.place(entry)
        try:
            names = (place / f"damaged-{number}" for number in itertools.count())
            bundle.rename(next(name for name in names if not os.path.lexists(name)))
        except OSError as problem:
            raise self._refusal(problem, "E402") from None
        return False

    def summary_lock(self) -> FileLock:
        """Return the lock under which the summary is written."""
        return FileLock(self.private / "summary.lock")

    def record(self, entry: Entry, outcome: Mapping[str, Any]) -> None:
        """Remember how a job went, and its key.

        Raises:
            OutputError: it cannot be written (E402).
        """
        document = {"schema": "snnconvert/record/1", "name": entry.planned.name, "key": entry.key, **outcome}
        text = json.dumps(document, indent=1, sort_keys=True)
        write_whole(self.place(entry) / RECORD, f"{text}\n".encode())

    def recorded(self, folder: str) -> dict[str, Any]:
        """Return what is remembered of a job; nothing where there is nothing, or not what we wrote."""
        path = self.private / folder / RECORD
        with suppress(OSError, ValueError, RecursionError):
            if path.stat().st_size <= MAX_RECORD:
                document = json.loads(path.read_bytes())
                if isinstance(document, dict) and document.get("schema") == "snnconvert/record/1":
                    return document
        return {}

    def others(self, entries: list[Entry]) -> list[str]:
        """Return the bundles here that belong to no job of the file any more."""
        ours = {entry.folder for entry in entries}
        names = [path.name for path in self.output.iterdir()] if self.output.is_dir() else []
        found = sorted(name for name in names if BUNDLE.fullmatch(name) and name not in ours)
        return [name for name in found if is_bundle(self.output / name)]

    def _why(self, entry: Entry) -> str:
        failure = self.recorded(entry.folder).get("error")
        if isinstance(failure, dict):
            return f"failed before: error[{failure.get('code')}]: {failure.get('message')}"
        for record in self._relatives(entry):
            if told := changes(record["key"], entry.key):
                return "; ".join(told)
        return "not done yet"

    def _relatives(self, entry: Entry) -> Iterator[dict[str, Any]]:
        """Yield the records of the same name under other keys, the newest first."""
        for folder in self._folders.get(entry.planned.name, []):
            record = self.recorded(folder)
            if folder != entry.folder and isinstance(record.get("key"), dict):
                yield record

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        """The private folders of each name, those that changed last first; looked up once."""
        found: dict[str, list[tuple[float, str]]] = {}
        with suppress(OSError):
            for path in self.private.iterdir():
                if named := BUNDLE.fullmatch(path.name):
                    found.setdefault(named[1], []).append((path.stat().st_mtime, path.name))
        return {name: [folder for _, folder in sorted(times, reverse=True)] for name, times in found.items()}

    def _refusal(self, problem: OSError, code: str = "E401") -> OutputError:
        where = problem.filename if isinstance(problem.filename, str) else str(self.output)
        hint = "the same command goes on where this one stopped" if code == "E402" else "output: names another folder"
        return OutputError(code, f"{where}: cannot be used ({problem.strerror or problem})", hint)
