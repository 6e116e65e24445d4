import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnconvert.data import open_dataset
from snnconvert.data.formats import check_labels, read_npy, read_npz
from snnconvert.errors import DataError, UsageError


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_with(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin1") + data


def header(descr: str = "'|u1'", shape: str = "(4, 2)", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def assert_refused(path: Path, message: str, code: str = "E203") -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"hello world", "expected a data set"),
        (pickle.dumps({"data": 1}), "expected a data set"),
        (b"\x89PNG\r\n\x1a\n", "expected a data set"),
        (npy_with(header("'|O'"), b"x" * 8), "type '|O', expected numbers"),
        (npy_with(header("'<U4'"), b"x" * 128), "expected numbers"),
        (npy_with(header("'|S4'"), b"x" * 32), "expected numbers"),
        (npy_with(header("[('a', '<f4')]"), b"x" * 32), "expected numbers"),
        (npy_with(header("'<c8'"), b"x" * 64), "expected numbers"),
        (npy_with(header("'<M8'"), b"x" * 64), "expected numbers"),
        (npy_with(header("'<f3'"), b"x" * 24), "cannot be read"),
        (npy_with(header(shape="(-4, 2)"), b"x" * 8), "expected whole numbers"),
        (npy_with(header(shape="(4.0, 2)"), b"x" * 8), "expected whole numbers"),
        (npy_with(header(shape="[4, 2]"), b"x" * 8), "expected whole numbers"),
        (npy_with(header(shape="(True, 8)"), b"x" * 8), "expected whole numbers"),
        (npy_with(header(fortran="1"), b"x" * 8), "expected whole numbers"),
        (npy_with(header(shape="(68719476736,)")), "expected 68719476736 by its header"),
        (npy_with(header(shape=f"({2**62}, {2**62})")), "by its header"),
        (npy_with(header(), b"x" * 7), "got 7 bytes of data, expected 8"),
        (npy_with(header(), b"x" * 9), "got 9 bytes of data, expected 8"),
        (npy_with("{'descr': '|u1', 'shape': (8,)}", b"x" * 8), "header is broken"),
        (npy_with("__import__('os')", b"x" * 8), "cannot be read"),
        (npy_with("{" * 5000, b"x" * 8), "cannot be read"),
        (npy_with(header() + " " * 10_000), "header of .* expected at most"),
        (b"\x93NUMPY\x02\x00" + b"\xff" * 4, "header of 4294967295 bytes"),
        (b"\x93NUMPY\x07\x00" + b"x" * 99, "expected an .npy header"),
        (b"\x93NUMPY\x01\x00v", "cannot be read"),
        (npy(np.float64(3)), r"shape \(\), expected \(samples, ...\)"),
        (npy(np.zeros((5, 0))), "expected \\(samples, ...\\)"),
    ],
)
def test_broken_array_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data.npy"
    path.write_bytes(content)
    assert_refused(path, message)


def test_array_without_samples_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.zeros((0, 3)))
    assert_refused(tmp_path / "data.npy", "holds no samples", "E201")


def test_single_image_is_refused_with_a_hint(tmp_path: Path, save_image: Callable[..., np.ndarray]) -> None:
    save_image(tmp_path / "cat.png")
    with pytest.raises(DataError, match="expected a data set") as caught:
        open_dataset(tmp_path / "cat.png")
    assert "folder" in caught.value.hint


@pytest.mark.parametrize("name", ["nothing.npz", "folder/nothing", "x" * 300, "a\0b", "data.npz:train"])
def test_missing_path_is_a_usage_error(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 3)))
    with pytest.raises(UsageError, match=r"no such file|cannot be opened|only a folder has parts") as caught:
        open_dataset(tmp_path / name)
    assert caught.value.code == "E001"


def test_missing_path_says_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / "calib.npz").touch()
    with pytest.raises(UsageError, match="no such file") as caught:
        open_dataset(tmp_path / "clib.npz")
    assert "calib.npz" in caught.value.hint


def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        open_dataset(tmp_path / "pipe")


def write_zip(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "It has nothing"),
        ([("a.npy", npy(IMAGES)), ("b.npy", npy(IMAGES))], "It has 'a', 'b'"),
        ([("labels.npy", npy(IMAGES))], "It has 'labels'"),
        ([("x.npy", npy(IMAGES)), ("images.npy", npy(IMAGES))], "which array holds the samples"),
        ([("x.npy", npy(IMAGES)), ("y.npy", npy(IMAGES)), ("labels.npy", npy(IMAGES))], "which array"),
        ([("x.npy", npy(IMAGES)[:-1])], "got 23 bytes of data, expected 24"),
        ([("x.npy", npy(IMAGES) + b"z")], "got 25 bytes of data, expected 24"),
        ([("x.npy", b"text")], "expected an .npy header"),
        ([("x.npy", npy_with(header("'|O'"), b"x" * 8))], "expected numbers"),
        ([("x.npy", npy_with(header(shape="(9999999999999,)"), b"x" * 8))], "expected 9999999999999"),
    ],
)
def test_broken_npz_is_refused(tmp_path: Path, members: list[tuple[str, bytes]], message: str) -> None:
    write_zip(tmp_path / "data.npz", members)
    assert_refused(tmp_path / "data.npz", message)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["x.npy", "x"])
