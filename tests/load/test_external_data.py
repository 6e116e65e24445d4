"""Weights in files beside the model: read where they lie in its own folder, refused wherever they could lead out."""

import os
import socket
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from snnconvert.errors import ModelError, UsageError
from snnconvert.load import external_data, load_model, onnx_file

make = helper.make_node
Save = Callable[..., Path]
WEIGHT = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)
BIAS = np.arange(7, dtype=np.float32)
LENGTH = WEIGHT.nbytes


def point(tensor: TensorProto, **entries: object) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))


@pytest.fixture
def model(save_onnx: Save) -> Callable[..., Path]:
    """Save a network whose weight is said to lie elsewhere."""

    def save(change: Callable[[TensorProto], object] = lambda tensor: None, **entries: object) -> Path:
        def move(proto: onnx.ModelProto) -> None:
            point(proto.graph.initializer[0], **entries)
            change(proto.graph.initializer[0])

        nodes = [make("Gemm", ["x", "w", "b"], ["y"], transB=1, name="fc")]
        return save_onnx(nodes, {"w": WEIGHT, "b": BIAS}, (7,), change=move)

    return save


def refused(path: Path, code: str) -> str:
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(ModelError, match="tensor 'w': ") as refusal:
        load_model(path)
    assert refusal.value.code == code
    assert refusal.value.hint
    assert sorted(path.parent.rglob("*")) == before
    return refusal.value.message


def assert_same_network(path: Path) -> None:
    loaded = load_model(path)
    x = np.random.default_rng(1).normal(size=(3, 7)).astype(np.float32)
    assert np.allclose(loaded.reference.run(x), x @ WEIGHT.T + BIAS, atol=1e-5)
    assert loaded.compare(x).max_error < 1e-5


def test_data_in_the_folder_of_the_model_is_read(model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "w.data").write_bytes(WEIGHT.tobytes())
    assert_same_network(model(location="w.data"))
    assert_same_network(model(location="./w.data", offset=0, length=LENGTH, checksum="0" * 40))


