"""Reads the weights that a model keeps in files beside it, and nothing that is not in the model's own folder.

A location is an attacker's path. Every part of it is opened below the part before it without following a link, what
was opened is what is checked, and what was checked is what is read.
"""

import errno
import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Protocol

from onnx import TensorProto

from snnconvert.errors import ModelError

KEYS = {"location", "offset", "length", "checksum"}  # the checksum is not compared: ONNX leaves it unspecified
WHOLE = 2**31 + 2**28  # bytes of a file that is read whole for its digest: all weights, and room between them
READ = "snnconvertRead"  # sha256 over the sha256 of the pieces that were read, in order, a line each
OUTSIDE = (errno.ELOOP, errno.ENOTDIR, errno.ENXIO)  # a link, a link to a folder, a socket
HINT = "save the model with all weights inside, or with its data in its own folder"


class Beside(Protocol):
    """Weights that are not in the model itself."""

    def read(self, tensor: TensorProto, what: str, size: int) -> bytes | memoryview:
        """Return the ``size`` bytes of a tensor that its entries point to.

        Raises:
            ModelError: they may not be read (E110), or do not fit (E111).
        """
        ...

    def digest(self, own: str) -> str:
        """Return the digest of the model, ``own`` that of its file."""
        ...

    def files(self) -> dict[str, dict[str, str]]:
        """Return the digests of the user's files that hold them, by name and algorithm."""
        ...


class Neighbours:
    """The files beside a model; remembers their digests, and those of everything that was read of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: list[str] = []
        self._whole: dict[str, str] = {}
        self._read_of: dict[str, list[str]] = {}

    def read(self, tensor: TensorProto, what: str, size: int) -> bytes:
        """Return the ``size`` bytes of a tensor that its entries point to.

        Raises:
            ModelError: the location is not a plain file of its own in the model's folder (E110), or what it holds,
                or the entries, do not fit the tensor (E111).
        """
        entries = entries_of(tensor, what)
        offset = number_of(entries, "offset", 0, what)
        length = number_of(entries, "length", size, what)
        if length != size:
            raise ModelError("E111", f"{what}: expected {size} bytes of external data, got length {length}", HINT)
        location = entries.get("location", "")
        parts = _parts(location, what)
        name = "/".join(parts)  # one file, however many ways a location leads to it
        try:
            content = self._read(name, parts, offset, size, f"{what}: external data '{location}'")
        except OSError as problem:
            if problem.errno in OUTSIDE:
                raise _refused(what, location, "is, or lies behind, a link or a device") from None
            reason = problem.strerror or problem
            raise ModelError("E111", f"{what}: external data '{location}' cannot be read ({reason})", HINT) from None
        self._digests.append(hashlib.sha256(content).hexdigest())
        self._read_of.setdefault(name, []).append(self._digests[-1])
        return content

    def digest(self, own: str) -> str:
        """Return the digest of the model: its file's own, or sha256 over that and those of all that was read.

        The hexadecimal digests are joined by newlines, in the order in which the file names the tensors.
        """
        if not self._digests:
            return own
        return _joined([own, *self._digests])

    def files(self) -> dict[str, dict[str, str]]:
        """Return the sha256 of each file; of a huge one, most of which no tensor needs, of what was read (READ)."""
        return {
            name: {"sha256": self._whole[name]} if name in self._whole else {READ: _joined(digests)}
            for name, digests in self._read_of.items()
        }

    def _read(self, name: str, parts: tuple[str, ...], offset: int, size: int, what: str) -> bytes:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            # a pipe must not keep us waiting
            descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            found = os.fstat(descriptor)
            _check(found, offset + size, what)
            with open(descriptor, "rb", closefd=False) as file:
                if name not in self._whole and found.st_size <= WHOLE:
                    self._whole[name] = hashlib.file_digest(file, "sha256").hexdigest()
                file.seek(offset)
                content = file.read(size)
        finally:
            os.close(descriptor)
        if len(content) != size:
            raise ModelError("E111", f"{what} shrank while it was read", HINT)
        return content


def _check(found: os.stat_result, end: int, what: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ModelError("E110", f"{what} is not a regular file", HINT)
    if found.st_nlink != 1:
        raise ModelError("E110", f"{what} is a hard link to a file that has other names", HINT)
    if end > found.st_size:
        raise ModelError("E111", f"{what} ends at byte {found.st_size}, {end} expected", HINT)


def _joined(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def is_external(tensor: TensorProto) -> bool:
    """Tell whether a tensor says that its data lies in another file."""
    return bool(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data)


def entries_of(tensor: TensorProto, what: str) -> dict[str, str]:
    """Return what a tensor says of the place of its data.

    Raises:
        ModelError: a key is unknown or twice there (E111).
    """
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key not in KEYS or entry.key in entries or not isinstance(entry.value, str):
            raise ModelError("E111", f"{what}: external data has the entry '{entry.key}', unknown or twice", HINT)
        entries[entry.key] = entry.value
    return entries


def number_of(entries: dict[str, str], key: str, default: int, what: str) -> int:
    """Return a number of bytes.

    Raises:
        ModelError: it is none (E111).
    """
    text = entries.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError("E111", f"{what}: external data has {key} '{text}', not a number of bytes", HINT)
    return int(text)


def _parts(location: str, what: str) -> tuple[str, ...]:
    """Return the parts of a path that leads down from the model's folder."""
    if "\0" in location or "\\" in location or not location.isprintable():
        raise _refused(what, location, "is no plain relative path")
    path = PurePosixPath(location)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise _refused(what, location, "leaves the model's folder")
    return path.parts


def _refused(what: str, location: str, reason: str) -> ModelError:
    return ModelError("E110", f"{what}: external data '{location}' {reason}", HINT)
