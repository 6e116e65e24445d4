"""Hostile files are refused in one line that names them, soon, in little memory, and nothing is left behind.

What is merely wrong stands with its format: arrays in test_npy_and_npz.py and test_idx_and_cifar.py, images and folders
in test_folders.py, values and shapes in test_samples.py and test_preprocessing.py, units in test_ranges.py, sets that
share samples and images that may be skipped in test_selection.py, labels that are not the network's classes in
report/test_evaluator.py; bytes broken at random in test_fuzz.py.
"""

import gzip
import io
import os
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snnconvert.data import Preprocessing, open_dataset, select
from snnconvert.errors import DataError

MEGABYTES = 16
SECONDS = 2.0


def npy(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def png(width: int, height: int, bits: int, idat: bytes, length: int | None = None) -> bytes:
    def chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
        told = len(data) if size is None else size
        return struct.pack(">I", told) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", idat, length) + chunk(b"IEND", b"")


def archive(*members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for member, content in members:
            file.writestr(member, content)
    return target.getvalue()


def link_in_an_archive(path: Path) -> None:
    link = zipfile.ZipInfo("x.npy")
    link.external_attr = 0o120777 << 16
    path.write_bytes(archive((link, b"/etc/passwd")))


def archive_that_climbs(path: Path) -> None:
    path.write_bytes(archive((zipfile.ZipInfo("../images.npy"), npy((2,)) + b"ab"), (zipfile.ZipInfo("y.npy"), b"")))


def small_member_that_says_it_is_large(path: Path) -> None:
    content = npy((2**34,)) + bytes(2**16)
    whole = archive((zipfile.ZipInfo("x.npy"), content))
    at = whole.index(b"PK\x01\x02")
    path.write_bytes(whole[: at + 24] + struct.pack("<I", 2**32 - 2) + whole[at + 28 :])


def members_that_overlap(path: Path) -> None:
    """Thirty names for one content, as in the zip bombs that need no nesting."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", npy((2**24,)) + bytes(2**24))
        (member,) = file.filelist
        for number in range(30):
            copy = zipfile.ZipInfo(f"x{number}.npy")
            for field in ("compress_type", "header_offset", "CRC", "compress_size", "file_size"):
                setattr(copy, field, getattr(member, field))
            file.filelist.append(copy)
    path.write_bytes(target.getvalue())


def header_of_four_gibibytes(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 9000)
    os.truncate(path, 2**33)  # which takes no disk


def array_of_64_gibibytes(path: Path) -> None:
    path.write_bytes(npy((2**36,)) + bytes(100))


def array_of_more_bytes_than_a_number_holds(path: Path) -> None:
    path.write_bytes(npy((2**62, 2**62), "<f8") + bytes(100))


def nested_header(path: Path) -> None:
    text = b"(" * 9000
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)


def idx_of_64_gibibytes(path: Path) -> None:
    path.write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", 2**16, 2**10, 2**10) + bytes(100))


def packed_idx_of_64_gibibytes(path: Path) -> None:
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 2**16, 2**10, 2**10) + bytes(100)))


def table_of_gibibytes(path: Path) -> None:
    path.write_bytes(b"file,class_index\n")
    os.truncate(path, 2**31)


def table_of_one_line(path: Path) -> None:
    path.write_bytes(b"file,class_index\n" + b"a" * 2**22)


def image_of_gibibytes(path: Path) -> None:
    path.write_bytes(png(4, 4, 8, b""))
    os.truncate(path, 2**31)


def chunk_that_says_it_is_large(path: Path) -> None:
    path.write_bytes(png(4, 4, 8, zlib.compress(bytes(9)), 2**31 - 1))


def many_pixels(path: Path) -> None:
    path.write_bytes(png(9_500, 9_500, 1, b""))


def far_too_many_pixels(path: Path) -> None:
    path.write_bytes(png(60_000, 60_000, 1, b""))


def fits(path: Path) -> None:
    path.write_bytes(b"SIMPLE  =                    T".ljust(2880))


def program(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n(/etc/passwd) (r) file\n")


@pytest.mark.parametrize(
    ("build", "name", "code", "message"),
    [
        (link_in_an_archive, "data.npz", "E203", "expected an .npy header"),
        (archive_that_climbs, "data.npz", "E203", "which array holds the samples"),
        (small_member_that_says_it_is_large, "data.npz", "E203", "would expand to"),
        (members_that_overlap, "data.npz", "E203", "which array holds the samples"),
        (header_of_four_gibibytes, "data.npy", "E203", "got a header of 4294967295 bytes"),
        (array_of_64_gibibytes, "data.npy", "E203", "got 100 bytes of data, expected 68719476736"),
        (array_of_more_bytes_than_a_number_holds, "data.npy", "E203", "got 100 bytes of data, expected"),
        (nested_header, "data.npy", "E203", "cannot be read|header is broken"),
        (idx_of_64_gibibytes, "images-idx3-ubyte", "E203", "got 100 bytes of data, expected 68719476736"),
        (packed_idx_of_64_gibibytes, "images-idx3-ubyte.gz", "E203", "would expand to 68719476736"),
        (table_of_gibibytes, "folder/labels.csv", "E203", "more than 67108864 bytes"),
        (table_of_one_line, "folder/labels.csv", "E203", "cannot be read: field larger than"),
        (image_of_gibibytes, "folder/a.png", "E202", "more than 536870912 bytes"),
        (chunk_that_says_it_is_large, "folder/a.png", "E202", "cannot be read"),
        (many_pixels, "folder/a.png", "E202", "more than 89478485 pixels"),
        (far_too_many_pixels, "folder/a.png", "E202", "more than 89478485 pixels"),
        (fits, "folder/a.jpg", "E201", "none of 1 files is an image"),
        (program, "folder/a.jpg", "E201", "none of 1 files is an image"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_hostile_file_is_refused_in_little_memory(
    tmp_path: Path, build: Callable[[Path], None], name: str, code: str, message: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    build(path)
    given = path.parent if "folder" in name else path
    before = sorted(tmp_path.rglob("*"))
    start = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(DataError, match=message) as caught:
        select((str(given), None), (None, None), 0, Preprocessing(), (1, 4, 4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == code
    assert str(given) in caught.value.message
    assert "\n" not in str(caught.value)
    assert peak < MEGABYTES * 2**20
    assert time.perf_counter() - start < SECONDS
    assert sorted(tmp_path.rglob("*")) == before


def test_pillow_takes_no_more_memory_than_there_is(tmp_path: Path) -> None:
    """Decoders take theirs where tracemalloc does not see it; so a process has a limit."""
    (tmp_path / "wide.png").write_bytes(png(9_400, 9_400, 1, zlib.compress(bytes(9_400 * 1_176))))  # 88 MB of pixels
    (tmp_path / "many.png").write_bytes(png(13_000, 13_000, 1, zlib.compress(bytes(100))))
    (tmp_path / "lie.png").write_bytes(png(4, 4, 8, zlib.compress(bytes(20)), 2**31 - 1))
    Image.new("L", (4, 4)).save(tmp_path / "z.png")
    script = """
import resource, sys
from snnconvert.data.formats import read_image
from snnconvert.errors import DataError
from pathlib import Path
read_image(Path(sys.argv[1], "z.png"))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20,) * 2)
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        print(path.name, read_image(path).shape)
    except DataError as error:
        print(path.name, error.code)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("tells its memory otherwise")
    command = [sys.executable, "-W", "error", "-c", script, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("lie")] == ["many.png E202", "wide.png E202", "z.png (4, 4)"]


