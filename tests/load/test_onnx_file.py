"""Broken, hostile and foreign files: one line, a code, exit status 3 (or 2), in under a second."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from snnconvert.errors import ModelError, SnnError, UsageError
from snnconvert.load import load_model, onnx_file
from snnconvert.load.onnx_file import MAX_NODES

make = helper.make_node
Save = Callable[..., Path]
Change = Callable[[onnx.ModelProto], object]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def good(save_onnx: Save) -> Callable[..., Path]:
    """Save a small sound network, changed."""

    def save(change: Change | None = None) -> Path:
        nodes = [
            make("Conv", ["x", "w", "b"], ["a"], name="conv"),
            make("Relu", ["a"], ["r"], name="relu"),
            make("Flatten", ["r"], ["y"], name="flatten"),
        ]
        return save_onnx(nodes, {"w": noise(4, 3, 3, 3), "b": noise(4)}, change=change)

    return save


def refused(path: Path, code: str, status: int = 3) -> SnnError:
    start = time.process_time()
    with pytest.raises(SnnError, match=r"^error\[E\d{3}\]: ") as refusal:
        load_model(path)
    assert time.process_time() - start < 2  # a second, on a machine that is shared
    assert (refusal.value.code, refusal.value.exit_status) == (code, status)
    assert isinstance(refusal.value, UsageError if status == 2 else ModelError)
    assert "\n" not in str(refusal.value)
    return refusal.value


def test_missing_file_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path / "no.onnx", "E001", 2)
    assert "no such file" in error.message
    assert error.hint


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "not a file" in refused(tmp_path, "E001", 2).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable_file_is_refused(good: Callable[..., Path]) -> None:
    path = good()
    path.chmod(0)
    assert "cannot be read" in refused(path, "E001", 2).message


def test_file_that_cannot_be_read_is_refused(good: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert "cannot be read (Permission denied)" in refused(good(), "E001", 2).message


def test_pipe_socket_and_device_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", "E001", 2)
    refused(Path("/dev/zero"), "E001", 2)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        refused(tmp_path / "s", "E001", 2)


@pytest.mark.parametrize("name", ["a\0b.onnx", "a" * 300 + ".onnx"])
def test_impossible_path_is_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path / name, "E001", 2)


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.touch()
    assert "the file is empty" in refused(path, "E101").message


@pytest.mark.parametrize(
    "content",
    [
        os.urandom(4096),
        b"hello, this is text\n" * 20,
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        b"PK\x03\x04" + bytes(200),
        b"\x00",
        b"\xff" * 100,
        b"\x0a" * 1000,
        b"\x3a\x64" * 500,
    ],
    ids=["random", "text", "png", "zip", "zero", "ones", "nested", "deep"],
)
def test_file_of_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    error = refused(path, "E101")
    assert "not an ONNX model" in error.message
    assert error.hint


@pytest.mark.parametrize("keep", [0.5, 0.9, -1])
def test_truncated_file_is_refused(good: Callable[..., Path], keep: float) -> None:
    path = good()
    content = path.read_bytes()
    path.write_bytes(content[:-1] if keep < 0 else content[: int(len(content) * keep)])
    refused(path, "E101")


def test_file_over_the_limit_is_refused_before_it_is_read(
    good: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 100)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("it was read"))
    assert "more than protobuf's 2 GiB" in refused(good(), "E102").message


def test_names_that_are_no_text_are_refused(good: Callable[..., Path]) -> None:
    path = good()
    path.write_bytes(path.read_bytes().replace(b"conv", b"c\xff\xfev"))
    refused(path, "E101")


def external(**entries: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)

    return change


LOCATIONS = {
    "parent": {"location": "../secret"},
    "parent of a folder": {"location": "a/../../secret"},
    "absolute": {"location": "/etc/passwd"},
    "link": {"location": "link"},
    "link to a folder": {"location": "folder/secret"},
    "hard link": {"location": "hard"},
    "device": {"location": "/dev/zero"},
    "missing": {"location": "missing"},
    "too short": {"location": "secret", "length": "999999"},
    "negative offset": {"location": "secret", "offset": "-1"},
    "huge length": {"location": "secret", "length": str(2**50)},
    "unknown key": {"location": "secret", "__class__": "x"},
    "nothing": {},
}


@pytest.mark.parametrize("name", LOCATIONS)
def test_data_outside_the_file_is_never_read(good: Callable[..., Path], tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(noise(4, 3, 3, 3).tobytes())
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "folder").symlink_to(tmp_path)
    os.link(tmp_path / "secret", tmp_path / "hard")
    error = refused(good(external(**LOCATIONS[name])), "E110")
    assert "tensor 'w' is stored outside the file" in error.message
    assert error.hint == "save the model with all weights inside"


def test_external_data_of_an_attribute_is_never_read(save_onnx: Save) -> None:
    constant = make("Constant", [], ["c"], value=numpy_helper.from_array(noise(8)))
    constant.attribute[0].t.data_location = TensorProto.EXTERNAL
    constant.attribute[0].t.external_data.add(key="location", value="../secret")
    refused(save_onnx([constant, make("Add", ["x", "c"], ["y"])]), "E110")


def of_weight(**fields: object) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        for name, value in fields.items():
            tensor.ClearField(name)
            if isinstance(value, list):
                getattr(tensor, name).extend(value)
            else:
                setattr(tensor, name, value)

    return change


TENSORS = {
    "shorter": (of_weight(raw_data=bytes(428)), "expected 432 of data, got 428"),
    "longer": (of_weight(raw_data=bytes(436)), "expected 432 of data, got 436"),
    "no data": (of_weight(raw_data=b""), "got 0"),
    "product over int64": (of_weight(dims=[2**62, 2**62]), "of data, got"),
    "2**31": (of_weight(dims=[2**31, 3, 3, 3]), "of data, got"),
    "negative": (of_weight(dims=[-4, -3, 3, 3]), "negative dimension"),
    "empty": (of_weight(dims=[4, 0, 3, 3], raw_data=b""), "is empty"),
    "empty and huge": (of_weight(dims=[0, 2**62, 2**62], raw_data=b""), "is empty"),
    "unknown type": (of_weight(data_type=999), "unsupported type 999"),
    "text": (of_weight(data_type=TensorProto.STRING), "unsupported type 8"),
    "bfloat16": (of_weight(data_type=TensorProto.BFLOAT16), "unsupported type 16"),
    "complex": (of_weight(data_type=TensorProto.COMPLEX64), "unsupported type 14"),
    "no type": (of_weight(data_type=0), "unsupported type 0"),
    "100 axes": (of_weight(dims=[1] * 96 + [4, 3, 3, 3]), "cannot be decoded"),
    "a segment": (lambda model: model.graph.initializer[0].segment.SetInParent(), "cannot be decoded"),
    "sparse": (lambda model: model.graph.sparse_initializer.add(), "sparse"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_weight_that_lies_about_its_size_or_type_is_refused(good: Callable[..., Path], name: str) -> None:
    change, reason = TENSORS[name]
    error = refused(good(change), "E112")
    assert reason in error.message
    assert "'w'" in error.message or name == "sparse"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weight_that_is_not_finite_is_refused_with_its_place(good: Callable[..., Path], value: float) -> None:
    weight = noise(4, 3, 3, 3)
    weight[2, 1, 0, 2] = value
    error = refused(good(of_weight(raw_data=weight.tobytes())), "E113")
    assert f"tensor 'w' holds {value} at (2, 1, 0, 2)" in error.message


def test_denormal_weight_is_accepted(good: Callable[..., Path]) -> None:
    load_model(good(of_weight(raw_data=np.full(108, 1e-42, np.float32).tobytes())))


def add(*nodes: onnx.NodeProto) -> Change:
    return lambda model: model.graph.node.extend(nodes)


GRAPHS = {
    "cycle": (lambda model: model.graph.node[0].input.__setitem__(0, "r"), "a cycle through"),
    "node that reads itself": (lambda model: model.graph.node[1].input.__setitem__(0, "r"), "a cycle through 'r'"),
    "cycle that nobody needs": (add(make("Relu", ["u"], ["v"]), make("Relu", ["v"], ["u"])), "a cycle"),
    "identity of itself as output": (
        lambda model: (
            add(make("Identity", ["z"], ["z"]))(model),
            model.graph.output[0].__setattr__("name", "z"),
        ),
        "a cycle through 'z'",
    ),
    "dangling input": (lambda model: model.graph.node[1].input.__setitem__(0, "gone"), "reads 'gone'"),
    "two producers": (add(make("Relu", ["a"], ["r"])), "two nodes compute 'r'"),
    "producer of a weight": (add(make("Relu", ["a"], ["w"])), "a node computes 'w', which is an input or a weight"),
    "producer of the input": (add(make("Relu", ["a"], ["x"])), "a node computes 'x'"),
    "two initializers": (
        lambda model: model.graph.initializer.append(model.graph.initializer[0]),
        "two initializers are named 'w'",
    ),
    "node without an output": (add(make("Relu", ["a"], [])), "node 3 ('') has no operator or no output"),
    "node with an empty output": (add(make("Relu", ["a"], [""])), "has no operator or no output"),
    "node without an operator": (add(make("", ["a"], ["q"])), "has no operator or no output"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_that_is_no_graph_is_refused(good: Callable[..., Path], name: str) -> None:
    change, reason = GRAPHS[name]
    assert reason in refused(good(change), "E114").message


def without_output(model: onnx.ModelProto) -> None:
    model.graph.ClearField("output")


def opset(version: int) -> Change:
    return lambda model: model.opset_import[0].__setattr__("version", version)


HEADERS = {
    "no output": (without_output, "no output"),
    "no opset": (lambda model: model.ClearField("opset_import"), "names no opset"),
    "only another domain": (lambda model: model.opset_import[0].__setattr__("domain", "x"), "names no opset"),
    "opset 999": (opset(999), "opset 999, supported are 7 to"),
    "opset 1": (opset(1), "opset 1, supported are 7 to"),
    "opset -1": (opset(-1), "opset -1, supported are 7 to"),
    "IR version 999": (lambda model: model.__setattr__("ir_version", 999), "IR version 999"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_unknown_version_is_refused(good: Callable[..., Path], name: str) -> None:
    change, reason = HEADERS[name]
    assert reason in refused(good(change), "E115").message


@pytest.mark.parametrize("change", [lambda model: model.ClearField("graph"), lambda m: m.graph.Clear()])
def test_model_without_a_graph_is_refused(good: Callable[..., Path], change: Change) -> None:
    refused(good(change), "E101")


def test_opset_of_the_long_name_of_the_domain_is_found(good: Callable[..., Path]) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].domain = "ai.onnx"
        model.graph.node[1].domain = "ai.onnx"

    assert load_model(good(change)).compare(noise(2, 3, 8, 8)).max_error < 1e-5


def test_unsorted_nodes_are_sorted(good: Callable[..., Path]) -> None:
    def reverse(model: onnx.ModelProto) -> None:
        nodes = list(model.graph.node)
        model.graph.ClearField("node")
        model.graph.node.extend(reversed(nodes))

    loaded = load_model(good(reverse))
    assert [node.name for node in loaded.graph.nodes] == ["conv", "relu", "flatten"]
    assert loaded.compare(noise(2, 3, 8, 8)).max_error < 1e-5


def test_too_many_nodes_are_refused_at_once(good: Callable[..., Path]) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.extend([make("Relu", ["a"], ["q"])] * (MAX_NODES + 1))

    assert "nodes, more than" in refused(good(change), "E121").message


def functions(*bodies: tuple[str, list[onnx.NodeProto]]) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import.add(domain="f", version=1)
        for name, nodes in bodies:
            model.functions.append(
                helper.make_function("f", name, ["X"], ["Y"], nodes, [helper.make_opsetid("", 18)], [])
            )
        model.graph.node[1].CopyFrom(make(bodies[0][0], ["a"], ["r"], domain="f"))

    return change


def test_functions_are_refused_whether_they_are_recursive_or_a_bomb(good: Callable[..., Path]) -> None:
    recursive = functions(("loop", [make("loop", ["X"], ["Y"], domain="f")]))
    bodies = [
        (f"f{level}", [make(f"f{level + 1}", [i], [o], domain="f") for i, o in (("X", "Z"), ("Z", "Y"))])
        for level in range(25)
    ]
    bomb = functions(*bodies, ("f25", [make("Relu", ["X"], ["Y"])]))
    for change in (recursive, bomb):
        error = refused(good(change), "E120")
        assert "functions of its own" in error.message
        assert "inlined" in (error.hint or "")


@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "../../x", "<script>", "a" * 2**20, "é漢", " ", "x"])
def test_strange_names_are_accepted(good: Callable[..., Path], name: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].name = model.graph.node[1].name = name
        model.graph.node[0].output[0] = model.graph.node[1].input[0] = name + "'"

    loaded = load_model(good(change))
    assert loaded.graph.nodes[0].name == (f"{name}#0" if name == "x" else name)
    assert loaded.graph.nodes[1].name == f"{name}#1"
    assert loaded.compare(noise(2, 3, 8, 8)).max_error < 1e-5


def test_same_content_has_the_same_digest(good: Callable[..., Path]) -> None:
    assert load_model(good()).sha256 == load_model(good()).sha256
    assert load_model(good()).sha256 != load_model(good(opset(17))).sha256
