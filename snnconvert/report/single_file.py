"""A file that a user asked for by its name: there whole or not at all, and refused before any work is done for it."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from snnconvert.errors import OutputError
from snnconvert.report.manifest import is_bundle

UNFINISHED = ".snnconvert-"


def check_place(path: Path) -> None:
    """Refuse a place where no file could be written.

    Raises:
        OutputError: the folder is missing, not writable or a bundle, or something that is no file stands there (E401).
    """
    try:
        if not path.parent.is_dir():
            raise OutputError("E401", f"{path}: there is no folder '{path.parent}'", "make it, or give another name")
        if os.path.lexists(path) and not path.is_file():
            raise OutputError("E401", f"{path}: is there already, and is no file", "give another name")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OutputError("E401", f"{path}: the folder '{path.parent}' is not writable", "give another name")
        if is_bundle(path.parent):
            told = f"{path}: the folder '{path.parent}' is a bundle, which would not be whole any more"
            raise OutputError("E401", told, "give another folder")
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise OutputError("E401", f"{path}: cannot be used ({problem})", "give another name") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it in, over an older one.

    Raises:
        OutputError: it cannot be written (E402); what stood there still does.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files beside their places; when all are written, move them in, in this order, over older ones.

    Who is killed between two moves leaves new files beside old ones: the last should know the others by their digests.

    Raises:
        OutputError: one cannot be written (E402); then what stood in their places still does.
    """
    written: dict[Path, Path] = {}
    path = next(iter(files))
    try:
        for path, content in files.items():
            check_place(path)
            written[path] = path.parent / f"{UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}.tmp"
            with written[path].open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, beside in written.items():
            beside.replace(path)
    except BaseException as problem:  # Ctrl-C leaves nothing behind either
        for beside in written.values():
            with suppress(OSError):
                beside.unlink()
        if isinstance(problem, OSError):
            message = f"{path}: cannot be written ({problem.strerror or problem})"
            raise OutputError("E402", message, "is the disk full?") from None
        raise


def clear_unfinished(folder: Path) -> None:
    """Remove what killed processes left of files; only for who keeps all others from writing into the folder."""
    for path in folder.glob(f"{UNFINISHED}*.tmp"):
        path.unlink(missing_ok=True)
