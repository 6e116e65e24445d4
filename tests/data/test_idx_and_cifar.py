import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnconvert.data import open_dataset
from snnconvert.data.formats import read_idx
from snnconvert.errors import DataError, UsageError

Encode = Callable[[np.ndarray], bytes]
IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)


def assert_refused(path: Path, message: str, code: str = "E203") -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)


def test_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**31, 2**31) + b"x" * 99))
    assert_refused(path, "would expand to")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08\x03" + struct.pack(">3I", 2, 2, 2) + b"x" * 7, "got 7 bytes of data, expected 8"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2, 2, 2) + b"x" * 9, "got 9 bytes of data, expected 8"),
        (b"\0\0\x0a\x03" + bytes(20), "expected an IDX header"),
        (b"\0\0\x08\x00" + bytes(20), "expected an IDX header"),
        (b"\0\0\x08\xff" + bytes(20), "expected an IDX header"),
        (b"\0\0\x08\x03\0\0", "cannot be read"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_idx_is_refused(tmp_path: Path, content: bytes, message: str, packed: bool) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if packed else content)
    if packed:
        message = message.replace("got 7", "cut short: got 7").replace("got 9 bytes of data, expected 8", "got more")
    assert_refused(path, message)


@pytest.mark.parametrize("keep", [-9, -4, 12])
def test_truncated_gzip_is_refused(tmp_path: Path, idx_bytes: Encode, keep: int) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES))[:keep])
    assert_refused(path, "cannot be read|cut short")


def test_idx_labels_of_another_length_are_refused(mnist_folder: Path, idx_bytes: Encode) -> None:
    (mnist_folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(6, np.uint8))))
    with pytest.raises(DataError, match="got 6 labels, expected 7"):
        open_dataset(f"{mnist_folder}:train")


@pytest.mark.parametrize("size", [0, 3072, 3075, 6145])
def test_file_that_is_no_cifar_batch_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(size))
    assert_refused(tmp_path / "data_batch_1.bin", f"got {size} bytes, expected a multiple of 3073")


def test_cifar_label_out_of_range_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(b"\x0a" + bytes(3072))
    assert_refused(tmp_path / "data_batch_1.bin", "got the label 10, expected 0 to 9", "E204")


@pytest.mark.parametrize("dtype", ["|u1", "|i1", ">i2", ">i4", ">f4", ">f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_of_every_type_is_read(tmp_path: Path, idx_bytes: Encode, dtype: str, packed: bool) -> None:
    array = np.arange(12).reshape(3, 2, 2).astype(dtype)
    content = idx_bytes(array)
    (tmp_path / "data").write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(read_idx(tmp_path / "data"), array)
    assert open_dataset(tmp_path / "data").labels is None


def test_mnist_folder_asks_which_part(mnist_folder: Path) -> None:
    with pytest.raises(UsageError, match="which part") as caught:
        open_dataset(mnist_folder)
    assert f"{mnist_folder}:t" in caught.value.hint
    with pytest.raises(UsageError, match="no part 'val': it has test, train"):
        open_dataset(f"{mnist_folder}:val")


def test_mnist_folder_and_file_find_their_labels(mnist_folder: Path) -> None:
    train, test = open_dataset(f"{mnist_folder}:train"), open_dataset(f"{mnist_folder}:test")
    file = open_dataset(mnist_folder / "t10k-images-idx3-ubyte.gz")
    assert (len(train), len(test), train.kind) == (7, 5, "IDX")
    np.testing.assert_array_equal(train.labels, np.arange(7))
    np.testing.assert_array_equal(test.labels, file.labels)
    np.testing.assert_array_equal(test.array, file.array)


def test_labels_beside_may_be_unpacked(mnist_folder: Path) -> None:
    packed = mnist_folder / "train-labels-idx1-ubyte.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    np.testing.assert_array_equal(open_dataset(f"{mnist_folder}:train").labels, np.arange(7))


def test_cifar_batches_are_images_with_channels_last(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (6, 3, 32, 32), np.uint8)
    records = [bytes([i]) + image.tobytes() for i, image in enumerate(pixels)]
    (tmp_path / "data_batch_2.bin").write_bytes(b"".join(records[2:4]))
    (tmp_path / "data_batch_1.bin").write_bytes(b"".join(records[:2]))
    (tmp_path / "test_batch.bin").write_bytes(b"".join(records[4:]))
    (tmp_path / "batches.meta.txt").write_text("airplane\n")
    train, test = open_dataset(f"{tmp_path}:train"), open_dataset(f"{tmp_path}:test")
    np.testing.assert_array_equal(train.labels, [0, 1, 2, 3])
    np.testing.assert_array_equal(test.labels, [4, 5])
    np.testing.assert_array_equal(train.array, pixels[:4].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(open_dataset(tmp_path / "test_batch.bin").array, test.array)
    with pytest.raises(UsageError, match="which part"):
        open_dataset(tmp_path)
    (tmp_path / "test_batch.bin").unlink()
    assert len(open_dataset(tmp_path)) == 4


def test_cifar_100_takes_the_fine_label(tmp_path: Path) -> None:
    (tmp_path / "test.bin").write_bytes(b"\x03\x63" + bytes(3072))
    dataset = open_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.labels, [99])
    assert dataset.sample(0).shape == (32, 32, 3)
