"""Writes a baseline and the predictions beside it.

Predictions come first, under names that hold their digests; then the file moves in; then those go that it no longer
names, if they are ours. A run that is killed on the way leaves a baseline, old or new, that is whole.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from snnconvert import __version__
from snnconvert.errors import OutputError, UsageError
from snnconvert.gate.baseline import digest, limited
from snnconvert.gate.measurement import Measurement
from snnconvert.gate.predictions import MOST_BYTES
from snnconvert.gate.schema import NAME, Baseline, Gate, Stored
from snnconvert.report.single_file import check_place, write_whole
from snnconvert.report.text import printable


def check_update(path: Path, reason: str | None, names: Sequence[str]) -> None:
    """Refuse, before any work is done, what could not be written.

    Raises:
        UsageError: no reason is given, a name cannot be one of a file, or stands for two networks (E003).
        OutputError: the place cannot be written to (E401).
    """
    if not (reason or "").strip():
        raise UsageError("E003", "--update: why? A baseline says what it was written for", "--reason TEXT")
    for what, name in (("--baseline", path.stem), *(("--name", each) for each in names)):
        if not re.fullmatch(NAME, name):
            message = f"{what}: '{printable(name)}' cannot name a folder"
            raise UsageError("E003", message, "use letters, digits, '-', '_' and '.'")
    if len(set(names)) < len(names):
        raise UsageError("E003", "--update: two of the networks have one name", "write them one by one, with --name")
    check_place(path)
    folder = path.parent / path.stem
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError("E401", f"{folder}: is no folder; the predictions would go there", "give another --baseline")


def write_baseline(
    path: Path, old: tuple[Baseline, bytes] | None, measured: Sequence[tuple[str, Measurement, Gate]], reason: str
) -> Baseline:
    """Put the measurements under their names into the baseline at ``path``; others in it stay as they are.

    Raises:
        OutputError: it cannot be written (E402); the baseline is as it was then.
    """
    before = old[0].models if old else []
    entries, files = {entry.name: entry for entry in before}, {}
    for name, measurement, gate in measured:
        content = measurement.predictions.to_npz()
        stored = Stored(path=_name(path, name, digest(content)), sha256=digest(content))
        files[path.parent / stored.path] = content
        entries[name] = measurement.entry(name, gate).model_copy(update={"predictions": stored})
    baseline = Baseline(
        created_by=f"snnconvert {__version__}",
        previous=f"sha256:{digest(old[1])}" if old else None,
        reason=reason.strip(),
        models=[entries[name] for name in sorted(entries)],
    )
    try:
        content = baseline.to_json()
    except ValueError as problem:  # infinity, say, which YAML can hold
        raise UsageError("E303", f"{path}: options that JSON cannot hold ({problem})", "convert without them") from None
    _write(path, files, content)
    named = {entry.predictions.path for entry in baseline.models if entry.predictions is not None}
    for entry in before:
        if entry.predictions is not None and entry.predictions.path not in named:
            _remove(path, entry.name, entry.predictions)
    return baseline


def _name(path: Path, name: str, sha256: str) -> str:
    """Return where the predictions of a network lie, relative to the folder of the baseline."""
    return f"{path.stem}/{name}-{sha256[:8]}.npz"


def _remove(path: Path, name: str, stored: Stored) -> None:
    """Remove predictions that were written with a baseline: the old one is a stranger's, and may name any file."""
    file = path.parent / stored.path
    with suppress(OSError, RuntimeError, ValueError):  # RuntimeError: links in a circle
        written_here = stored.path == _name(path, name, stored.sha256)
        linked = file.resolve() != path.parent.resolve() / stored.path
        if written_here and not linked and digest(limited(file, MOST_BYTES)) == stored.sha256:
            file.unlink()


def _write(path: Path, files: dict[Path, bytes], content: bytes) -> None:
    folder, made = path.parent / path.stem, []
    new_folder = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        for file, predictions in files.items():
            if not os.path.lexists(file):
                made.append(file)
            write_whole(file, predictions)
        write_whole(path, content)
    except BaseException as problem:  # Ctrl-C leaves nothing behind either
        with suppress(OSError):
            for file in made:
                file.unlink(missing_ok=True)
            if new_folder:
                folder.rmdir()
        if isinstance(problem, OSError):
            message = f"{folder}: cannot be written ({problem.strerror or problem})"
            raise OutputError("E402", message, "is the disk full?") from None
        raise
