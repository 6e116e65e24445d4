"""Zip archives, read under limits and written again.

No two zip readers agree on a crooked archive. So nothing but Python's reader ever sees the user's file: what it found
is checked, and whoever needs an archive gets one that was written here.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from snnconvert.errors import ModelError, first_line

MAX_BYTES = 2**31 - 1  # of all members together
MAX_MEMBERS = 100_000
MAX_EXPANSION = 100  # times the stored size, of a member that is not small
SMALL = 2**20
FREE = 2**26  # bytes of all members together that need no reason
ROOT = "archive"
ALIGNMENT = 64
FILLING = int.from_bytes(b"FB", "little")  # the extra field that torch fills up with
_FILLING = struct.Struct("<2H")
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_DEFERRED = 0x8  # flag: CRC and sizes follow the data
_ENCRYPTED = 0x1
_IN_EXTRA_FIELD = 2**32 - 1  # zip64


class Place(NamedTuple):
    """Where the bytes of a member stand."""

    offset: int
    size: int


def read_archive(path: Path, content: bytes) -> dict[str, bytes]:
    """Return the members by name, without the one folder that holds them all.

    Every member is read whole, so every checksum has been compared.

    Raises:
        ModelError: the archive is broken or hostile (E133).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_directory(path, archive, content)
            members = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
        OSError,
    ) as problem:
        raise _refused(path, f"not a sound zip archive ({first_line(problem)})", "is the file truncated?") from None
    roots = {name.partition("/")[0] for name in members}
    if len(roots) == 1 and all("/" in name for name in members):
        return {name.partition("/")[2]: data for name, data in members.items()}
    return members


def write_archive(members: Mapping[str, bytes], stream: BinaryIO) -> list[Place]:
    """Write an archive of these members, stored in one folder as torch expects it; return where their bytes stand."""
    places = []
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(f"{ROOT}/{name}")
            begin = stream.tell() + _LOCAL_HEADER.size + len(info.filename.encode()) + _FILLING.size
            filling = -begin % ALIGNMENT  # numbers are read where they stand
            info.extra = _FILLING.pack(FILLING, filling) + bytes(filling)
            archive.writestr(info, data)
            places.append(Place(begin + filling, len(data)))
    return places


def _refused(path: Path, what: str, hint: str = "export the network again") -> ModelError:
    return ModelError("E133", f"{path.name}: {what}", hint)


def _check_directory(path: Path, archive: zipfile.ZipFile, content: bytes) -> None:
    """Refuse, before anything is unpacked, what no exporter writes."""
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise _refused(path, f"{len(infos)} members, more than {MAX_MEMBERS}")
    total = sum(info.file_size for info in infos)
    if total > FREE + MAX_EXPANSION * len(content):
        raise _refused(path, f"its {len(content)} bytes unpack to {total}")
    if total > MAX_BYTES:
        raise _refused(path, f"its members unpack to {total} bytes, more than {MAX_BYTES}")
    names = set()
    for info in infos:
        what = f"member '{info.filename}'"
        if info.filename.lower() in names:  # torch's reader takes no notice of case
            raise _refused(path, f"{what} is there twice")
        names.add(info.filename.lower())
        place = PurePosixPath(info.filename)
        crooked = info.filename != info.orig_filename or "\\" in info.filename or not info.filename
        if crooked or place.is_absolute() or ".." in place.parts:
            raise _refused(path, f"{what} leaves the archive")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(path, f"{what} is no plain file")
        if info.flag_bits & _ENCRYPTED:
            raise _refused(path, f"{what} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _refused(path, f"{what}: compression method {info.compress_type} is not supported")
        if info.file_size > SMALL and info.file_size > MAX_EXPANSION * info.compress_size:
            raise _refused(path, f"{what} unpacks {info.compress_size} bytes to {info.file_size}")
        if not _same_in_local_header(info, content):
            raise _refused(path, f"{what}: its header differs from the archive's directory")
    if infos and min(info.header_offset for info in infos) != 0:  # another reader would find another archive there
        raise _refused(path, "something stands before its first member")


def _same_in_local_header(info: zipfile.ZipInfo, content: bytes) -> bool:
    """Tell whether the header before the data says what the directory says; some readers believe the one, some both."""
    fields = _LOCAL_HEADER.unpack_from(content, info.header_offset)
    flags, method, crc, packed, size, name_length = fields[2], fields[3], *fields[6:10]
    start = info.header_offset + _LOCAL_HEADER.size
    name = content[start : start + name_length]
    if method != info.compress_type or name != info.orig_filename.encode("utf-8" if flags & 0x800 else "cp437"):
        return False
    if flags & _DEFERRED:
        return True
    sizes = (size in (info.file_size, _IN_EXTRA_FIELD)) and packed in (info.compress_size, _IN_EXTRA_FIELD)
    return crc == info.CRC and sizes
