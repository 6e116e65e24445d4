"""What a network answered for every sample: the arrays of predictions.npz, of a bundle or beside a baseline.

Files are read as a stranger's: sizes are compared before memory is taken, and nothing but numbers and text is loaded.
"""

import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib import format as npy

from snnconvert.errors import first_line

MOST_BYTES = 2**28  # of a file, and of each array in it
_NAMES = ("id", "label", "ann", "steps", "snn")
_ID = re.compile(r"[0-9a-f]{16}(-[0-9]{1,18})?")
_BROKEN = (ValueError, TypeError, LookupError, OSError, EOFError, RuntimeError, MemoryError, SyntaxError)
_BROKEN_ARCHIVE = (NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Predictions:
    """Classes by sample: ``label`` and ``ann`` ``(n,)``, -1 where not known; ``snn`` ``(n, steps)``, at ``steps``.

    Of a network whose outputs are no classes, all of them are -1: only the samples are known.
    """

    ids: tuple[str, ...]
    label: np.ndarray
    ann: np.ndarray
    steps: tuple[int, ...]
    snn: np.ndarray

    def __post_init__(self) -> None:
        n, steps = len(self.ids), len(self.steps)
        if self.label.shape != (n,) or self.ann.shape != (n,) or self.snn.shape != (n, steps):
            raise ValueError("the arrays do not fit each other")
        if n == 0 or steps == 0:
            raise ValueError("there are no answers")
        if len(set(self.ids)) != n or not all(map(_ID.fullmatch, self.ids)):
            raise ValueError("the samples' names are not those of samples, each once")
        if list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1:
            raise ValueError("the steps do not ascend from 1")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> bool:
        """Tell whether the label of every sample is known."""
        return bool((self.label >= 0).all())

    @property
    def truth(self) -> np.ndarray | None:
        """The labels ``(n,)``; without them the ANN's classes stand in; None where these are not known either."""
        if self.labelled:
            return self.label
        return self.ann if bool((self.ann >= 0).all()) else None

    @property
    def digest(self) -> str:
        """The sha256 of the samples and their labels, whatever their order."""
        lines = sorted(f"{name} {label}\n" for name, label in zip(self.ids, self.label.tolist(), strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def at(self, t: int) -> np.ndarray:
        """Return the classes ``(n,)`` at step ``t``, which must be one of the steps."""
        found: np.ndarray = self.snn[:, self.steps.index(t)]
        return found

    def of(self, ids: Sequence[str]) -> "Predictions":
        """Return the answers on these samples, in this order; every one of them must be known."""
        places = {name: place for place, name in enumerate(self.ids)}
        order = np.array([places[name] for name in ids])
        return Predictions(tuple(ids), self.label[order], self.ann[order], self.steps, self.snn[order])

    def with_ann(self, ann: np.ndarray) -> "Predictions":
        """Return the same with the ANN's classes ``(n,)`` where they are not known."""
        return replace(self, ann=np.where(self.ann < 0, ann, self.ann))

    def to_npz(self) -> bytes:
        """Write the arrays; equal ones give equal bytes."""
        buffer, small = io.BytesIO(), np.int32
        np.savez_compressed(
            buffer,
            id=np.array(self.ids, np.bytes_),
            label=self.label.astype(small),
            ann=self.ann.astype(small),
            steps=np.array(self.steps, np.int64),
            snn=self.snn.astype(small),
        )
        return buffer.getvalue()


def read_npz(content: bytes) -> Predictions:
    """Read the arrays of a predictions.npz; ValueError, in one line, where it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if len(members) != len(archive.infolist()):
                raise ValueError("two arrays have one name")
            found = {name: _array(archive, members[name]) for name in _NAMES if name in members}
        return _checked(found)
    except (*_BROKEN, *_BROKEN_ARCHIVE) as problem:
        raise ValueError(first_line(problem)) from None


def _checked(found: Mapping[str, np.ndarray]) -> Predictions:
    if missing := [name for name in _NAMES if name not in found]:
        raise ValueError(f"the array '{missing[0]}' is missing")
    for name, array in found.items():
        kinds, axes = ("US" if name == "id" else "iu"), (2 if name == "snn" else 1)
        if array.dtype.kind not in kinds or array.ndim != axes:
            raise ValueError(f"the array '{name}' has type {array.dtype} and shape {array.shape}")
    ids = tuple(found["id"].astype(np.str_).tolist())
    label, ann, snn = (found[name].astype(np.int64) for name in ("label", "ann", "snn"))
    if snn.shape == (len(ids), 0):  # how a bundle says that the outputs are no classes
        snn = np.broadcast_to(np.int64(-1), (len(ids), len(found["steps"])))  # takes no memory, however many they say
    return Predictions(ids, label, ann, tuple(found["steps"].tolist()), snn)


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.file_size > MOST_BYTES:
        raise ValueError(f"'{member.filename}' would expand to {member.file_size} bytes")
    with archive.open(member) as stream:
        if npy.read_magic(stream) != (1, 0):  # whose header has at most 64 KiB; numpy itself writes no other
            raise ValueError(f"'{member.filename}' is in no format that numpy writes")
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
        if dtype.kind not in "iuUS":
            raise ValueError(f"'{member.filename}' holds values of type {dtype}")
        data = stream.read(member.file_size + 1)
    size = dtype.itemsize
    for length in shape:
        size *= length
    if len(data) != size:
        raise ValueError(f"'{member.filename}' has {len(data)} bytes of data, expected {size}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
