"""Event recordings, as event cameras send them, and the frames that their events add up to.

The evaluator carries this file unchanged, so it needs the standard library, numpy and the files before it only.

An event ``(x, y, t, p)`` says that pixel ``(x, y)`` became brighter or darker (the polarity p) at time t. The frame of
a recording, ``(polarities, height, width)``, counts its events; in time it is cut into as many frames as there are
steps, all of the same duration, from its first event to its last.
"""

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnconvert.data.formats import check_labels, read_arrays, refusing
from snnconvert.errors import DataError, OutputError

COLUMNS = ("x", "y", "t", "p")
SUFFIXES = (".npz", ".bin")  # of files of one recording
NMNIST = (2, 34, 34)  # the shape of its frames
_MOST_SIDE = 4096
_MOST_VALUES = 2**28  # of the frames of one recording
_MOST_NMNIST_BYTES = 2**24
_MOST_OVERFLOWS = 1000  # of the clock of an N-MNIST recording, each of which costs its reader a pass
_KEYS = (*COLUMNS, "offsets", "labels", "sensor_size")


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings of one kind of sensor; ``shape`` is that of a frame, (polarities, height, width).

    Either ``columns`` hold the x, y, t and p of the events of all, one recording after the other, the i-th from
    ``offsets[i]`` to before ``offsets[i + 1]``, or there is one of ``files`` for each.
    """

    path: str
    shape: tuple[int, int, int]
    columns: tuple[np.ndarray, ...] = ()
    offsets: tuple[int, ...] = ()
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files) or len(self.offsets) - 1

    def origin(self, i: int) -> str:
        """Say where recording ``i`` comes from: its file, or its place in the arrays."""
        return self.files[i] if self.files else f"{self.path}: recording {i}"

    def frames(self, i: int, steps: int) -> np.ndarray:
        """Return how many events of recording ``i`` each of so many steps has, uint32 ``(steps, *shape)``.

        Raises DataError E202 if its file cannot be read, E204 for events outside of the sensor or of time.
        """
        where = self.origin(i)
        if math.prod(self.shape) * steps > _MOST_VALUES:
            raise DataError("E204", f"{where}: {steps} frames of {self.shape} are more than {_MOST_VALUES} values")
        if not self.files:
            start, stop = self.offsets[i], self.offsets[i + 1]
            return _frames([column[start:stop] for column in self.columns], self.shape, steps, where)
        file = Path(self.files[i])
        if file.suffix == ".bin":
            return _frames(_read_nmnist(file), self.shape, steps, where)
        with refusing(where, "E202"):
            arrays = read_arrays(file, _KEYS)
            shape = _sensor(arrays, where)
            if shape != self.shape:
                raise DataError("E204", f"{where}: got a sensor of {shape}, expected {self.shape} as before")
            return _frames(_columns(arrays, where), shape, steps, where)


def open_recordings(path: Path) -> tuple[Recordings, np.ndarray | None] | None:
    """Return the recordings of an .npz file, and their labels if there are any; None where it holds something else.

    It has events as x, y, t and p (E,); `offsets` (N + 1,) where it holds several recordings; `labels` (N,);
    `sensor_size` (width, height, polarities), told by the events where it is missing. Raises DataError E203 for a
    broken file, E204 for what does not fit together.
    """
    arrays = read_arrays(path, _KEYS, COLUMNS)
    if not arrays:
        return None
    where = str(path)
    columns = _columns(arrays, where)
    if "sensor_size" not in arrays:
        if not len(columns[0]):
            raise DataError("E201", f"{where}: no events, and no sensor_size")
        arrays["sensor_size"] = np.array([int(columns[0].max()) + 1, int(columns[1].max()) + 1, 2])
    offsets = arrays.get("offsets", np.array([0, len(columns[0])]))
    listed = offsets.ndim == 1 and len(offsets) > 1 and offsets.dtype.kind in "iu"
    rises = listed and bool((offsets[1:] >= offsets[:-1]).all())
    if not rises or offsets[0] != 0 or offsets[-1] != len(columns[0]):
        raise DataError("E204", f"{where}: offsets: expected rising whole numbers from 0 to {len(columns[0])}")
    labels = arrays.get("labels")
    found = Recordings(where, _sensor(arrays, where), tuple(columns), tuple(offsets.tolist()))
    return found, None if labels is None else check_labels(labels, len(found), where)


def recordings_of_files(path: str, files: tuple[str, ...]) -> Recordings:
    """Return recordings of one file each, all of the sensor of the first: N-MNIST's .bin, or .npz with sensor_size."""
    first = Path(files[0])
    if first.suffix == ".bin":
        return Recordings(path, NMNIST, files=files)
    return Recordings(path, _sensor(read_arrays(first, _KEYS), str(first)), files=files)