def test_npz_with_a_name_twice_is_refused(tmp_path: Path, second: str) -> None:
    write_zip(tmp_path / "data.npz", [("x.npy", npy(IMAGES)), (second, npy(IMAGES))])
    assert_refused(tmp_path / "data.npz", "two members are named 'x'")


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    size = 300 * 2**20
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as file,
    ):
        file.write(npy_with(header(shape=f"({size},)")))
        for _ in range(300):
            file.write(bytes(2**20))
    assert_refused(tmp_path / "bomb.npz", "would expand to")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_npz_packed_as_numpy_never_does_is_refused(tmp_path: Path, method: int) -> None:
    write_zip(tmp_path / "data.npz", [("x.npy", npy(IMAGES))], method)
    assert_refused(tmp_path / "data.npz", "packed in a way")


def test_npz_whose_stored_size_lies_is_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "data.npz", [("x.npy", npy(IMAGES))], zipfile.ZIP_STORED)
    content = (tmp_path / "data.npz").read_bytes()
    at = content.index(b"PK\x01\x02")
    (tmp_path / "data.npz").write_bytes(content[: at + 20] + struct.pack("<2I", 2**31, 2**31) + content[at + 28 :])
    assert_refused(tmp_path / "data.npz", "longer than the file")


@pytest.mark.parametrize("size", [24, 2**22])
def test_npz_with_a_flipped_bit_is_refused(tmp_path: Path, size: int) -> None:
    array = np.arange(size, dtype=np.uint8)
    write_zip(tmp_path / "data.npz", [("x.npy", npy(array))], zipfile.ZIP_STORED)
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[content.index(array.tobytes()) + size - 1] ^= 1
    (tmp_path / "data.npz").write_bytes(content)
    assert_refused(tmp_path / "data.npz", "CRC")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, np.int64), "got 3 labels, expected 2"),
        (np.array([0, -1]), "got -1"),
        (np.array([0, 2**63], np.uint64), "expected class indices"),
        (np.zeros(2), "type float64, expected whole numbers"),
        (np.zeros(2, bool), "type bool"),
        (np.zeros((2, 10), np.int64), r"got shape \(2, 10\)"),
    ],
)
def test_labels_that_are_no_class_indices_are_refused(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "data.npz", images=IMAGES, labels=labels)
    assert_refused(tmp_path / "data.npz", message, "E204")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["|u1", "<f4", ">f4", "<i8", "<f2", "|b1"])
def test_npy_and_npz_give_back_what_was_saved(tmp_path: Path, dtype: str, order: str, rng: np.random.Generator) -> None:
    array = np.asarray(rng.integers(0, 2, (5, 3, 4)).astype(dtype), order=order)
    np.save(tmp_path / "data.npy", array)
    np.savez_compressed(tmp_path / "packed.npz", images=array, labels=np.arange(5, dtype=np.uint8), extra=array)
    np.savez(tmp_path / "alone.npz", array)
    for name, labelled in (("data.npy", False), ("packed.npz", True), ("alone.npz", False)):
        dataset = open_dataset(tmp_path / name)
        assert len(dataset) == 5
        assert dataset.kind == name.rpartition(".")[2]
        assert dataset.path == str(tmp_path / name)
        assert (dataset.labels is not None) == labelled
        assert dataset.sample(2).dtype == np.dtype(dtype)
        for i in range(5):
            np.testing.assert_array_equal(dataset.sample(i), array[i])
    labels = open_dataset(tmp_path / "packed.npz").labels
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, np.arange(5))


def test_npy_is_mapped_and_cannot_be_written_to(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", IMAGES)
    array = read_npy(tmp_path / "data.npy")
    assert isinstance(array.base, np.memmap)
    assert not array.flags.writeable


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_npy_version_is_read(tmp_path: Path, version: tuple[int, int]) -> None:
    with (tmp_path / "data.npy").open("wb") as file:
        np.lib.format.write_array(file, IMAGES, version)
    np.testing.assert_array_equal(read_npy(tmp_path / "data.npy"), IMAGES)


def test_npz_names_may_be_x_and_y(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", y=np.array([[1], [0]]), x=IMAGES)
    images, labels = read_npz(tmp_path / "data.npz")
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(check_labels(labels, 2, ""), [1, 0])
