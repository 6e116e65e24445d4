"""Read arrays and images from files that nobody has checked: sizes are compared before memory is taken.

The evaluator carries this file unchanged, so it needs the standard library, numpy, the file before it and (for image
files) Pillow only.
"""

import ast
import csv
import gzip
import io
import math
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np

from snnconvert.data.preprocessing import MOST_PIXELS
from snnconvert.errors import DataError, OutputError

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_MOST_HEADER_BYTES = 10_000
_LARGE_MEMBER = 256 * 2**20
_MOST_IMAGE_BYTES = 512 * 2**20
_MOST_EXPANSION = 100
_IDX_TYPES = {0x08: "|u1", 0x09: "|i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CIFAR_RECORDS = {3073: ("CIFAR-10", 10), 3074: ("CIFAR-100", 100)}  # bytes of a record; the last label byte counts
_READ_ERRORS = (OSError, EOFError, ValueError, TypeError, RuntimeError, SyntaxError, LookupError, MemoryError)
_FORMAT_ERRORS = (ArithmeticError, struct.error, zlib.error, zipfile.BadZipFile, csv.Error)


@contextmanager
def refusing(where: str, code: str = "E203") -> Iterator[None]:
    """Turn whatever a reader raises on a broken file into one DataError that names the file."""
    try:
        yield
    except (*_READ_ERRORS, *_FORMAT_ERRORS) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        raise DataError(code, f"{where}: cannot be read: {reason[:200]}") from error


def read_array_file(path: Path) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Return the format's name, the samples and the labels (or None) of a file, told by its first bytes.

    Raises DataError E203 for what is none of the formats, or broken.
    """
    if path.suffix == ".bin":  # CIFAR's records have no mark of their own
        return "CIFAR binary", *read_cifar([path])
    with refusing(str(path)), path.open("rb") as file:
        head = file.read(6)
    if head == b"\x93NUMPY":
        return "npy", read_npy(path), None
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "npz", *read_npz(path)
    if head[:2] == b"\x1f\x8b" or (head[:2] == b"\0\0" and len(head) > 3):
        labels = find_idx_labels(path)
        return "IDX", read_idx(path), None if labels is None else read_idx(labels)
    hint = "a folder of images, .npz, .npy, IDX, IDX.gz or CIFAR binary (.bin); pickles are never read"
    if looks_like_image(path):
        hint = "an image belongs in a folder: give the folder"
    got = f"the first bytes {head.hex(' ')!r}" if head else "an empty file"
    raise DataError("E203", f"{path}: got {got}, expected a data set", hint)


def read_npy(path: Path) -> np.ndarray:
    """Map an .npy file into memory, read-only. Raises DataError E203 if its header and its size do not agree."""
    with refusing(str(path)), path.open("rb") as file:
        size = path.stat().st_size
        dtype, shape, fortran = _npy_header(file, str(path))
        _check_size(str(path), size - file.tell(), math.prod(shape) * dtype.itemsize)
        return _mapped(path, file.tell(), dtype, shape, fortran)


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the samples and the labels (or None) of an .npz file: `images` or `x`, and `labels` or `y`.

    What is stored uncompressed is compared with its checksum and mapped into memory, read-only.
    Raises DataError E203 for anything unsafe (repeated names, members that expand beyond reason, objects, text),
    and where it is not clear which array holds the samples.
    """
    with refusing(str(path)), zipfile.ZipFile(path) as archive:
        members = _npz_members(archive, path)
        samples: list[str] = [name for name in ("images", "x") if name in members]
        labels = [name for name in ("labels", "y") if name in members]
        if not samples and len(members) == 1 and not labels:
            samples = [*members]
        if len(samples) != 1 or len(labels) > 1:
            holds = ", ".join(repr(name) for name in list(members)[:8]) or "nothing"
            hint = "name the samples 'images' (or 'x') and the labels 'labels' (or 'y')"
            raise DataError("E203", f"{path}: which array holds the samples? It has {holds}", hint)
        chosen = [_npz_member(archive, members[name], path) for name in samples + labels]
    return chosen[0], chosen[1] if labels else None


def read_arrays(path: Path, names: Sequence[str], needed: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return those arrays of an .npz file that have one of the names.

    None are returned of a file of another format, or without all that are ``needed``.

    Raises DataError E203 for anything unsafe, as `read_npz`.
    """
    with refusing(str(path)):
        if not zipfile.is_zipfile(path):
            return {}
        with zipfile.ZipFile(path) as archive:
            members = _npz_members(archive, path)
            if not members.keys() >= {*needed}:
                return {}
            return {name: _npz_member(archive, members[name], path) for name in names if name in members}


def read_idx(path: Path) -> np.ndarray:
    """Return the array of an IDX file, plain or gzipped. Raises DataError E203 unless it is as long as it says."""
    where = str(path)
    with refusing(where), path.open("rb") as raw:
        stored = path.stat().st_size
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if packed else raw
        start = stream.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _IDX_TYPES or not 1 <= start[3] <= 8:
            raise DataError("E203", f"{where}: got the first bytes {start.hex(' ')!r}, expected an IDX header")
        shape = struct.unpack(f">{start[3]}I", stream.read(4 * start[3]))
        dtype = np.dtype(_IDX_TYPES[start[2]])
        size = math.prod(shape) * dtype.itemsize
        if packed:
            _check_expansion(where, size, stored)
        else:
            _check_size(where, stored - raw.tell(), size)
        return _read_exactly(stream, size, where).view(dtype).reshape(shape)


def find_idx_labels(path: Path) -> Path | None:
    """Return the labels file that belongs to an IDX images file by name (images-idx3 -> labels-idx1), or None."""
    name = re.sub(r"idx\d", "idx1", path.name.replace("images", "labels")).removesuffix(".gz")
    if "images" not in path.name:
        return None
    return next((file for file in (path.with_name(name), path.with_name(name + ".gz")) if file.is_file()), None)


def read_cifar(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, uint8 (n, 32, 32, 3), and the (fine) labels of CIFAR-10 or CIFAR-100 binary batch files.

    Raises DataError E203 if a file is no whole number of records, E204 if a label is out of range.
    """
    images, labels = [], []
    for path in paths:
        with refusing(str(path)):
            size = path.stat().st_size
            record = next((length for length in _CIFAR_RECORDS if size and size % length == 0), None)
            if record is None:
                expected = "a multiple of 3073 (CIFAR-10) or 3074 (CIFAR-100)"
                raise DataError("E203", f"{path}: no CIFAR binary batch: got {size} bytes, expected {expected}")
            records = np.asarray(np.memmap(path, np.uint8, "r", 0, (size // record, record)))
            name, classes = _CIFAR_RECORDS[record]
            label = records[:, record - 3073]
            if label.max() >= classes:
                raise DataError("E204", f"{path}: got the label {label.max()}, expected 0 to {classes - 1} ({name})")
            images.append(records[:, -3072:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            labels.append(label.astype(np.int64))
    return images[0] if len(images) == 1 else np.concatenate(images), np.concatenate(labels)


def read_image(path: Path) -> np.ndarray:
    """Decode a PNG, JPEG, BMP or WebP file, told by content: uint8 (H, W, 3), or (H, W) if it is grey.

    Transparency is dropped, palettes and CMYK become RGB. Raises DataError E202 naming the file if it is broken,
    of another format, of more than 8 bits a channel, or of more pixels than Pillow holds to be safe; OutputError E404
    without Pillow. Threads may call it.
    """
    library = _pillow()
    with refusing(str(path), "E202"):
        if path.stat().st_size > _MOST_IMAGE_BYTES:
            raise ValueError(f"more than {_MOST_IMAGE_BYTES} bytes")
        content = io.BytesIO(path.read_bytes())  # of an open file, Pillow takes memory for any length that stands in it
        try:
            with library.open(content, formats=IMAGE_FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:  # from twice as many on, Pillow itself refuses
                    raise library.DecompressionBombError
                image.load()
                if image.mode in ("L", "RGB"):
                    return np.array(image)
                if image.mode in ("1", "LA", "La"):
                    return np.array(image.convert("L"))
                if image.mode in ("P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"):
                    return np.array(image.convert("RGB"))
                got = image.mode
        except library.UnidentifiedImageError as error:
            raise DataError("E202", f"{path}: cannot be read: no {', '.join(IMAGE_FORMATS)}") from error
        except library.DecompressionBombError as error:
            text = f"{path}: a decompression bomb? It has more than {MOST_PIXELS} pixels"
            raise DataError("E202", text, "make the image smaller") from error
    raise DataError("E202", f"{path}: got an image of mode {got}, expected 8 bits a channel, grey or RGB")


def looks_like_image(path: Path) -> bool:
    """Tell from the first bytes whether a file is one of the image formats that are read."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or (head[:4] == b"RIFF" and head[8:] == b"WEBP"):
        return True
    return head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"


def check_samples(samples: np.ndarray, where: str) -> np.ndarray:
    """Return the samples if there are any, of numbers. Raises DataError E201 for none, E203 for no samples' axis."""
    if samples.ndim == 0 or 0 in samples.shape[1:]:
        raise DataError("E203", f"{where}: got an array of shape {samples.shape}, expected (samples, ...)")
    if len(samples) == 0:
        raise DataError("E201", f"{where}: holds no samples (shape {samples.shape})")
    return samples


def check_labels(labels: np.ndarray, count: int, where: str) -> np.ndarray:
    """Return the labels as int64 ``(count,)``. Raises DataError E204 for another number, or what is no class index."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint = "one class index a sample; of one-hot rows take the argmax"
        raise DataError("E204", f"{where}: labels: got shape {labels.shape}, expected ({count},)", hint)
    if labels.dtype.kind not in "iu":
        raise DataError(
            "E204", f"{where}: labels: got type {labels.dtype}, expected whole numbers", "store them as int64"
        )
    if len(labels) != count:
        raise DataError("E204", f"{where}: got {len(labels)} labels, expected {count}, one a sample")
    if labels.min() < 0 or labels.max() > 2**31:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise DataError("E204", f"{where}: labels: got {wrong}, expected class indices from 0")
    return labels.astype(np.int64)


def _pillow() -> ModuleType:
    """Import Pillow, and let it warn of nothing, such as EXIF: `catch_warnings` would race where threads decode."""
    try:
        from PIL import Image
    except ImportError as error:
        raise OutputError("E404", "image files need Pillow", "pip install pillow") from error
    if ("ignore", None, Warning, re.compile("PIL"), 0) not in warnings.filters:
        warnings.filterwarnings("ignore", module="PIL")
    return Image


def _npy_header(stream: io.BufferedIOBase, where: str) -> tuple[np.dtype, tuple[int, ...], bool]:
    """Parse the header of an .npy stream and leave the stream at the data.

    Ours, since numpy reads a header of any declared length before it looks at it.
    """
    start = stream.read(8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
        raise DataError("E203", f"{where}: got the first bytes {start.hex(' ')!r}, expected an .npy header")
    (length,) = struct.unpack("<H", stream.read(2)) if start[6] == 1 else struct.unpack("<I", stream.read(4))
    if length > _MOST_HEADER_BYTES:
        raise DataError("E203", f"{where}: got a header of {length} bytes, expected at most {_MOST_HEADER_BYTES}")
    text = stream.read(length).decode("latin1")
    header = ast.literal_eval(text.strip()) if "\\" not in text else None
    if len(text) < length or not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise DataError("E203", f"{where}: the .npy header is broken")
    kind, shape, fortran = header["descr"], header["shape"], header["fortran_order"]
    if not isinstance(kind, str) or not re.fullmatch(r"[<>|=]?[?biuf][0-9]{0,2}", kind):
        hint = "store plain numbers, without Python objects, text or fields"
        raise DataError("E203", f"{where}: got values of type {str(kind)[:40]!r}, expected numbers", hint)
    whole = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
    if not whole or len(shape) > 16 or type(fortran) is not bool:
        raise DataError("E203", f"{where}: got the shape {str(shape)[:80]}, expected whole numbers from 0")
    return np.dtype(kind), shape, fortran


def _npz_members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in members:
            raise DataError("E203", f"{path}: two members are named {name!r}")
        members[name] = member
    return members


def _npz_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> np.ndarray:
    where = f"{path} ({member.filename!r})"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise DataError("E203", f"{where}: the member is encrypted or packed in a way that numpy does not write")
    if member.compress_size > path.stat().st_size:
        raise DataError("E203", f"{where}: the member is longer than the file")
    _check_expansion(where, member.file_size, member.compress_size)
    with cast(io.BufferedIOBase, archive.open(member)) as stream:
        dtype, shape, fortran = _npy_header(stream, where)
        start, size = stream.tell(), math.prod(shape) * dtype.itemsize
        _check_size(where, member.file_size - start, size)
        if member.compress_type == zipfile.ZIP_DEFLATED:
            return _read_exactly(stream, size, where).view(dtype).reshape(shape, order="F" if fortran else "C")
        while stream.read(2**20):  # at the end the checksum is compared
            pass
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # the lengths of the name and of the extra field before the content
        start += member.header_offset + 30 + sum(struct.unpack("<2H", file.read(4)))
    return _mapped(path, start, dtype, shape, fortran)


def _mapped(path: Path, start: int, dtype: np.dtype, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    if math.prod(shape) == 0:  # nothing to map
        return np.empty(shape, dtype)
    return np.asarray(np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C"))


def _read_exactly(stream: io.BufferedIOBase, size: int, where: str) -> np.ndarray:
    """Read ``size`` bytes and the end of the stream, in pieces. Raises DataError E203 if it is shorter or longer."""
    data = np.empty(size, np.uint8)
    done = 0
    while done < size:
        got = stream.readinto(data.data[done : done + 2**20])
        if not got:
            raise DataError("E203", f"{where}: cut short: got {done} bytes of data, expected {size}")
        done += got
    if stream.read(1):
        raise DataError("E203", f"{where}: got more than the {size} bytes of data that the header tells")
    return data


def _check_size(where: str, got: int, expected: int) -> None:
    if got != expected:
        raise DataError("E203", f"{where}: got {got} bytes of data, expected {expected} by its header")


def _check_expansion(where: str, size: int, stored: int) -> None:
    if size > _LARGE_MEMBER and size > _MOST_EXPANSION * stored:
        hint = "if that is right, store it uncompressed"
        raise DataError("E203", f"{where}: {stored} stored bytes would expand to {size}", hint)
