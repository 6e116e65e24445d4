"""Open calibration and evaluation sets, name their samples, split them and hand them out in batches.

The evaluator carries this file unchanged, so it needs the standard library, numpy and the three files before it only.
"""

import csv
import difflib
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from snnconvert.data.formats import (
    check_labels,
    check_samples,
    looks_like_image,
    read_array_file,
    read_cifar,
    read_image,
    refusing,
)
from snnconvert.data.preprocessing import Preprocessing
from snnconvert.data.recordings import SUFFIXES, Recordings, open_recordings, recordings_of_files
from snnconvert.errors import DataError, UsageError

_SPLIT_NAMES = {"train", "val", "valid", "validation", "test"}
# also formats that are refused: a .gif among the images is told, not passed over in silence
_IMAGE_NAME = re.compile(r".*\.(png|jpe?g|jpe|jfif|bmp|dib|webp|gif|tiff?|p[bgp]m|eps|fits|avif|heic)", re.IGNORECASE)
_PART_NAME = r"(train|test|t10k)-images[-.]idx\d-ubyte(\.gz)?|(data_batch_\d+|test_batch|train|test)\.bin"
_MOST_CSV_BYTES = 64 * 2**20
Each = Callable[[Callable[[int], Any], Iterable[int]], Iterator[Any]]  # `map`, or what does the same with threads


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples, decoded on demand, with their labels if there are any.

    kind: the format, in words. labels: int64 (n,) class indices. classes: names of the class folders. Either `array`
    (n, ...) holds all samples (perhaps memory-mapped), or `files` one image file a sample, or `recordings` the events
    of each.
    """

    path: str
    kind: str
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    array: np.ndarray | None = None
    files: tuple[str, ...] = ()
    recordings: Recordings | None = None

    def __len__(self) -> int:
        if self.recordings is not None:
            return len(self.recordings)
        return len(self.files) if self.array is None else len(self.array)

    def sample(self, i: int) -> np.ndarray:
        """Return sample ``i`` decoded, before preprocessing: uint8 (H, W, 3) or (H, W) for an image file.

        Of a recording it is the frame that counts all events. Raises DataError E202 if the file cannot be read.
        """
        if self.recordings is not None:
            return np.asarray(self.recordings.frames(i, 1)[0])
        return read_image(Path(self.files[i])) if self.array is None else self.array[i, ...]

    def origin(self, i: int) -> str:
        """Say where sample ``i`` comes from: its file, or its place in the array."""
        if self.recordings is not None:
            return self.recordings.origin(i)
        return self.files[i] if self.array is None else f"{self.path}: sample {i}"


def open_dataset(path: str | Path) -> Dataset:
    """Open a folder or a file of samples; ``PATH:train`` names one part of a folder that holds several.

    Understood: class folders of images, images with labels.csv (`file,class_index`) or without, .npz, .npy, IDX and
    IDX.gz, CIFAR binary batches; event recordings in an .npz, or in class folders, one a file. Raises UsageError E001
    for a path that is not there or not clear, DataError E201 for no samples, E203 for a broken file, E204 for labels
    that do not fit. Images are read later, one by one.
    """
    place, part = place_of(str(path))
    if place.is_dir():
        return _open_folder(str(path), place, part)
    if not place.is_file():
        raise UsageError("E001", f"{path}: neither a file nor a folder")
    found = open_recordings(place)
    if found is not None:
        return Dataset(str(path), "event recordings", found[1], recordings=found[0])
    return _of_array(str(path), *read_array_file(place))


def folder_of(path: str) -> Path | None:
    """Return the folder that `path` (perhaps PATH:part) names; None if it is a file."""
    place = place_of(path)[0]
    return place if place.is_dir() else None


def sample_id(sample: np.ndarray) -> str:
    """Return the first 16 hex digits of the sha256 of dtype (``|u1``), shape (``(32, 32, 3)``) and bytes in C order."""
    digest = hashlib.sha256(f"{sample.dtype.str}{tuple(sample.shape)}".encode())
    digest.update(sample.tobytes())
    return digest.hexdigest()[:16]


def sample_ids(dataset: Dataset, indices: Sequence[int] | np.ndarray, each: Each = map) -> list[str]:
    """Return one id a sample, all different: the k-th repetition of a sample, in this order, gets ``-k``."""
    return numbered(each(lambda i: sample_id(dataset.sample(i)), map(int, indices)))


def numbered(names: Iterable[str]) -> list[str]:
    """Return the names of `sample_id`, those of repetitions with ``-k``."""
    seen: dict[str, int] = {}
    ids = []
    for name in names:
        ids.append(f"{name}-{seen[name]}" if name in seen else name)
        seen[name] = seen.get(name, 0) + 1
    return ids


def batches(
    dataset: Dataset,
    indices: Sequence[int] | np.ndarray,
    preprocessing: Preprocessing,
    input_shape: tuple[int, ...],
    batch_size: int,
    each: Each = map,
    steps: int | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (indices, x) in the order given; x is float32 ``(n, *input_shape)``, finite, n at most ``batch_size``.

    With ``steps``, x is ``(n, steps, *input_shape)``: what of a recording arrives in each step, so that the mean over
    the steps is the sample.

    Image files are decoded and preprocessed one by one by ``each``, which may work ahead; what it holds and one batch
    are all that is in memory. Raises DataError E202 for an unreadable image, E204 for NaN, infinity or a shape that
    does not fit, always naming the file or the sample; UsageError E003 for a batch size below 1, or for steps of what
    is no recording.
    """
    if batch_size < 1:
        raise UsageError("E003", f"batch size: got {batch_size}, expected at least 1")

    if steps is not None and dataset.recordings is None:
        what = f"{dataset.path}: {dataset.kind}: no event recordings, which the network takes"
        raise UsageError("E003", what, "--encoding constant presents samples as a constant current")

    def prepared(i: int) -> np.ndarray:
        if steps is not None and dataset.recordings is not None:
            frames = dataset.recordings.frames(i, steps).astype(np.float32)
            return _prepared(dataset.origin(i), frames * np.float32(steps), preprocessing, input_shape)
        x = _prepared(dataset.origin(i), dataset.sample(i)[np.newaxis], preprocessing, input_shape)
        return np.asarray(x[0])

    order = np.asarray(indices, dtype=np.int64)
    images = each(prepared, order.tolist()) if dataset.array is None else iter(())
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        if dataset.array is not None:
            x = _prepared(dataset.path, dataset.array[chosen], preprocessing, input_shape)
        else:
            x = np.stack([*itertools.islice(images, len(chosen))])
        finite = np.isfinite(x)
        if not finite.all():
            bad = int(np.argmin(finite.reshape(len(x), -1).all(axis=1)))
            count = int((~finite[bad]).sum())
            where = dataset.origin(int(chosen[bad]))
            raise DataError("E204", f"{where}: {count} values are NaN or infinite, expected finite numbers")
        yield chosen, x


