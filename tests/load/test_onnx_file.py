"""What is read of a file before anything is built from it; what is refused is tested with the bad inputs."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from snnconvert.errors import ModelError, UsageError
from snnconvert.load import load_model, onnx_file

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


def test_file_that_cannot_be_read_is_refused(good: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = good()

    def fail(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(UsageError, match=r"cannot be read \(Permission denied\)"):
        load_model(path)


def test_link_to_a_model_is_followed(good: Callable[..., Path], tmp_path: Path) -> None:
    path = good()
    (tmp_path / "link.onnx").symlink_to(path)
    assert load_model(tmp_path / "link.onnx").sha256 == load_model(path).sha256


def test_file_over_the_limit_is_refused_before_it_is_read(
    good: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = good()
    monkeypatch.setattr(onnx_file, "MAX_BYTES", path.stat().st_size)
    load_model(path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelError, match="more than protobuf's 2 GiB") as refusal:
        load_model(path)
    assert refusal.value.code == "E102"


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


def test_denormal_weight_is_accepted_and_noted(good: Callable[..., Path]) -> None:
    weight = noise(108)
    weight[:9] = 0
    weight[9:14] = -1e-42
    loaded = load_model(good(of_weight(raw_data=weight.tobytes())))
    assert loaded.graph.notes == ("denormal numbers, which some processors take for 0, in 'w' (5)",)
    assert load_model(good(of_weight(raw_data=bytes(432)))).graph.notes == ()


def test_empty_list_is_a_constant_that_no_network_can_compute_with(save_onnx: Save) -> None:
    nodes = [make("Add", ["x", "none"], ["a"]), make("Relu", ["x"], ["y"])]
    assert load_model(save_onnx(nodes, {"none": noise(0)})).compare(noise(2, 3, 8, 8)).max_error == 0
    with pytest.raises(ModelError, match="node 'a'"):
        load_model(save_onnx(nodes, {"none": noise(0)}, output="a"))


NUMBERS = np.array([0, 1, 2, 7], np.int64)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, np.int64, np.int32, np.int8, np.uint8, np.bool_])
def test_numbers_stored_one_by_one_are_those_stored_as_bytes(kind: type) -> None:
    values = NUMBERS.astype(kind)
    data_type = helper.np_dtype_to_tensor_dtype(values.dtype)
    raw = onnx_file.decode(numpy_helper.from_array(values, "w"), "net", "w")
    typed = onnx_file.decode(helper.make_tensor("w", data_type, [2, 2], values), "net", "w")
    assert raw.dtype == typed.dtype == kind
    assert np.array_equal(raw, values)
    assert np.array_equal(typed, values.reshape(2, 2))


def opset(version: int) -> Change:
    return lambda model: model.opset_import[0].__setattr__("version", version)


def test_opset_of_the_long_name_of_the_domain_is_found(good: Callable[..., Path]) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].domain = "ai.onnx"
        model.graph.node[1].domain = "ai.onnx"

    assert load_model(good(change)).compare(noise(2, 3, 8, 8)).max_error < 1e-5


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
