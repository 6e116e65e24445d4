"""The bundle on disk: there whole or not at all.

It is written into a directory beside its final name, synced and renamed; the old one stays until the new one is whole.
A run that was killed at any point leaves the old bundle or the new one, and the next run clears away the rest.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from snnconvert.errors import OutputError, SnnError
from snnconvert.report.manifest import (
    MANIFEST,
    RUN_RECORD,
    is_bundle,
    manifest_bytes,
    verify_bundle,
)
from snnconvert.report.quantities import size
from snnconvert.report.staging import Staging, fsync_directory, leftovers, old_bundles, open_staging, reap
from snnconvert.report.text import printable

_ELSEWHERE = "--out DIR writes elsewhere"
_CHUNK = 2**26
_ATTEMPTS = 20
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def check_destination(destination: Path, force: bool) -> None:
    """Refuse a place where the bundle could not be published, before any work is done: OutputError E401.

    Missing parents are no error, ``publish`` makes them. A bundle that a killed run had moved away is put back first,
    so that it is refused here and not after an hour of work.
    """
    destination = _absolute(destination)
    try:
        _check_parent(destination)
        reap(destination)
        _check_free(destination, force)
    except OSError as error:
        raise _refusal(destination, f"cannot be used: {error.strerror or error}") from error


def publish(destination: Path, files: Mapping[str, bytes], run_record: bytes, force: bool) -> None:
    """Write the files, ``run.json`` and ``manifest.json`` as the directory ``destination``, whole or not at all.

    ``force`` replaces an older bundle. Without it a bundle of the same manifest is left as it is and counts as
    published: another run with the same inputs was faster.

    Raises OutputError E401 if something else stands there, E402 if it cannot be written; then the destination is as it
    was before, except where syncing the parent failed after the new bundle had moved in. No temporary file stays, after
    Ctrl-C neither.
    """
    destination = _absolute(destination)
    manifest = manifest_bytes(files)
    everything = {**files, RUN_RECORD: run_record, MANIFEST: manifest}  # in this order: the manifest is last
    try:
        reap(destination)
        if _is_published(destination, manifest, force):
            return
        with _made_parents(destination.parent):
            _check_space(destination, everything)
            with open_staging(destination) as staging:
                _write(staging.new, everything)
                _move_in(staging, destination, manifest, force)
    except OSError as error:
        raise _write_failure(destination, everything, error) from error


def _absolute(destination: Path) -> Path:
    if "\0" in str(destination):
        raise _refusal(destination, "a path cannot hold a NUL character")
    return Path(os.path.abspath(destination))  # noqa: PTH100 - "x/.." must have a name, and links stay links


def _check_parent(destination: Path) -> None:
    if any(len(os.fsencode(part)) > 255 for part in destination.parts):
        raise _refusal(destination, "the name is too long: expected at most 255 bytes")
    with suppress(FileNotFoundError, NotADirectoryError):
        destination.lstat()  # a path can be too long as a whole, too
    parent = next((path for path in destination.parents if os.path.lexists(path)), destination)
    shown = printable(str(parent), 400)
    if not parent.is_dir():
        raise _refusal(destination, f"'{shown}' is not a directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise _refusal(destination, f"'{shown}' is not writable")


def _check_free(destination: Path, force: bool) -> None:
    refusal: OutputError | None = None
    for _ in range(_ATTEMPTS):
        before = _identity(destination)
        refusal = None if before is None else _occupant_refusal(destination, force)
        if refusal is None:
            return
        if _identity(destination) == before:
            break  # else another run has put its bundle there meanwhile: what was seen may be of neither
    if refusal is not None:
        raise refusal


def _occupant_refusal(destination: Path, force: bool) -> OutputError | None:
    if destination.is_symlink():
        return _refusal(destination, "is a symbolic link, which is not replaced")
    if not destination.is_dir():
        return _refusal(destination, "is a file, expected a directory to be made")
    if not is_bundle(destination):
        return _refusal(destination, "exists and is no bundle, so that nothing in it is replaced, with --force neither")
    if not force:
        return OutputError("E401", f"{_shown(destination)}: exists already", f"--force replaces it, {_ELSEWHERE}")
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _is_published(destination: Path, manifest: bytes, force: bool) -> bool:
    """Tell whether the same bundle stands there; OutputError E401 for anything that must not be replaced."""
    if not force and is_bundle(destination):
        with suppress(SnnError, OSError):
            if (destination / MANIFEST).read_bytes() == manifest:
                verify_bundle(destination)
                return True
    _check_free(destination, force)
    return False


@contextmanager
def _made_parents(parent: Path) -> Iterator[None]:
    """Make the missing parents; take them away again if what follows fails."""
    missing = [path for path in (parent, *parent.parents) if not path.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            with suppress(FileExistsError):
                path.mkdir()
                made.append(path)
                fsync_directory(path.parent)
        yield
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()
        raise


def _check_space(destination: Path, files: Mapping[str, bytes]) -> None:
    free = _free(destination)
    if free is not None and free < _needed(files):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    directory.mkdir()
    for name, content in files.items():
        _write_file(directory / name, content)
    fsync_directory(directory)


def _write_file(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            written = os.write(descriptor, rest[:_CHUNK])
            if not written:
                raise OSError(errno.EIO, "nothing was written")
            rest = rest[written:]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)  # network file systems tell of a full disk only here


def _move_in(staging: Staging, destination: Path, manifest: bytes, force: bool) -> None:
    for attempt in range(_ATTEMPTS):
        if _is_published(destination, manifest, force):
            return
        if force:
            with suppress(FileNotFoundError):  # nothing to replace
                destination.rename(staging.path / f"old-{attempt:02}")
                fsync_directory(staging.path)
        try:
            staging.new.rename(destination)
        except OSError as error:
            if error.errno not in _OCCUPIED:
                raise
            continue  # another run has published just now
        staging.published = True
        fsync_directory(destination.parent)
        return
    raise OSError(errno.EAGAIN, "other runs keep publishing the same name")


def _needed(files: Mapping[str, bytes]) -> int:
    return sum(-(-len(content) // 4096) * 4096 for content in files.values())  # whole blocks


def _free(destination: Path) -> int | None:
    with suppress(OSError):
        usage = shutil.disk_usage(destination.parent)
        return usage.free if usage.total else None  # some network shares tell of nothing but zeros
    return None


def _write_failure(destination: Path, files: Mapping[str, bytes], error: OSError) -> OutputError:
    reason = error.strerror or printable(str(error), 200) or "the reason is not known"
    need, free = _needed(files), _free(destination)
    hint = f"try again, or elsewhere: {_ELSEWHERE}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or (free is not None and free < need):
        reason += f" (needed {size(need)}" + ("" if free is None else f", free {size(free)}") + ")"
        hint = f"free some space, or raise the quota or file size limit; {_ELSEWHERE}"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
        hint = _ELSEWHERE
    with suppress(OSError):
        for path in leftovers(destination):
            if old_bundles(path) and not os.path.lexists(destination):
                hint = f"the bundle that was there is kept in '{_shown(path)}'; the next run puts it back"
    return OutputError("E402", f"{_shown(destination)}: cannot write the bundle: {reason}", hint)


def _refusal(destination: Path, what: str) -> OutputError:
    return OutputError("E401", f"{_shown(destination)}: {what}", _ELSEWHERE)


def _shown(path: Path) -> str:
    return printable(str(path), 400)
