"""One input, one output, and the softmax that may stand before the output."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from snnconvert.conversion import class_count
from snnconvert.errors import DataError, ModelError
from snnconvert.load import load_model, open_model, survey_model
from snnconvert.load.asked import Asked

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
    "one output twice": (lambda m: m.graph.output.append(declare("y")), r"one output expected, got 2 \('y', 'y'\)"),
    "float64": (set_input("N", 7, kind=TensorProto.DOUBLE), "input 'x' is not float32 but double$"),
    "int64": (set_input("N", 7, kind=TensorProto.INT64), "input 'x' is not float32 but int64$"),
    "float16": (set_input("N", 7, kind=TensorProto.FLOAT16), "input 'x' is not float32 but float16$"),
    "bfloat16": (set_input("N", 7, kind=TensorProto.BFLOAT16), "input 'x' is not float32 but bfloat16$"),
    "unknown type": (set_input("N", 7, kind=999), "input 'x' is not float32 but 999$"),
    "no type": (lambda m: m.graph.input[0].ClearField("type"), "input 'x' is not float32 but undefined$"),
    "a sequence": (lambda m: m.graph.input[0].type.sequence_type.SetInParent(), "is not float32 but undefined$"),
    "no axes": (set_input(), "input 'x' has 0 axes"),
    "one axis": (set_input("N"), "input 'x' has 1 axes"),
    "a free axis": (set_input("N", "C"), r"axis 1 has no fixed size, samples are \(\?\)$"),
    "an unknown axis": (set_input("N", None), r"axis 1 has no fixed size, samples are \(\?\)$"),
    "an axis of 0": (set_input("N", 0), r"axis 1 has no fixed size, samples are \(\?\)$"),
    "a negative axis": (set_input("N", -7), r"axis 1 has no fixed size, samples are \(\?\)$"),
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


IMAGES = [make("Conv", ["x", "w"], ["a"]), make("Relu", ["a"], ["r"]), make("GlobalAveragePool", ["r"], ["y"])]
KERNEL = {"w": noise(4, 3, 3, 3)}


@pytest.fixture
def images(save_onnx: Save) -> Callable[..., Path]:
    """Save a network whose input is declared with these sizes."""
    return lambda *sizes: save_onnx(IMAGES, KERNEL, change=set_input(*sizes))


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (("N", 3, "H", "W"), (3, 9, 8)),
        ((2, 3, "H", "W"), (3, 9, 8)),
        ((None, None, None, None), (3, 8, 9)),
        (("N", 3, -1, 0), (3, 5, 6)),
        (("N", 3, 8, 8), (3, 8, 8)),
    ],
)
def test_sizes_that_the_file_leaves_open_are_told(
    images: Callable[..., Path], declared: tuple[int | str | None, ...], told: tuple[int, ...]
) -> None:
    for asked in (Asked(input_shape=told), Asked(guess_shape=lambda: told)):
        loaded = load_model(images(*declared), asked)
        assert loaded.graph.input_shape == told
        assert loaded.compare(noise(3, *told)).max_error < 1e-5
        assert survey_model(open_model(images(*declared), asked))[1] == {}


@pytest.mark.parametrize("asked", [Asked(), Asked(guess_shape=None, output="y")])
def test_open_sizes_that_nobody_tells_are_asked_for(images: Callable[..., Path], asked: Asked) -> None:
    with pytest.raises(ModelError, match=r"axis 2 has no fixed size, samples are \(3, \?, \?\)$") as refusal:
        load_model(images("N", 3, "H", "W"), asked)
    assert refusal.value.code == "E124"
    assert "--input-shape 3,224,224" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (("N", 3, "H", "W"), (1, 8, 8)),
        (("N", 3, "H", "W"), (3, 8)),
        (("N", 3, "H", "W"), (1, 3, 8, 8)),
        (("N", 3, "H", "W"), (3, 0, 8)),
        (("N", 3, "H", "W"), (3, -8, -8)),
        (("N", 3, 8, 8), (3, 8, 9)),
        (("N", 3, 8, 8), ()),
    ],
)
def test_sizes_that_contradict_the_file_are_refused(
    images: Callable[..., Path], declared: tuple[int | str, ...], told: tuple[int, ...]
) -> None:
    with pytest.raises(ModelError, match=r"input 'x': samples are \(3, .*\), asked for \(") as refusal:
        load_model(images(*declared), Asked(input_shape=told))
    assert refusal.value.code == "E124"
    assert "--input-shape" in str(refusal.value.hint)


def test_samples_are_not_opened_where_the_file_tells_all(images: Callable[..., Path]) -> None:
    load_model(images("N", 3, 8, 8), Asked(guess_shape=lambda: pytest.fail("asked")))
    load_model(images("N", 3, "H", "W"), Asked((3, 8, 8), guess_shape=lambda: pytest.fail("asked")))


def test_what_is_wrong_with_the_samples_is_told_as_it_is(images: Callable[..., Path]) -> None:
    def broken() -> tuple[int, ...]:
        raise DataError("E201", "no samples")

    with pytest.raises(DataError, match="no samples"):
        load_model(images("N", 3, "H", "W"), Asked(guess_shape=broken))


def test_sample_that_is_too_large_is_refused_whoever_tells_it(images: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="one sample has shape") as refusal:
        load_model(images("N", 3, "H", "W"), Asked((3, 2**20, 2**20)))
    assert refusal.value.code == "E122"


@pytest.mark.parametrize(("name", "operators"), [("y", ["Neg"]), ("z", ["Relu", "Relu"]), ("a", ["Relu"])])
def test_one_of_several_outputs_is_chosen(save_onnx: Save, name: str, operators: list[str]) -> None:
    def more(model: onnx.ModelProto) -> None:
        model.graph.output.extend([declare("z"), declare("a")])

    nodes = [make("Relu", ["x"], ["a"]), make("Relu", ["a"], ["z"]), make("Neg", ["x"], ["y"])]
    path = save_onnx(nodes, shape=FLAT, change=more)
    loaded = load_model(path, Asked(output=name))
    assert loaded.graph.output == name
    assert [origin.operator for origin in loaded.graph.origins if not origin.fate] == operators
    x = noise(3, 7)
    assert np.array_equal(loaded.reference.run(x), -x if name == "y" else np.maximum(x, 0))
    assert loaded.compare(x).max_error == 0
    assert survey_model(open_model(path, Asked(output=name)))[0] == loaded.graph.origins
    with pytest.raises(ModelError, match=r"one output expected, got 3 \('y', 'z', 'a'\)") as refusal:
        load_model(path)
    assert (refusal.value.code, refusal.value.hint) == ("E124", "choose: --output-name NAME")


def test_softmax_before_the_chosen_output_is_dropped(save_onnx: Save) -> None:
    nodes = [make("Relu", ["x"], ["a"]), make("Softmax", ["a"], ["soft"]), make("Neg", ["x"], ["y"])]
    path = save_onnx(nodes, shape=FLAT, change=lambda model: model.graph.output.append(declare("soft")))
    assert load_model(path, Asked(output="soft")).graph.output == "a"
    assert load_model(path, Asked(output="y")).graph.notes == ()


@pytest.mark.parametrize(("name", "hint"), [("logit", "did you mean 'logits'?"), ("a", "known: logits"), ("", "known")])
def test_output_that_is_none_is_refused(save_onnx: Save, name: str, hint: str) -> None:
    path = save_onnx([make("Relu", ["x"], ["a"]), make("Neg", ["a"], ["logits"])], shape=FLAT)
    with pytest.raises(ModelError, match=f"there is no output '{name}'") as refusal:
        load_model(path, Asked(output=name))
    assert refusal.value.code == "E124"
    assert str(refusal.value.hint).startswith(hint)


@pytest.mark.parametrize(
    ("shape", "opset", "axis", "reason"),
    [
        ((7,), 18, 0, "axis 0 of samples"),
        ((7,), 18, -2, "axis -2 of samples"),
        ((7,), 18, 2, "axis 2 of samples"),
        ((7,), 12, 0, "axis 0 of samples"),
        ((7, 1, 1), 18, None, "runs over 1 of the 7 outputs"),
        ((7, 1, 1), 12, 2, "runs over 1 of the 7 outputs"),
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
    [
        *(((7,), opset, axis) for opset, axis in ((18, None), (18, 1), (18, -1), (7, None))),
        *(((7, 1, 1), opset, axis) for opset, axis in ((7, None), (18, -3))),
        *(((7, 3), opset, 1) for opset in (18, 12)),
    ],
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
    assert [*loaded.graph.shapes] == ["x", "r", "y"]
    assert loaded.graph.notes == (f"the final {operator} is dropped: it does not change which output is largest",)
    assert [origin.fate for origin in loaded.graph.origins] == ["", "dropped: it keeps the order of the outputs", ""]
    assert loaded.compare(noise(3, *shape)).max_error == 0


@pytest.mark.parametrize(("shape", "last"), [((7,), "Softmax"), ((7, 1, 1), "Softmax"), ((7, 3), "Sigmoid")])
def test_changes_of_shape_may_follow_what_is_dropped(save_onnx: Save, shape: tuple[int, ...], last: str) -> None:
    settings = {"axis": 1} if last == "Softmax" else {}
    nodes = [
        make("Relu", ["x"], ["r"]),
        make(last, ["r"], ["s"], **settings),
        make("Shape", ["s"], ["sizes"]),  # as x.view(x.size(0), -1) is exported
        make("Slice", ["sizes", "zero", "one"], ["batch"]),
        make("Concat", ["batch", "rest"], ["target"], axis=0),
        make("Reshape", ["s", "target"], ["y"]),
    ]
    whole = {"zero": [0], "one": [1], "rest": [-1]}
    loaded = load_model(save_onnx(nodes, {name: np.array(value) for name, value in whole.items()}, shape=shape))
    x = noise(3, *shape)
    assert np.array_equal(loaded.reference.run(x), np.maximum(x, 0).reshape(3, -1))
    assert loaded.compare(x).max_error == 0
    assert [origin.operator for origin in loaded.graph.origins if origin.fate.startswith("dropped")] == [last]


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        ([make("Flatten", ["s"], ["y"])], "E123"),  # of which position the largest output is would not be known
        ([make("Identity", ["s"], ["i"]), make("Mul", ["i", "r"], ["y"])], "E123"),
        ([make("Flatten", ["s"], ["f"]), make("Relu", ["f"], ["y"])], "E123"),
    ],
)
def test_softmax_with_more_behind_it_is_refused(save_onnx: Save, nodes: list[onnx.NodeProto], code: str) -> None:
    nodes = [make("Relu", ["x"], ["r"]), make("Softmax", ["r"], ["s"], axis=1), *nodes]
    with pytest.raises(ModelError, match="Softmax") as refusal:
        load_model(save_onnx(nodes, shape=(7, 3)))
    assert refusal.value.code == code


def test_sigmoid_that_gates_too_is_refused(save_onnx: Save) -> None:
    nodes = [
        make("Relu", ["x"], ["r"]),
        make("Sigmoid", ["r"], ["s"]),
        make("Relu", ["s"], ["gate"]),
        make("Reshape", ["s", "gate"], ["y"]),
    ]
    with pytest.raises(ModelError, match="operator Sigmoid is not supported"):
        load_model(save_onnx(nodes, shape=(1,)))


@pytest.mark.parametrize(
    ("shape", "binary"), [((1,), True), ((7,), False), ((1, 4, 5), True), ((7, 4, 5), False), ((1, 1, 1), True)]
)
def test_sigmoid_of_one_output_tells_two_classes(save_onnx: Save, shape: tuple[int, ...], binary: bool) -> None:
    graph = load_model(save_onnx([make("Relu", ["x"], ["r"]), make("Sigmoid", ["r"], ["y"])], shape=shape)).graph
    assert graph.binary is binary
    assert class_count(graph) == (2 if math.prod(shape) == 1 else 7 if shape == (7,) else None)
    assert ("one output tells two classes" in " ".join(graph.notes)) is binary


@pytest.mark.parametrize("shape", [(1,), (7,), (1, 4, 5)])
def test_final_sigmoid_is_dropped_and_noted(save_onnx: Save, shape: tuple[int, ...]) -> None:
    loaded = load_model(save_onnx([make("Relu", ["x"], ["r"]), make("Sigmoid", ["r"], ["y"])], shape=shape))
    assert loaded.graph.output == "r"
    one = "one output tells two classes, class 1 where it is positive"
    why = "it does not change which output is largest" if shape == (7,) else one
    assert loaded.graph.notes == (f"the final Sigmoid is dropped: {why}",)
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
