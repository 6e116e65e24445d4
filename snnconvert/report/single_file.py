"""A file that a user asked for by its name: there whole or not at all, and refused before any work is done for it."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from snnconvert.errors import OutputError

UNFINISHED = ".snnconvert-"


def check_place(path: Path) -> None:
    """Refuse a place where no file could be written.

    Raises:
        OutputError: the folder is missing or not writable, or something that is no file stands there (E401).
    """
    try:
        if not path.parent.is_dir():
            raise OutputError("E401", f"{path}: there is no folder '{path.parent}'", "make it, or give another name")
        if os.path.lexists(path) and not path.is_file():
            raise OutputError("E401", f"{path}: is there already, and is no file", "give another name")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OutputError("E401", f"{path}: the folder '{path.parent}' is not writable", "give another name")
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise OutputError("E401", f"{path}: cannot be used ({problem})", "give another name") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it in, over an older one.

    Raises:
        OutputError: it cannot be written (E402); what stood there still does.
    """
    check_place(path)
    beside = path.parent / f"{UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as problem:  # Ctrl-C leaves nothing behind either
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
