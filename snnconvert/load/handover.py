"""What this process and the child in which torch works hand to each other without a copy: an archive, and weights.

The archive lies in memory that nobody can change any more. A weight that torch's exporter takes from it comes back as
its place there; one that the exporter computes is put into memory that both see.
"""

import contextlib
import fcntl
import io
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from snnconvert.errors import ModelError
from snnconvert.load.archive import ALIGNMENT, Place
from snnconvert.load.external_data import entries_of, number_of

LARGE = 2**16  # bytes of a weight from which on it is handed over here; smaller ones stay in the model
ARCHIVE, MADE = "archive", "made"  # what a tensor names as the location of its data
HEAD, STEP = 64, 2**20  # bytes by which a weight is looked up, and that are compared at once
SEALS = ("F_SEAL_SEAL", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE")
Bytes = NDArray[np.uint8]


class Handover:
    """An archive for torch, and the weights that come back from it."""

    def __init__(self, write: Callable[[BinaryIO], list[Place]]) -> None:
        """Let ``write`` write the archive; it returns the places of what may be a weight."""
        self._file, places = _written(write)
        self._archive = _mapped(self._file)
        self.size = len(self._archive)
        self._made = mmap.mmap(-1, self.size + LARGE)  # pages are taken when they are written
        self._end = 0
        self._known: dict[tuple[int, bytes], list[int]] = {}
        for offset, size in places:
            if size >= LARGE:
                self._known.setdefault((size, bytes(self._archive[offset : offset + HEAD])), []).append(offset)

    def source(self) -> str | BinaryIO:
        """Return what torch opens: a path if there is one, which it reads without a copy of the whole."""
        if isinstance(self._file, io.BytesIO):
            self._file.seek(0)
            return self._file
        return f"/proc/self/fd/{self._file.fileno()}"

    def close(self) -> None:
        """Let go of the archive's file; what was read of it stays."""
        self._file.close()

    def clear(self) -> None:
        """Forget the weights that were put down: another attempt begins."""
        self._end = 0

    def put(self, weight: Bytes) -> tuple[str, int] | None:
        """Return the location and offset of a weight, None where there is no room for it."""
        for offset in self._known.get((weight.size, weight[:HEAD].tobytes()), ()):
            if _equal(np.frombuffer(self._archive, np.uint8, weight.size, offset), weight):
                return ARCHIVE, offset
        begin = self._end + -self._end % ALIGNMENT
        if begin + weight.size > len(self._made):
            return None
        np.frombuffer(self._made, np.uint8, weight.size, begin)[:] = weight
        self._end = begin + weight.size
        return MADE, begin

    def read(self, tensor: TensorProto, what: str, size: int) -> memoryview:
        """Return the bytes of a tensor that was put down, as long as its shape says.

        Raises:
            ModelError: its entries name no such place (E111).
        """
        entries = entries_of(tensor, what)
        offset, location = number_of(entries, "offset", 0, what), entries.get("location")
        held = {ARCHIVE: self._archive, MADE: memoryview(self._made)}.get(str(location))
        if held is None or offset % ALIGNMENT or offset + size > len(held):
            raise ModelError(
                "E111",
                f"{what}: torch's exporter stores it where nothing is",
                "export it with torch.onnx.export, and convert that file",
            )
        return held.toreadonly()[offset : offset + size]

    def digest(self, own: str) -> str:
        """Return the digest of the user's file, which holds all weights."""
        return own

    def files(self) -> dict[str, dict[str, str]]:
        """Return none: there is no other file of the user's."""
        return {}


def _written(write: Callable[[BinaryIO], list[Place]]) -> tuple[BinaryIO, list[Place]]:
    """Return a file in memory, and the places in it; on Linux it can be opened by its path and not be changed."""
    if not hasattr(os, "memfd_create") or not Path("/proc/self/fd").is_dir():
        buffer = io.BytesIO()
        return buffer, write(buffer)
    with contextlib.ExitStack() as stack:
        descriptor = os.memfd_create("archive", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        file = stack.enter_context(os.fdopen(descriptor, "w+b"))
        places = write(file)
        file.flush()
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, sum(getattr(fcntl, seal) for seal in SEALS))
        stack.pop_all()
    return file, places


def _mapped(file: BinaryIO) -> memoryview:
    if isinstance(file, io.BytesIO):
        return memoryview(file.getvalue())
    return memoryview(mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))


def _equal(left: Bytes, right: Bytes) -> bool:
    """Compare bytes; a few at a time, since the comparison of all takes memory for each."""
    return all(
        np.array_equal(left[start : start + STEP], right[start : start + STEP]) for start in range(0, left.size, STEP)
    )
