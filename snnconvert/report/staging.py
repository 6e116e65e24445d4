"""A private directory beside the destination, in which a bundle grows until it is whole.

    PARENT/.NAME.tmp-HOST-PID-ID/
        .lock    under flock for as long as the run lives: the kernel frees it, however the run ends
        new/     the bundle that grows; renamed to PARENT/NAME when it is whole
        old-00/  the bundle that --force replaces, while the two change places

The old bundle stands inside, under the same lock, so that no other run takes it for one left behind by a crash.
"""

import errno
import fcntl
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from snnconvert.report.manifest import MANIFEST, is_bundle

_LOCK = ".lock"
_OTHER_HOST_AGE = 24 * 3600.0  # seconds; a lock may not be seen across a network file system
_ATTEMPTS = 20
_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP)  # file systems that cannot, of which restic knows too
_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)


@dataclass
class Staging:
    """The directory of one run; ``published`` is set as soon as the destination holds the new bundle."""

    path: Path
    published: bool = False

    @property
    def new(self) -> Path:
        """Return where the bundle grows."""
        return self.path / "new"


@contextmanager
def open_staging(destination: Path) -> Iterator[Staging]:
    """Make the directory, hold its lock, and leave nothing of it behind, whatever happens inside."""
    path, lock = _make(destination)
    staging = Staging(path)
    try:
        yield staging
    finally:
        try:
            _discard(path, destination, restore=not staging.published)
        finally:
            _release(path, lock)


def reap(destination: Path) -> None:
    """Remove what killed runs left beside the destination, and put a bundle back that one of them had moved away.

    A run that lives is left alone: its lock is held. What cannot be removed is left for the next run.
    """
    with suppress(OSError):
        for path in leftovers(destination):
            with suppress(OSError):
                _reap_one(path, destination)


def leftovers(destination: Path) -> list[Path]:
    """Return the directories of this destination's runs, living or dead, in the order of their names."""
    pattern = re.compile(re.escape(_prefix(destination)) + r"[\w.]+-\d+-[0-9a-f]{8}")
    return sorted(path for path in destination.parent.iterdir() if pattern.fullmatch(path.name))


def old_bundles(path: Path) -> list[Path]:
    """Return the replaced bundles that are whole in a run's directory, the newest first."""
    return [old for old in sorted(path.glob("old-*"), reverse=True) if is_bundle(old)]


def fsync_directory(path: Path) -> None:
    """Make the entries of a directory durable, where the file system can."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", platform.node())[:40] or "host"


def _prefix(destination: Path) -> str:
    name = destination.name
    if len(os.fsencode(name)) > 100:  # NAME itself may take the 255 bytes that a name can have
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return f".{name}.tmp-"


def _make(destination: Path) -> tuple[Path, int]:
    for _ in range(_ATTEMPTS):
        path = destination.parent / f"{_prefix(destination)}{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
        path.mkdir(mode=0o700)
        try:
            lock = _lock(path, os.O_CREAT | os.O_EXCL)
        except (FileNotFoundError, BlockingIOError):
            continue  # a run that cleaned up was faster than our lock, and takes the directory for a dead one
        except BaseException:
            _delete(path)
            raise
        if os.fstat(lock).st_nlink:
            return path, lock
        os.close(lock)  # the same, after it had deleted the lock file
    raise OSError(errno.EAGAIN, "other runs keep removing our temporary directory")


def _lock(path: Path, flags: int = 0) -> int:
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if not flags or error.errno not in _NO_FLOCK:  # our own directory does without, another's is not judged
            os.close(descriptor)
            raise
    return descriptor


def _release(path: Path, lock: int) -> None:
    os.close(lock)
    with suppress(OSError):  # on NFS a deleted file that is open keeps its directory until here
        path.rmdir()


def _reap_one(path: Path, destination: Path) -> None:
    ours = path.name.startswith(f"{_prefix(destination)}{_host()}-")
    old_enough = time.time() - path.stat().st_mtime > _OTHER_HOST_AGE
    if not ours and not old_enough:
        return
    try:
        lock = _lock(path)
    except FileNotFoundError:
        path.rmdir()  # no lock yet or no more: it is empty, and else it is not ours
        return
    except OSError as error:
        if error.errno in _NO_FLOCK and old_enough:
            _discard(path, destination, restore=True)
        return
    try:
        _discard(path, destination, restore=True)
    finally:
        _release(path, lock)


def _discard(path: Path, destination: Path, *, restore: bool) -> None:
    """Put the old bundle back if its place is empty, then delete the rest; keep all if it cannot be put back."""
    if restore and (candidates := old_bundles(path)):
        if not os.path.lexists(destination):
            with suppress(OSError):
                candidates[0].rename(destination)
                fsync_directory(destination.parent)
        if not os.path.lexists(destination):
            return
    _delete(path)


def _delete(path: Path) -> None:
    for old in path.glob("old-*"):  # first the manifest: nobody shall put half a bundle back
        with suppress(OSError):
            (old / MANIFEST).unlink(missing_ok=True)
    for _ in range(2):  # a second time, since what failed once (a busy network share) may work now
        with suppress(OSError):
            for entry in path.iterdir():
                if entry.name != _LOCK:
                    shutil.rmtree(entry, ignore_errors=True)
            # the lock goes last: whoever finds the directory without one may only remove it empty
            if [entry.name for entry in path.iterdir()] in ([], [_LOCK]):
                (path / _LOCK).unlink(missing_ok=True)
                path.rmdir()
                return