def _prepared(where: str, samples: np.ndarray, preprocessing: Preprocessing, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return preprocessing.many(samples, shape)
    except DataError as error:
        raise error.at(where) from error


def place_of(path: str) -> tuple[Path, str | None]:
    """Return the file or folder and the part of it (after the last colon) that a path names."""
    place = Path(path)
    try:
        if place.exists():
            return place, None
        base, _, part = path.rpartition(":")
        if base and part and Path(base).exists():
            if Path(base).is_dir():
                return Path(base), part
            raise UsageError("E001", f"{path}: {base} is a file, only a folder has parts")
        siblings = [entry.name for entry in place.parent.iterdir()] if place.parent.is_dir() else []
    except OSError as error:
        raise UsageError("E001", f"{path}: cannot be opened: {error.strerror}") from error
    close = difflib.get_close_matches(place.name, siblings, n=1)
    hint = f"did you mean {str(place.parent / close[0])!r}?" if close else "give an existing file or folder of samples"
    raise UsageError("E001", f"{path}: no such file or folder", hint)


def _of_array(path: str, kind: str, samples: np.ndarray, labels: np.ndarray | None) -> Dataset:
    check_samples(samples, path)
    return Dataset(path, kind, None if labels is None else check_labels(labels, len(samples), path), None, samples)


def _open_folder(path: str, folder: Path, part: str | None) -> Dataset:
    with refusing(path, "E201"):
        entries = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=os.fsencode)
    folders = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if entry.is_file()]
    if part is not None and part in [entry.name for entry in folders]:
        return _open_folder(path, folder / part, None)
    parts: dict[str, list[Path]] = {}
    for file in files:
        found = re.fullmatch(_PART_NAME, file.name)
        if found:
            parts.setdefault("train" if file.name.startswith(("train", "data")) else "test", []).append(file)
    if parts:
        if part is None and len(parts) == 1:
            part = next(iter(parts))
        if part not in parts:
            raise _unclear(path, folder, part, list(parts))
        if len(parts[part]) > 1 and parts[part][0].suffix == ".bin":
            return _of_array(path, "CIFAR binary", *read_cifar(parts[part]))
        return _of_array(path, *read_array_file(parts[part][0]))
    names = [entry.name for entry in folders]
    listed = folder / "labels.csv" in files
    if part is not None or (not listed and names and _SPLIT_NAMES.issuperset(map(str.lower, names))):
        raise _unclear(path, folder, part, names[:8])
    if listed:
        return _open_labels_csv(path, folder)
    return _open_images(path, folder, folders, _images_in(files))


