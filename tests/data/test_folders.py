import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snnconvert.data import open_dataset
from snnconvert.data.formats import read_image
from snnconvert.errors import DataError, OutputError, UsageError

Save = Callable[..., np.ndarray]


def refuse(path: object, message: str, code: str) -> DataError:
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(path)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    return caught.value


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, "no images", "E201")


def test_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("BMW")
    refuse(tmp_path, "no images", "E201")


def test_folder_without_one_readable_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_text("text")
    (tmp_path / "cat" / "2.png").touch()
    refuse(tmp_path, "none of 2 files is an image", "E201")


def test_class_folder_without_images_is_refused(tmp_path: Path, save_image: Save) -> None:
    save_image(tmp_path / "cat" / "1.png")
    (tmp_path / "dog").mkdir()
    refuse(tmp_path, "dog: a class folder without images", "E201")


def test_images_beside_class_folders_are_refused(tmp_path: Path, save_image: Save) -> None:
    save_image(tmp_path / "cat" / "1.png")
    save_image(tmp_path / "2.png")
    refuse(tmp_path, "images beside folders of images", "E201")


def test_folder_of_splits_asks_which(tmp_path: Path, save_image: Save) -> None:
    for split in ("val", "train"):
        save_image(tmp_path / split / "cat" / "1.png")
    with pytest.raises(UsageError, match="which part\\? It has train, val") as caught:
        open_dataset(tmp_path)
    assert caught.value.hint == f"give {tmp_path}:train"
    with pytest.raises(UsageError, match="no part 'test': it has train, val"):
        open_dataset(f"{tmp_path}:test")
    assert open_dataset(f"{tmp_path}:val").files == (str(tmp_path / "val" / "cat" / "1.png"),)


def unreadable(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_image(path)
    assert caught.value.code == "E202"
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFFxxxxWEBP", b"BM"])
def test_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    unreadable(tmp_path / "a.jpg", "cannot be read")


def test_missing_image_is_named(tmp_path: Path) -> None:
    unreadable(tmp_path / "a.jpg", "No such file")


def test_missing_pillow_is_told(tmp_path: Path, save_image: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    save_image(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(OutputError, match=r"E404.*image files need Pillow") as caught:
        read_image(tmp_path / "a.png")
    assert caught.value.hint == "pip install pillow"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_truncated_image_is_named(tmp_path: Path, save_image: Save, kind: str) -> None:
    path = tmp_path / "a.png"
    save_image(path, (40, 40, 3), kind)
    path.write_bytes(path.read_bytes()[:-600])
    unreadable(path, "cannot be read")


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PPM", "EPS", "PDF", "ICO"])
def test_other_formats_are_refused_whatever_the_name(tmp_path: Path, save_image: Save, kind: str) -> None:
    save_image(tmp_path / "a.png", (40, 40, 3), kind)
    unreadable(tmp_path / "a.png", "cannot be read")


def test_gif_among_images_is_not_passed_over(tmp_path: Path, save_image: Save) -> None:
    save_image(tmp_path / "a.png")
    save_image(tmp_path / "b.gif")
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 2
    with pytest.raises(DataError, match=r"b\.gif"):
        dataset.sample(1)


def test_sixteen_bits_a_channel_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a.png")
    unreadable(tmp_path / "a.png", "mode I;16, expected 8 bits")


@pytest.mark.parametrize("side", [10_000, 15_000, 2**31 - 1])
def test_image_of_too_many_pixels_is_refused(tmp_path: Path, side: int) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(start + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b""))
    unreadable(tmp_path / "a.png", "decompression bomb|cannot be read")


@pytest.mark.parametrize(
    ("table", "message", "code"),
    [
        ("", "columns: got nothing", "E203"),
        ("name,label\na.png,0\n", "columns: got 'name', 'label', expected 'file' and 'class_index'", "E203"),
        ("file,class_index\n", "lists no images", "E201"),
        ("file,class_index\na.png,-1\n", "got -1", "E204"),
        ("file,class_index\na.png,1.0\n", ":2: class_index: got '1.0'", "E204"),
        ("file,class_index\na.png,cat\n", "got 'cat'", "E204"),
        ("file,class_index\na.png\n", "got None", "E204"),
        ("file,class_index\na.png,\n", "got ''", "E204"),
        ("file,class_index\na.png,99999999999999999999\n", "class_index", "E204"),
        ("file,class_index\nb.png,0\n", ":2: 'b.png': no such file", "E202"),
        ("file,class_index\n.,0\n", "no such file", "E202"),
        ("file,class_index\n,0\n", "got '', expected a path inside", "E203"),
        ("file,class_index\n../outside.png,0\n", "expected a path inside", "E203"),
        ("file,class_index\na.png,0\nsub/../../outside.png,0\n", ":3: file: got 'sub/../../outside", "E203"),
        ("file,class_index\nsub/../a.png,0\n", "expected a path inside", "E203"),
        ("file,class_index\n/etc/hostname,0\n", "expected a path inside", "E203"),
        ("file,class_index\n..\\outside.png,0\n", "expected a path inside", "E203"),
        ("file,class_index\nlink.png,0\n", "got 'link.png', expected a path inside", "E203"),
        ("file,class_index\nlinked/outside.png,0\n", "expected a path inside", "E203"),
        ("file,class_index\n" + "x" * 5000 + ",0\n", "cannot be read|expected", "E203"),
        ('file,class_index\n"' + "x" * 200_000 + '",0\n', "cannot be read", "E203"),
        ("file,class_index\na\0.png,0\n", "cannot be read|expected a path", "E203"),
    ],
)
def test_wrong_labels_table_is_refused(tmp_path: Path, save_image: Save, table: str, message: str, code: str) -> None:
    folder = tmp_path / "inside"
    save_image(folder / "a.png")
    save_image(folder / "sub" / "c.png")
    save_image(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "labels.csv").write_bytes(table.encode())
    refuse(folder, message, code)


def test_neighbour_with_the_same_beginning_is_outside(tmp_path: Path, save_image: Save) -> None:
    save_image(tmp_path / "data_evil" / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").symlink_to(tmp_path / "data_evil" / "a.png")
    (tmp_path / "data" / "labels.csv").write_text("file,class_index\na.png,0\n")
    refuse(tmp_path / "data", "expected a path inside", "E203")


def test_labels_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"file,class_index\n\xff\xfe,0\n")
    refuse(tmp_path, "cannot be read", "E203")


def test_class_folders_are_sorted_by_bytes(tmp_path: Path, save_image: Save) -> None:
    pixels = {}
    for name in ("b/2.png", "b/10.png", "a/x.bmp", "Z/deep/er/1.png", "é/1.png", ".cache/1.png", "a/.hidden.png"):
        pixels[name] = save_image(tmp_path / name)
    save_image(tmp_path / "a" / ".checkpoints" / "1.png")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "a" / "notes.txt").write_text("about")
    dataset = open_dataset(tmp_path)
    order = ["Z/deep/er/1.png", "a/x.bmp", "b/10.png", "b/2.png", "é/1.png"]
    assert dataset.kind == "class folders"
    assert dataset.classes == ("Z", "a", "b", "é")
    assert dataset.files == tuple(str(tmp_path / name) for name in order)
    assert dataset.origin(1) == str(tmp_path / "a" / "x.bmp")
    assert dataset.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.labels, [0, 1, 2, 2, 3])
    for i, name in enumerate(order):
        np.testing.assert_array_equal(dataset.sample(i), pixels[name])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG"])