def _columns(arrays: Mapping[str, np.ndarray], where: str) -> list[np.ndarray]:
    """Return x, y, t and p of some events, as many of each."""
    missing = [name for name in COLUMNS if name not in arrays]
    if missing:
        raise DataError("E203", f"{where}: no array {missing[0]!r}, expected events as x, y, t and p")
    columns = [arrays[name] for name in COLUMNS]
    if any(column.shape != (len(columns[0]),) for column in columns) or columns[0].ndim != 1:
        told = ", ".join(f"{name} {arrays[name].shape}" for name in COLUMNS)
        raise DataError("E204", f"{where}: got {told}, expected as many of each, one an event")
    kinds = zip(COLUMNS, columns, ("iu", "iu", "iuf", "iub"), strict=True)
    for name, column, kind in kinds:
        if column.dtype.kind not in kind:
            raise DataError("E204", f"{where}: {name}: got values of type {column.dtype}")
    return columns


def _sensor(arrays: Mapping[str, np.ndarray], where: str) -> tuple[int, int, int]:
    """Return the shape of a frame."""
    if "sensor_size" not in arrays:
        hint = "store it beside the events: width, height, and 2 polarities or 1"
        raise DataError("E203", f"{where}: no array 'sensor_size'", hint)
    size = arrays["sensor_size"]
    if size.shape != (3,) or size.dtype.kind not in "iu" or not 1 <= size[2] <= 2:
        raise DataError("E204", f"{where}: sensor_size: got {size.tolist()}, expected (width, height, 1 or 2)")
    if size[:2].min() < 1 or size[:2].max() > _MOST_SIDE:
        raise DataError("E204", f"{where}: sensor_size: got {size.tolist()}, expected sides from 1 to {_MOST_SIDE}")
    width, height, polarities = size.tolist()
    return polarities, height, width


def _frames(columns: list[np.ndarray], shape: tuple[int, int, int], steps: int, where: str) -> np.ndarray:
    """Count events by step, polarity and pixel."""
    x, y, t, p = columns
    polarities, height, width = shape
    if not len(x):
        return np.zeros((steps, *shape), np.uint32)
    for name, values, low, high in (("x", x, 0, width - 1), ("y", y, 0, height - 1), ("p", p, -1, 1)):
        wrong = values.min() if values.min() < low else values.max()
        if not low <= wrong <= high:
            raise DataError("E204", f"{where}: {name}: got {wrong}, expected {low} to {high}")
    time = t.astype(np.float64)
    if not np.isfinite(time).all():
        raise DataError("E204", f"{where}: t: got NaN or infinity")
    time -= time.min()
    step = np.minimum(np.floor(time * (steps / (time.max() or 1.0))), steps - 1).astype(np.int64)
    channel = (p > 0).astype(np.int64) if polarities == 2 else 0
    place = ((step * polarities + channel) * height + y.astype(np.int64)) * width + x.astype(np.int64)
    return np.bincount(place, minlength=steps * math.prod(shape)).astype(np.uint32).reshape(steps, *shape)


def _read_nmnist(path: Path) -> list[np.ndarray]:
    """Read a recording of N-MNIST or N-Caltech101 by the reader of tonic."""
    try:
        reader = importlib.import_module("tonic.io")
    except ImportError as error:
        hint = "pip install 'snnconvert[events]', or store x, y, t, p in .npz"
        raise OutputError("E404", "recordings of N-MNIST need tonic", hint) from error
    with refusing(str(path), "E202"):
        size = path.stat().st_size
        if size % 5 or size > _MOST_NMNIST_BYTES:
            raise ValueError(f"got {size} bytes, expected 5 for each event, at most {_MOST_NMNIST_BYTES}")
        if path.read_bytes()[1::5].count(240) > _MOST_OVERFLOWS:
            raise ValueError(f"its clock runs over more than {_MOST_OVERFLOWS} times")
        events = reader.read_mnist_file(str(path), dtype=np.dtype([(name, np.int64) for name in COLUMNS]))
        return [events[name] for name in COLUMNS]