def _unclear(path: str, folder: Path, part: str | None, parts: list[str]) -> UsageError:
    has = ", ".join(parts) or "no parts"
    close = difflib.get_close_matches(part or "train", parts, n=1) or parts
    hint = f"give {folder}:{close[0]}" if parts else f"give {folder}"
    what = f"no part {part!r}: it has {has}" if part is not None else f"which part? It has {has}"
    return UsageError("E001", f"{path}: {what}", hint)


def _images_in(files: list[Path]) -> list[str]:
    return [str(file) for file in files if _IMAGE_NAME.fullmatch(file.name) or looks_like_image(file)]


def _open_images(path: str, folder: Path, folders: list[Path], loose: list[str]) -> Dataset:
    found: list[str] = []
    labels: list[int] = []
    for index, entry in enumerate(folders):
        images = _images_in(sorted(files_below(entry), key=os.fsencode))
        if not images and not loose:
            events = {} if found else _recordings_in(folders)
            if events:
                return _open_recordings(path, folders, events)
            raise DataError("E201", f"{entry}: a class folder without images", "remove it, or put its images there")
        found += images
        labels += [index] * len(images)
    if loose and found:
        raise DataError("E201", f"{folder}: images beside folders of images", "leave only one folder a class")
    files = loose or found
    if not any(looks_like_image(Path(file)) for file in files):
        got = f"none of {len(files)} files is an image that can be read" if files else "no images"
        raise DataError("E201", f"{path}: {got}", "PNG, JPEG, BMP or WebP, in one folder a class or with a labels.csv")
    if loose:
        return Dataset(path, "image folder", files=tuple(files))
    classes = tuple(entry.name for entry in folders)
    return Dataset(path, "class folders", np.array(labels, np.int64), classes, files=tuple(files))


def _recordings_in(folders: list[Path]) -> dict[Path, list[str]]:
    """Return the files of class folders that may be recordings, of one kind."""
    for suffix in SUFFIXES:
        found = {entry: [str(file) for file in files_below(entry) if file.suffix == suffix] for entry in folders}
        if any(found.values()):
            return {entry: sorted(files, key=os.fsencode) for entry, files in found.items()}
    return {}


def _open_recordings(path: str, folders: list[Path], events: dict[Path, list[str]]) -> Dataset:
    empty = next((entry for entry in folders if not events[entry]), None)
    if empty is not None:
        raise DataError("E201", f"{empty}: a class folder without recordings", "remove it, or put its recordings there")
    labels = np.repeat(np.arange(len(folders)), [len(events[entry]) for entry in folders])
    recordings = recordings_of_files(path, tuple(file for entry in folders for file in events[entry]))
    return Dataset(path, "event recordings", labels, tuple(entry.name for entry in folders), recordings=recordings)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of its folders, but hidden ones and what lies behind links to folders."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(root) / name for name in names if not name.startswith(".")):
            if file.is_file():
                yield file


def _open_labels_csv(path: str, folder: Path) -> Dataset:
    table = folder / "labels.csv"
    files: list[str] = []
    labels: list[int] = []
    with refusing(str(table)), table.open(encoding="utf-8-sig", newline="") as text:
        if table.stat().st_size > _MOST_CSV_BYTES:
            raise DataError("E203", f"{table}: more than {_MOST_CSV_BYTES} bytes")
        rows = csv.DictReader(text)
        columns = rows.fieldnames or []
        if not {"file", "class_index"} <= set(columns):
            got = ", ".join(repr(name) for name in columns[:8]) or "nothing"
            raise DataError("E203", f"{table}: columns: got {got}, expected 'file' and 'class_index'")
        base, resolved = folder, folder.resolve()
        for row in rows:
            where, name, label = f"{table}:{rows.line_num}", row["file"], row["class_index"]
            if not files and name and not (folder / name).is_file() and (folder / "images").is_dir():
                base = folder / "images"
            if not label or not re.fullmatch(r"-?[0-9]{1,9}", label.strip()):
                raise DataError("E204", f"{where}: class_index: got {label!r}, expected a whole number")
            files.append(_confined(folder, resolved, base, name or "", where))
            labels.append(int(label))
    if not files:
        raise DataError("E201", f"{table}: lists no images")
    checked = check_labels(np.array(labels, np.int64), len(files), str(table))
    return Dataset(path, "images with labels.csv", checked, files=tuple(files))


def _confined(folder: Path, resolved: Path, base: Path, name: str, where: str) -> str:
    """Return the path of a file named by a table, which may name files of its own folder only."""
    file = base / name
    inside = name and "\\" not in name and "\0" not in name and not PurePosixPath(name).is_absolute()
    if not inside or ".." in PurePosixPath(name).parts or not file.resolve().is_relative_to(resolved):
        raise DataError("E203", f"{where}: file: got {name!r}, expected a path inside {folder}")
    if not file.is_file():
        raise DataError("E202", f"{where}: {name!r}: no such file in {base}")
    return str(file)