def test_images_are_told_by_content(tmp_path: Path, save_image: Save, kind: str) -> None:
    pixels = save_image(tmp_path / "photo", (8, 8, 3), kind)
    dataset = open_dataset(tmp_path)
    assert (dataset.kind, len(dataset), dataset.labels) == ("image folder", 1, None)
    assert dataset.sample(0).shape == pixels.shape
    if kind in ("PNG", "BMP"):
        np.testing.assert_array_equal(dataset.sample(0), pixels)


@pytest.mark.parametrize(
    ("mode", "shape"), [("L", (4, 4)), ("1", (4, 4)), ("LA", (4, 4)), ("RGBA", (4, 4, 3)), ("P", (4, 4, 3))]
)
def test_modes_become_grey_or_rgb(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    Image.new("RGB", (4, 4), (200, 200, 200)).convert(mode).save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png")
    assert (pixels.shape, pixels.dtype) == (shape, np.uint8)


def test_labels_table_names_images_here_or_in_images(tmp_path: Path, save_image: Save) -> None:
    pixels = [save_image(tmp_path / "images" / name) for name in ("b.png", "a.png")]
    save_image(tmp_path / "images" / "unlisted.png")
    table = '\ufefffile,class_index,wnid\r\nb.png,7,n01\r\na.png, 3,"n,02"\r\n'
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8", newline="")
    (tmp_path / "images" / "labels.csv").write_text(table, encoding="utf-8", newline="")
    for folder in (tmp_path, tmp_path / "images"):
        dataset = open_dataset(folder)
        assert dataset.kind == "images with labels.csv"
        np.testing.assert_array_equal(dataset.labels, [7, 3])
        for i in range(2):
            np.testing.assert_array_equal(dataset.sample(i), pixels[i])


def test_folder_with_a_colon_in_its_name_is_itself(tmp_path: Path, save_image: Save) -> None:
    save_image(tmp_path / "a:train" / "1.png")
    save_image(tmp_path / "a" / "train" / "2.png")
    assert open_dataset(f"{tmp_path}/a:train").files == (f"{tmp_path}/a:train/1.png",)
    shutil.rmtree(tmp_path / "a:train")
    assert open_dataset(f"{tmp_path}/a:train").files == (f"{tmp_path}/a/train/2.png",)