def test_each_file_has_one_digest_and_the_name_that_leads_to_it(save_onnx: Save, tmp_path: Path) -> None:
    for folder, content in (("a", WEIGHT), ("b", BIAS)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w").write_bytes(content.tobytes())

    def move(proto: onnx.ModelProto) -> None:
        for tensor, location in zip(proto.graph.initializer, (".//a/w", "b/w", "./a/./w"), strict=True):
            point(tensor, location=location)

    nodes = [make("Gemm", ["x", "w", "b"], ["z"], transB=1), make("Gemm", ["z", "v"], ["y"])]
    path = save_onnx(nodes, {"w": WEIGHT, "b": BIAS, "v": WEIGHT}, (7,), change=move)
    digests = {f"{name}/w": {"sha256": sha256((tmp_path / name / "w").read_bytes()).hexdigest()} for name in "ab"}
    assert load_model(path).files == {path.name: {"sha256": sha256(path.read_bytes()).hexdigest()}, **digests}


def test_data_is_read_from_its_offset(model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "w.data").write_bytes(b"\xff" * 4096 + WEIGHT.tobytes() + b"\xff" * 100)
    assert_same_network(model(location="w.data", offset=4096, length=LENGTH))
    assert_same_network(model(location="w.data", offset=4096))


def test_data_in_a_folder_below_is_read(model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "w.data").write_bytes(WEIGHT.tobytes())
    assert_same_network(model(location="a/b/w.data"))


def test_what_onnx_writes_is_read(save_onnx: Save, tmp_path: Path) -> None:
    path = save_onnx([make("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"w": WEIGHT, "b": BIAS}, (7,))
    (tmp_path / "out").mkdir()
    moved = tmp_path / "out" / "net.onnx"
    onnx.save_model(onnx.load(path), moved, save_as_external_data=True, location="net.onnx_data", size_threshold=0)
    assert (tmp_path / "out" / "net.onnx_data").stat().st_size >= LENGTH
    assert_same_network(moved)


def test_data_is_found_whatever_the_working_folder_is(
    model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.data").write_bytes(WEIGHT.tobytes())
    path = model(location="w.data")
    monkeypatch.chdir(tmp_path)
    assert_same_network(Path(path.name))
    monkeypatch.chdir("/")
    assert_same_network(path)


def test_digest_covers_the_data(model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "w.data").write_bytes(WEIGHT.tobytes())
    path = model(location="w.data")
    before = load_model(path).sha256
    assert load_model(path).sha256 == before
    (tmp_path / "w.data").write_bytes((WEIGHT + 1).tobytes())
    assert load_model(path).sha256 != before


LOCATIONS = {
    "parent": ("../outside", "leaves the model's folder"),
    "parent of a folder below": ("a/../../outside", "leaves the model's folder"),
    "parent of a folder that is not there": ("none/../../outside", "leaves the model's folder"),
    "back into the folder": ("../inside/secret", "leaves the model's folder"),
    "folder whose name begins as the model's": ("../inside_evil/secret", "leaves the model's folder"),
    "absolute": ("/etc/passwd", "leaves the model's folder"),
    "device": ("/dev/zero", "leaves the model's folder"),
    "the folder": (".", "leaves the model's folder"),
    "nothing": ("", "leaves the model's folder"),
    "backslash": ("..\\outside", "is no plain relative path"),
    "null": ("secret\0.txt", "is no plain relative path"),
    "new line": ("sec\nret", "is no plain relative path"),
    "link": ("link", "is, or lies behind, a link or a device"),
    "link to a file in the folder": ("inner link", "is, or lies behind, a link or a device"),
    "link to a folder": ("linked/outside", "is, or lies behind, a link or a device"),
    "link to a folder deeper": ("a/linked/outside", "is, or lies behind, a link or a device"),
    "file as a folder": ("secret/x", "is, or lies behind, a link or a device"),
    "socket": ("socket", "is, or lies behind, a link or a device"),
    "hard link": ("hard", "is a hard link"),
    "pipe": ("pipe", "is not a regular file"),
    "folder": ("a", "is not a regular file"),
}


@pytest.mark.parametrize("name", LOCATIONS)
def test_location_that_leads_out_of_the_folder_is_refused(
    save_onnx: Save, model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    inside = tmp_path / "inside"
    (inside / "a").mkdir(parents=True)
    (tmp_path / "inside_evil").mkdir()
    for secret in (tmp_path / "outside", inside / "secret", tmp_path / "inside_evil" / "secret"):
        secret.write_bytes(WEIGHT.tobytes())
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "inner link").symlink_to(inside / "secret")
    (inside / "linked").symlink_to(tmp_path)
    (inside / "a" / "linked").symlink_to(tmp_path)
    os.link(tmp_path / "outside", inside / "hard")
    os.mkfifo(inside / "pipe")
    location, reason = LOCATIONS[name]
    path = inside / "net.onnx"
    model(location=location).rename(path)
    monkeypatch.chdir(inside)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert reason in refused(path, "E110")


def test_location_is_looked_for_beside_the_model_and_not_in_the_working_folder(
    model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w.data").write_bytes(WEIGHT.tobytes())
    path = model(location="w.data")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "No such file" in refused(path, "E111")


ENTRIES = {
    "missing": ({"location": "missing"}, r"cannot be read (No such file or directory)"),
    "name that is too long": ({"location": "n" * 300}, "cannot be read (File name too long)"),
    "too short": ({"location": "short"}, f"ends at byte {LENGTH - 1}, {LENGTH} expected"),
    "offset behind the end": ({"location": "w", "offset": 1}, f"ends at byte {LENGTH}, {LENGTH + 1} expected"),
    "offset far away": ({"location": "w", "offset": 2**62}, f"{2**62 + LENGTH} expected"),
    "negative offset": ({"location": "w", "offset": -1}, "offset '-1', not a number of bytes"),
    "offset that is no number": ({"location": "w", "offset": "1_0"}, "offset '1_0', not a number of bytes"),
    "offset of foreign digits": ({"location": "w", "offset": "٣"}, "not a number of bytes"),
    "offset beyond 64 bits": ({"location": "w", "offset": 10**30}, "not a number of bytes"),
    "negative length": ({"location": "w", "length": -4}, "length '-4', not a number of bytes"),
    "huge length": ({"location": "w", "length": 2**50}, f"expected {LENGTH} bytes of external data, got length 11258"),
    "length of another shape": ({"location": "w", "length": LENGTH - 4}, f"got length {LENGTH - 4}"),
    "unknown key": ({"location": "w", "base": "x"}, "has the entry 'base', unknown or twice"),
    "dunder key": ({"location": "w", "__class__": "x"}, "has the entry '__class__', unknown or twice"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_that_do_not_fit_are_refused(model: Callable[..., Path], tmp_path: Path, name: str) -> None:
    (tmp_path / "w").write_bytes(WEIGHT.tobytes())
    (tmp_path / "short").write_bytes(WEIGHT.tobytes()[:-1])
    entries, reason = ENTRIES[name]
    assert reason in refused(model(**entries), "E111")


def test_entry_given_twice_is_refused(model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(WEIGHT.tobytes())
    path = model(lambda tensor: tensor.external_data.add(key="location", value="../x"), location="w")
    assert "has the entry 'location', unknown or twice" in refused(path, "E111")


def test_entries_are_believed_though_the_tensor_does_not_say_where_it_lies(
    model: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "w").write_bytes(WEIGHT.tobytes())
    assert_same_network(model(lambda tensor: tensor.ClearField("data_location"), location="w"))
    assert "leaves" in refused(model(lambda tensor: tensor.ClearField("data_location"), location="../w"), "E110")
    assert "leaves" in refused(model(), "E110")  # it says so, and has no entries


def test_data_that_is_not_finite_is_refused_with_its_place(model: Callable[..., Path], tmp_path: Path) -> None:
    bad = WEIGHT.copy()
    bad[2, 3] = np.nan
    (tmp_path / "w").write_bytes(bad.tobytes())
    with pytest.raises(ModelError, match=r"tensor 'w' holds nan at \(2, 3\)") as refusal:
        load_model(model(location="w"))
    assert refusal.value.code == "E113"


@pytest.mark.parametrize("dims", [[2**40, 3], [2**62, 2**62], [2**31]])
def test_huge_tensor_is_refused_before_its_data_is_looked_at(model: Callable[..., Path], dims: list[int]) -> None:
    path = model(lambda tensor: tensor.dims.__setitem__(slice(None), dims), location="gone")
    with pytest.raises(ModelError, match=r"\d+ bytes of weights with its external data, more than \d+") as refusal:
        load_model(path)
    assert refusal.value.code == "E102"


def test_tensors_that_share_data_are_counted_each(
    save_onnx: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w").write_bytes(WEIGHT.tobytes())
    names = [f"w{index}" for index in range(5)]

    def move(proto: onnx.ModelProto) -> None:
        for tensor in proto.graph.initializer:
            point(tensor, location="w")

    nodes = [make("Gemm", ["x", "w0"], ["y"], transB=1)]
    path = save_onnx(nodes, dict.fromkeys(names, WEIGHT), (7,), change=move)
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 5 * LENGTH)
    load_model(path)
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 5 * LENGTH - 1)
    path.write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match=f"{5 * LENGTH} bytes of weights with its external data") as refusal:
        load_model(path)
    assert refusal.value.code == "E102"


def test_region_that_thousands_share_is_not_read_once(
    save_onnx: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file and a model of a few kilobytes, that ask for 200 GB."""
    with (tmp_path / "w").open("wb") as file:
        file.truncate(100_000_000)

    def share(proto: onnx.ModelProto) -> None:
        for index in range(2000):
            tensor = proto.graph.initializer.add(name=f"w{index}", data_type=TensorProto.UINT8, dims=[100_000_000])
            point(tensor, location="w")

    path = save_onnx([make("Relu", ["x"], ["y"])], {}, (7,), change=share)
    monkeypatch.setattr(external_data.Neighbours, "read", None)
    with pytest.raises(ModelError, match="200000000000 bytes of weights with its external data") as refusal:
        load_model(path)
    assert refusal.value.code == "E102"


def test_a_sparse_giant_is_not_read(model: Callable[..., Path], tmp_path: Path) -> None:
    with (tmp_path / "w").open("wb") as file:
        file.write(WEIGHT.tobytes())
        file.truncate(2**40)
    path = model(location="w")
    tracemalloc.start()
    assert_same_network(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24
    assert [*load_model(path).files["w"]] == ["snnconvertRead"]


def test_file_that_shrinks_while_it_is_read_is_refused(
    model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w").write_bytes(WEIGHT.tobytes())
    path = model(location="w")
    stat_file = os.fstat

    def shrink(descriptor: int) -> os.stat_result:
        found = stat_file(descriptor)
        if found.st_size == LENGTH:
            os.truncate(tmp_path / "w", 10)
        return found

    monkeypatch.setattr(os, "fstat", shrink)
    assert "shrank while it was read" in refused(path, "E111")


def test_link_that_takes_the_place_of_the_file_is_not_followed(
    model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "w").write_bytes(WEIGHT.tobytes())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "w").write_bytes((WEIGHT + 1).tobytes())
    path = model(location="a/w")
    open_file = os.open

    def swap(name: object, flags: int, *rest: object, **more: object) -> int:
        if name == "w":  # the folder is open already: renaming it away changes nothing
            (tmp_path / "a").rename(tmp_path / "was a")
            (tmp_path / "a").symlink_to(tmp_path / "b")
        return open_file(name, flags, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "open", swap)
    assert_same_network(path)


def test_external_data_of_an_attribute_is_never_read(save_onnx: Save) -> None:
    constant = make("Constant", [], ["c"], value=numpy_helper.from_array(BIAS))
    point(constant.attribute[0].t, location="../secret")
    with pytest.raises(ModelError, match="is stored outside the file") as refusal:
        load_model(save_onnx([constant, make("Add", ["x", "c"], ["y"])], shape=(7,)))
    assert refusal.value.code == "E110"


def test_no_descriptor_stays_open(model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(WEIGHT.tobytes())
    paths = [model(location="w"), model(location="a/b/c"), model(location="short"), model(location="w", offset=1)]
    load_model(paths[0])
    free = os.dup(0)  # the lowest number that nobody holds
    os.close(free)
    load_model(paths[0])
    for path in paths[1:]:
        refused(path, "E111")
    with pytest.raises(UsageError, match="not a file"):
        load_model(tmp_path)
    again = os.dup(0)
    os.close(again)
    assert again == free
