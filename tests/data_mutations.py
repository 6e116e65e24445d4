"""Small sound files of every format of data that is read, and ways to break their bytes, each told by a seed alone."""

import gzip
import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

ARRAY = np.arange(60, dtype="<i2").reshape(5, 3, 4)
PIXELS = np.arange(300, dtype=np.uint16).astype(np.uint8).reshape(10, 10, 3)
IDX = b"\0\0\x0b\x03" + struct.pack(">3I", *ARRAY.shape) + ARRAY.astype(">i2").tobytes()
NUMBERS = (b"\0\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8, b"-1", b"999999999999", b"\\d", b"(", b"'|O'")
EXTREMES = (0, 1, 2, 3, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
NPY_WORDS = {
    "descr": ("'|O'", "'<f8'", "'|u1'", "'<U9'", "'<M8[s]'", "[('a', '<f8')]", "'<i99'", "8", "None"),
    "fortran_order": ("True", "1", "None"),
    "shape": ("()", "(-1, 60)", "(60,)", "(0,)", "(9999999999999,)", "(2**62, 4)", "(True, 60)", "[60]", "(60.0,)"),
}
CELLS = ("", "-1", "1.5", "99999999999999999999", "cat", "../a.png", "/etc/hostname", "a.png\0", '"', "a\\b.png", ".")


def sound_files() -> dict[str, bytes]:
    """Return, by its name, the content of one sound file a format."""

    def saved(save: Callable[..., object], *args: object, **kwargs: object) -> bytes:
        file = io.BytesIO()
        save(file, *args, **kwargs)
        return file.getvalue()

    picture = Image.fromarray(PIXELS)
    return {
        "a.npy": saved(np.save, ARRAY),
        "stored.npz": saved(np.savez, images=ARRAY, labels=np.arange(5)),
        "packed.npz": saved(np.savez_compressed, images=ARRAY, labels=np.arange(5)),
        "images-idx3-ubyte": IDX,
        "images-idx3-ubyte.gz": gzip.compress(IDX, mtime=0),
        "test_batch.bin": bytes([3]) + bytes(3072) + bytes([9]) + bytes(range(256)) * 12,
        "a.png": saved(picture.save, format="PNG"),
        "a.jpg": saved(picture.save, format="JPEG"),
        "a.bmp": saved(picture.save, format="BMP"),
        "a.webp": saved(picture.save, format="WEBP"),
        "labels.csv": b"file,class_index\na.png,0\na.jpg,1\n",
    }


def mutated(name: str, content: bytes, seed: int) -> bytes:
    """Break a file of `sound_files` in one to three places."""
    rng = random.Random(f"{name} {seed}")
    for _ in range(rng.randint(1, 3)):
        content = rng.choice((flipped, truncated, spliced, replaced(name), replaced(name)))(content, rng)
    return content


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Flip one bit."""
    data = bytearray(content)
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def truncated(content: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return content[: rng.randrange(len(content) + 1)]


def spliced(content: bytes, rng: random.Random) -> bytes:
    """Drop, insert or overwrite a few bytes anywhere, or append some."""
    at = rng.choice((rng.randrange(len(content) + 1), len(content)))
    return content[:at] + rng.choice((b"", *NUMBERS)) + content[at + rng.choice((0, 1, 2, 4, 8)) :]


def replaced(name: str) -> Callable[[bytes, random.Random], bytes]:
    """Return what puts another value into a header field of the format, and mends the checksums over it."""
    if name.endswith(".npz"):
        return npz_replaced
    if name.endswith(".gz"):
        return gzip_replaced
    by_suffix = {"npy": npy_replaced, "png": png_replaced, "jpg": jpeg_replaced, "csv": csv_replaced}
    return by_suffix.get(name.rpartition(".")[2], start_replaced)


def field_replaced(content: bytes, rng: random.Random, start: int, form: str) -> bytes:
    """Put an extreme value into a number at ``start``, whose type is a letter of `struct`."""
    size = struct.calcsize(form)
    value = rng.choice(EXTREMES) % 256**size
    return content[:start] + struct.pack(form, value) + content[start + size :] if start >= 0 else content


def start_replaced(content: bytes, rng: random.Random) -> bytes:
    """Replace one of the first numbers: the header of IDX, BMP and WebP, the label of CIFAR."""
    return field_replaced(
        content, rng, *rng.choice(((2, ">B"), (3, ">B"), (0, ">B"), *((at, ">I") for at in (4, 8, 12))))
    )


def npy_replaced(content: bytes, rng: random.Random) -> bytes:
    """Replace a field of the header, which stays as long as it says, or a number before it."""
    if len(content) < 10 or rng.random() < 0.2:
        return field_replaced(content, rng, *rng.choice(((0, "<B"), (6, "<B"), (7, "<B"), (8, "<H"))))
    (length,) = struct.unpack_from("<H", content, 8)
    key = rng.choice(tuple(NPY_WORDS))
    word = rng.choice(NPY_WORDS[key]).replace("\\", "")
    old = content[10 : 10 + length].decode("latin1")
    text = re.sub(rf"('{key}': )('[^']*'|\([^)]*\)|\w+)", lambda found: found[1] + word, old)
    text = text.strip().ljust(length - 1) + "\n"
    return content[:8] + struct.pack("<H", len(text)) + text.encode("latin1") + content[10 + length :]


def npz_replaced(content: bytes, rng: random.Random) -> bytes:
    """Replace a field of an array in the archive, or one of the archive itself."""
    if rng.random() < 0.5:
        fields = {b"PK\5\6": ((10, "<H"), (12, "<I"), (16, "<I"))}
        fields[b"PK\1\2"] = (
            (8, "<H"),
            (10, "<H"),
            (16, "<I"),
            (20, "<I"),
            (24, "<I"),
            (28, "<H"),
            (30, "<H"),
            (42, "<I"),
        )
        fields[b"PK\3\4"] = ((6, "<H"), (8, "<H"), (14, "<I"), (18, "<I"), (22, "<I"), (26, "<H"), (28, "<H"))
        mark = rng.choice(tuple(fields))
        offset, form = rng.choice(fields[mark])
        start = content.rfind(mark)
        return field_replaced(content, rng, start + offset, form) if 0 <= start < len(content) - 50 else content
    target = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w") as new:
            for member in old.infolist():
                new.writestr(member, npy_replaced(old.read(member), rng), member.compress_type)
    except Exception:  # noqa: BLE001 - it was broken before, in any way
        return content
    return target.getvalue()


def gzip_replaced(content: bytes, rng: random.Random) -> bytes:
    """Replace a field of what is packed, or of the packing."""
    if rng.random() < 0.4:
        return field_replaced(
            content, rng, *rng.choice(((2, "<B"), (3, "<B"), (len(content) - 8, "<I"), (len(content) - 4, "<I")))
        )
    try:
        return gzip.compress(start_replaced(gzip.decompress(content), rng), mtime=0)
    except (OSError, EOFError, zlib.error):  # it was broken before
        return content


def png_replaced(content: bytes, rng: random.Random) -> bytes:
    """Replace a field of IHDR: width, height, bits, colours, compression, filter, interlace; or a chunk's length."""
    fields = ((16, ">I"), (20, ">I"), *((at, ">B") for at in range(24, 29)), (8, ">I"), (33, ">I"))
    content = field_replaced(content, rng, *rng.choice(fields))
    return content[:29] + struct.pack(">I", zlib.crc32(content[12:29])) + content[33:]


def jpeg_replaced(content: bytes, rng: random.Random) -> bytes:
    """Replace the size, the channels or the length of a segment."""
    lengths = ((bytes([0xFF, kind]), 2, ">H") for kind in (0xC0, 0xC4, 0xDA, 0xDB, 0xE0))
    size = ((b"\xff\xc0", 5, ">H"), (b"\xff\xc0", 7, ">H"), (b"\xff\xc0", 9, ">B"))
    mark, offset, form = rng.choice((*size, *lengths))
    start = content.find(mark)
    return field_replaced(content, rng, start + offset, form) if 0 <= start < len(content) - 12 else content


def csv_replaced(content: bytes, rng: random.Random) -> bytes:
    """Replace one cell."""
    cells = re.split(rb"([,\n])", content)
    cells[2 * rng.randrange((len(cells) + 1) // 2)] = rng.choice(CELLS).encode()
    return b"".join(cells)