def test_large_array_that_is_true_is_mapped_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "data.npy").write_bytes(npy((2**20, 64, 64, 3)))
    os.truncate(tmp_path / "data.npy", len(npy((2**20, 64, 64, 3))) + 2**20 * 64 * 64 * 3)  # 12 GiB, of holes
    tracemalloc.start()
    dataset = open_dataset(tmp_path / "data.npy")
    assert dataset.sample(2**20 - 1).shape == (64, 64, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_stored_members_of_an_archive_are_mapped_and_packed_ones_are_read_once(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (500, 64, 64, 3), np.uint8)
    for name, save, copies in (("stored.npz", np.savez, 0), ("packed.npz", np.savez_compressed, 1)):
        save(tmp_path / name, images=images, labels=np.arange(500))
        tracemalloc.start()
        dataset = open_dataset(tmp_path / name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_array_equal(dataset.array, images)
        assert dataset.labels.tolist() == list(range(500))
        assert not dataset.array[0].flags.writeable or copies
        assert peak < copies * images.nbytes + 8 * 2**20, name


@pytest.fixture
def warned_of() -> bytes:
    """A picture whose EXIF is broken, of which Pillow warns; warnings are errors here."""
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 9, 0x8769, 4, 99, 2**31)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG", exif=exif)
    content = picture.getvalue()
    jfif = content.index(b"\xff\xe0")
    (length,) = struct.unpack_from(">H", content, jfif + 2)
    return content[:jfif] + content[jfif + 2 + length :]  # which would tell the resolution, and EXIF not be asked


def test_broken_exif_is_no_matter(tmp_path: Path, warned_of: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(warned_of)
    with warnings.catch_warnings(record=True, action="always") as told, Image.open(tmp_path / "a.jpg") as image:
        image.load()
    assert told
    assert open_dataset(tmp_path).sample(0).shape == (8, 8, 3)


def test_threads_refuse_what_one_refuses_and_leave_the_warnings_alone(tmp_path: Path, warned_of: bytes) -> None:
    for number in range(0, 90, 3):
        (tmp_path / f"{number:02}.jpg").write_bytes(warned_of)
        many_pixels(tmp_path / f"{number + 1:02}.png")
        (tmp_path / f"{number + 2:02}.jpg").write_bytes(warned_of[:-200])

    def skipped(workers: int) -> tuple[str, ...]:
        source = (str(tmp_path), None)
        return select(source, source, 0, Preprocessing(), (3, 8, 8), workers=workers, skip_bad=60)[0].skipped

    expected = skipped(1)
    assert len(expected) == 60
    filters = list(warnings.filters)
    for _ in range(5):
        assert skipped(6) == expected
    assert warnings.filters == filters
