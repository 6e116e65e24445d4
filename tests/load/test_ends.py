"""One input, one output, and the softmax that may stand before the output."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from snnconvert.errors import ModelError
from snnconvert.load import load_model

make = helper.make_node
Save = Callable[..., Path]
FLAT = (7,)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def declare(name: str, *shape: int | str | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def set_input(*shape: int | str | None, kind: int = TensorProto.FLOAT) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.input[0].CopyFrom(declare("x", *shape, kind=kind))


ENDS = {
    "two inputs": (lambda m: m.graph.input.append(declare("z", "N", 7)), r"one input expected, got 2 \('x', 'z'\)"),
    "one input twice": (lambda m: m.graph.input.append(m.graph.input[0]), r"one input expected, got 2 \('x', 'x'\)"),
    "no input": (lambda m: m.graph.ClearField("input"), r"one input expected, got 0 \(none\)"),
    "two outputs": (lambda m: m.graph.output.append(declare("a")), r"one output expected, got 2 \('y', 'a'\)"),
    "float64": (set_input("N", 7, kind=TensorProto.DOUBLE), "input 'x' is not float32"),
    "int64": (set_input("N", 7, kind=TensorProto.INT64), "input 'x' is not float32"),
    "float16": (set_input("N", 7, kind=TensorProto.FLOAT16), "input 'x' is not float32"),
    "bfloat16": (set_input("N", 7, kind=TensorProto.BFLOAT16), "input 'x' is not float32"),
    "no type": (lambda m: m.graph.input[0].ClearField("type"), "input 'x' is not float32"),
    "a sequence": (lambda m: m.graph.input[0].type.sequence_type.SetInParent(), "input 'x' is not float32"),
    "no axes": (set_input(), "input 'x' has 0 axes"),
    "one axis": (set_input("N"), "input 'x' has 1 axes"),
    "a free axis": (set_input("N", "C"), "axis 1 has no fixed size"),
    "an unknown axis": (set_input("N", None), "axis 1 has no fixed size"),
    "an axis of 0": (set_input("N", 0), "axis 1 has no fixed size"),
    "a negative axis": (set_input("N", -7), "axis 1 has no fixed size"),
    "an output that nothing computes": (
        lambda m: m.graph.output[0].CopyFrom(declare("gone")),
        "output 'gone' does not depend on the input",
    ),
    "a constant output": (
        lambda m: m.graph.output[0].CopyFrom(declare("w")),
        "output 'w' does not depend on the input",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_network_without_one_input_and_one_output_is_refused(save_onnx: Save, name: str) -> None:
    change, reason = ENDS[name]
    nodes = [make("Relu", ["x"], ["a"]), make("Add", ["a", "w"], ["y"])]
    with pytest.raises(ModelError, match=reason) as refusal:
        load_model(save_onnx(nodes, {"w": noise(7)}, FLAT, change=change))
    assert (refusal.value.code, refusal.value.exit_status) == ("E124", 3)


@pytest.mark.parametrize("batch", ["N", None, -1, 0])
def test_batch_may_be_left_open_in_any_way(save_onnx: Save, batch: int | str | None) -> None:
    loaded = load_model(save_onnx([make("Relu", ["x"], ["y"])], shape=FLAT, change=set_input(batch, 7)))
    assert loaded.compare(noise(5, 7)).max_error == 0


@pytest.mark.parametrize(
    ("shape", "opset", "axis", "reason"),
    [
        ((7,), 18, 0, "axis 0 of samples"),
        ((7,), 18, -2, "axis -2 of samples"),
        ((7,), 18, 2, "axis 2 of samples"),
        ((7,), 12, 0, "axis 0 of samples"),
        ((7, 1, 1), 18, None, "runs over 1 of the 7 outputs"),
        ((7, 1, 1), 12, 2, "runs over 1 of the 7 outputs"),
        ((7, 3), 18, 1, "runs over 7 of the 21 outputs"),
        ((7, 3), 18, 2, "runs over 3 of the 21 outputs"),
    ],
)
def test_softmax_that_argmax_needs_is_refused(
    save_onnx: Save, shape: tuple[int, ...], opset: int, axis: int | None, reason: str
) -> None:
    settings = {} if axis is None else {"axis": axis}
    nodes = [make("Relu", ["x"], ["r"]), make("Softmax", ["r"], ["y"], name="soft", **settings)]
    with pytest.raises(ModelError, match=rf"node 'soft' \(Softmax\): .*{reason}") as refusal:
        load_model(save_onnx(nodes, shape=shape, opset=opset))
    assert refusal.value.code == "E123"


@pytest.mark.parametrize(
    ("shape", "opset", "axis"),
    [((7,), 18, None), ((7,), 18, 1), ((7,), 18, -1), ((7,), 7, None), ((7, 1, 1), 7, None), ((7, 1, 1), 18, -3)],
)
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_final_softmax_is_dropped_and_noted(
    save_onnx: Save, shape: tuple[int, ...], opset: int, axis: int | None, operator: str
) -> None:
    settings = {} if axis is None else {"axis": axis}
    nodes = [
        make("Relu", ["x"], ["r"]),
        make(operator, ["r"], ["s"], **settings),
        make("Identity", ["s"], ["y"]),
    ]
    loaded = load_model(save_onnx(nodes, shape=shape, opset=opset))
    assert loaded.graph.output == "r"
    assert loaded.graph.notes == (f"the final {operator} is dropped: it does not change which class is largest",)
    assert [origin.fate for origin in loaded.graph.origins] == ["", *["dropped: argmax does not need it"] * 2]
    assert loaded.compare(noise(3, *shape)).max_error == 0


def test_final_identity_without_a_softmax_stays(save_onnx: Save) -> None:
    loaded = load_model(save_onnx([make("Relu", ["x"], ["r"]), make("Identity", ["r"], ["y"])], shape=FLAT))
    assert loaded.graph.output == "y"
    assert loaded.graph.notes == ()


def test_softmax_of_another_domain_is_not_dropped(save_onnx: Save) -> None:
    nodes = [make("Relu", ["x"], ["r"]), make("Softmax", ["r"], ["y"], domain="com.acme")]
    with pytest.raises(ModelError, match=r"operator of the domain 'com\.acme'"):
        load_model(save_onnx(nodes, shape=FLAT))


def test_softmax_of_nothing_is_refused(save_onnx: Save) -> None:
    with pytest.raises(ModelError, match=r"a constant is computed by an operator"):
        load_model(save_onnx([make("Relu", ["x"], ["r"]), make("Softmax", [], ["y"])], shape=FLAT))


def test_softmax_of_the_input_leaves_nothing(save_onnx: Save) -> None:
    loaded = load_model(save_onnx([make("Softmax", ["x"], ["y"])], shape=FLAT))
    assert loaded.graph.nodes == ()
    assert loaded.compare(noise(3, 7)).max_error == 0
