"""Broken bytes end in a DataError, never in another exception, whatever was broken."""

import gzip
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from snnconvert.data import open_dataset
from snnconvert.data.formats import read_array_file, read_image, read_npy, read_npz
from snnconvert.errors import DataError

ARRAY = np.arange(60, dtype="<i2").reshape(5, 3, 4)
NUMBERS = [
    b"\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff" * 8,
    b"-1",
    b"999999999999",
    b"\\d",
    b"(",
    b"'|O'",
]


def saved(save: Callable[..., object], *args: object, **kwargs: object) -> bytes:
    file = io.BytesIO()
    save(file, *args, **kwargs)
    return file.getvalue()


IDX = b"\0\0\x0b\x03" + np.array(ARRAY.shape, ">u4").tobytes() + ARRAY.astype(">i2").tobytes()
FILES = {
    "a.npy": saved(np.save, ARRAY),
    "stored.npz": saved(np.savez, images=ARRAY, labels=np.arange(5)),
    "packed.npz": saved(np.savez_compressed, images=ARRAY, labels=np.arange(5)),
    "images-idx3-ubyte": IDX,
    "images-idx3-ubyte.gz": gzip.compress(IDX, mtime=0),
}


@st.composite
def broken(draw: st.DrawFn, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "cut", "drop", "insert", "overwrite", "append"])):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 9))]
            case "insert":
                data[at:at] = draw(st.sampled_from(NUMBERS))
            case "overwrite":
                number = draw(st.sampled_from(NUMBERS))
                data[at : at + len(number)] = number
            case "append":
                data += draw(st.binary(min_size=1, max_size=9))
    return bytes(data)


def refused_or_read(read: Callable[[Path], object], name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            read(path)
        except DataError as error:
            assert error.code in ("E201", "E202", "E203", "E204")  # noqa: PT017 - reading may also succeed
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_broken_array_file_raises_only_data_errors(name: str, data: st.DataObject) -> None:
    content = data.draw(broken(FILES[name]))
    readers = {"npy": read_npy, "npz": read_npz}
    refused_or_read(open_dataset, name, content)
    refused_or_read(readers.get(name.rpartition(".")[2], read_array_file), name, content)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_broken_npy_header_raises_only_data_errors(data: st.DataObject) -> None:
    content = FILES["a.npy"]
    refused_or_read(read_npy, "a.npy", content[:10] + data.draw(broken(content[10:128])) + content[128:])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_broken_image_raises_only_data_errors(kind: str, data: st.DataObject) -> None:
    pixels = np.arange(300, dtype=np.uint16).astype(np.uint8).reshape(10, 10, 3)
    content = saved(Image.fromarray(pixels).save, format=kind)
    refused_or_read(read_image, "image", data.draw(broken(content)))


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet='file,class_index\n"\r./\0é1-', max_size=80))
def test_any_labels_table_raises_only_data_errors(text: str) -> None:
    refused_or_read(lambda path: open_dataset(path.parent), "labels.csv", text.encode())
    refused_or_read(lambda path: open_dataset(path.parent), "labels.csv", b"file,class_index\n" + text.encode())
