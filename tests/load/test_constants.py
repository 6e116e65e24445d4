"""Weights and shapes however an exporter writes them: what does not depend on the sample folds away."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from snnconvert.errors import ModelError
from snnconvert.load import load_model, onnx_graph
from snnconvert.load.constants import folder
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.reshape import Reshape

make = helper.make_node
Save = Callable[..., Path]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def constant(name: str, value: np.ndarray) -> onnx.NodeProto:
    return make("Constant", [], [name], value=numpy_helper.from_array(value))


# what asks for more memory than any network needs: E122, before it is asked for
BOMBS = {
    "ConstantOfShape": ([make("ConstantOfShape", ["s"], ["c"])], {"s": ints(2**20, 2**20)}),
    "ConstantOfShape over int64": ([make("ConstantOfShape", ["s"], ["c"])], {"s": ints(2**62, 2**62, 2**62)}),
    "Expand": ([make("Expand", ["w", "s"], ["c"])], {"w": noise(1), "s": ints(2**40)}),
    "Gather": (
        [
            make("ConstantOfShape", ["s"], ["i"], value=numpy_helper.from_array(ints(0))),
            make("Gather", ["w", "i"], ["c"]),
        ],
        {"s": ints(2**20), "w": noise(1, 2**10)},
    ),
    "Concat": (
        [make("ConstantOfShape", ["s"], ["i"]), make("Concat", ["i"] * 100, ["c"], axis=0)],
        {"s": ints(2**20)},
    ),
    "Mul": (
        [
            make("ConstantOfShape", ["s"], ["i"]),
            make("ConstantOfShape", ["t"], ["j"]),
            make("Mul", ["i", "j"], ["c"]),
        ],
        {"s": ints(2**20, 1), "t": ints(1, 2**20)},
    ),
    "Range": ([make("Range", ["a", "b", "d"], ["c"])], {"a": np.array(0), "b": np.array(2**62), "d": np.array(1)}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_constant_of_terabytes_is_refused(save_onnx: Save, name: str) -> None:
    nodes, weights = BOMBS[name]
    path = save_onnx([*nodes, make("Add", ["x", "c"], ["y"])], weights)
    with pytest.raises(ModelError, match=r"a constant of shape .* is computed, more than") as refusal:
        load_model(path)
    assert refusal.value.code == "E122"


WIDE = {
    "Cast": (make("Cast", ["w"], ["c"], to=TensorProto.DOUBLE), np.zeros(1000, np.uint8)),
    "CastLike": (make("CastLike", ["w", "d"], ["c"]), np.zeros(1000, np.uint8)),
    "Pow": (make("Pow", ["w", "k"], ["c"]), np.zeros(1000, np.int32)),
    "ReduceSum": (make("ReduceSum", ["w"], ["c"]), np.zeros(1000, np.int32)),
}


@pytest.mark.parametrize("name", WIDE)
def test_widened_constant_is_counted_before_it_is_made(
    save_onnx: Save, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    node, value = WIDE[name]
    path = save_onnx([node, make("Add", ["x", "c"], ["y"])], {"w": value, "k": ints(2), "d": np.zeros(1)})
    monkeypatch.setattr(folder, "MAX_BYTES", 8 * 1000 - 1)
    with pytest.raises(ModelError, match="a constant of 8000 bytes is computed, more than 7999") as refusal:
        load_model(path)
    assert refusal.value.code == "E122"


@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMax", "ReduceMean", "ReduceProd", "ReduceL2"])
def test_summaries_are_counted_by_what_they_read(
    save_onnx: Save, monkeypatch: pytest.MonkeyPatch, op_type: str
) -> None:
    monkeypatch.setattr(onnx_graph, "MAX_FOLDED", 10_000)
    nodes = [make(op_type, ["w"], [f"c{index}"]) for index in range(3)]
    nodes += [make("Sum", [node.output[0] for node in nodes], ["c"]), make("Add", ["x", "c"], ["y"])]
    with pytest.raises(ModelError, match="more than 10000 bytes of constants") as refusal:
        load_model(save_onnx(nodes, {"w": noise(1000)}))
    assert refusal.value.code == "E122"


def test_inputs_of_a_maximum_are_counted_each(save_onnx: Save) -> None:
    """A short line of text names one constant a million times."""
    nodes = [make("ConstantOfShape", ["s"], ["i"]), make("Max", ["i"] * 100, ["c"]), make("Add", ["x", "c"], ["y"])]
    with pytest.raises(ModelError, match="a constant of shape") as refusal:
        load_model(save_onnx(nodes, {"s": ints(2**20)}))
    assert refusal.value.code == "E122"


def test_many_constants_that_are_large_together_are_refused(save_onnx: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "MAX_FOLDED", 10_000)
    nodes = [make("ConstantOfShape", ["s"], [f"c{index}"]) for index in range(20)]
    nodes += [make("Sum", [node.output[0] for node in nodes], ["c"]), make("Add", ["x", "c"], ["y"])]
    with pytest.raises(ModelError, match="more than 10000 bytes of constants") as refusal:
        load_model(save_onnx(nodes, {"s": ints(1000)}))
    assert refusal.value.code == "E122"


BROKEN = {
    "negative size": ([make("ConstantOfShape", ["s"], ["c"])], {"s": ints(-1)}, "a constant of shape"),
    "value of two numbers": (
        [make("ConstantOfShape", ["s"], ["c"], value=numpy_helper.from_array(noise(2)))],
        {"s": ints(1)},
        "not a single number",
    ),
    "index out of range": ([make("Gather", ["w", "s"], ["c"])], {"w": noise(3), "s": ints(3)}, "out of range"),
    "axis out of range": ([make("Gather", ["w", "s"], ["c"], axis=2)], {"w": noise(3), "s": ints(0)}, "axis 2"),
    "cast to text": ([make("Cast", ["w"], ["c"], to=8)], {"w": noise(3)}, "a cast to type 8"),
    "zero beyond the axes": ([make("Reshape", ["w", "s"], ["c"])], {"w": noise(3), "s": ints(3, 0)}, r"shape \(3, 0\)"),
    "impossible reshape": ([make("Reshape", ["w", "s"], ["c"])], {"w": noise(3), "s": ints(2, 2)}, "malformed"),
    "squeeze of a long axis": ([make("Squeeze", ["w", "s"], ["c"])], {"w": noise(3), "s": ints(0)}, "malformed"),
    "unsqueeze twice": ([make("Unsqueeze", ["w", "s"], ["c"])], {"w": noise(3), "s": ints(0, 0)}, "malformed"),
    "slice of a missing axis": (
        [make("Slice", ["w", "s", "s", "t"], ["c"])],
        {"w": noise(3), "s": ints(1), "t": ints(5)},
        "malformed",
    ),
    "range without end": (
        [make("Range", ["a", "a", "a"], ["c"])],
        {"a": np.array(0)},
        "a range without end",
    ),
    "division by zero": ([make("Div", ["w", "z"], ["c"])], {"w": noise(3), "z": noise(3) * 0}, "division by zero"),
    "smallest integer by -1": (
        [make("Div", ["w", "z"], ["c"])],
        {"w": ints(-(2**63)), "z": ints(-1)},
        "the smallest integer divided by -1",
    ),
    "smallest remainder by -1": (
        [make("Mod", ["w", "z"], ["c"])],
        {"w": ints(-(2**63)), "z": ints(-1)},
        "the smallest integer divided by -1",
    ),
    "remainder by 0": ([make("Mod", ["w", "z"], ["c"])], {"w": ints(7), "z": ints(0)}, "division by zero"),
    "remainder of floats": ([make("Mod", ["w", "w"], ["c"])], {"w": noise(3)}, "a remainder of floats without fmod=1"),
    "two types": ([make("Add", ["w", "z"], ["c"])], {"w": noise(1), "z": ints(1)}, r"input 1 \('z'\) has type int64"),
    "three inputs": ([make("Add", ["w", "w", "w"], ["c"])], {"w": noise(1)}, "3 inputs"),
    "shape of -2": ([make("Reshape", ["w", "s"], ["c"])], {"w": noise(4), "s": ints(-2)}, r"shape \(-2,\)"),
    "flatten beyond the axes": (
        [make("Flatten", ["w"], ["c"], axis=2)],
        {"w": noise(3)},
        "axis 2 of a constant with 1",
    ),
    "mean of nothing": ([make("ReduceMean", ["w"], ["c"])], {"w": np.zeros((0,), np.float32)}, "the mean of nothing"),
    "shapes that do not fit": ([make("Add", ["w", "z"], ["c"])], {"w": noise(3), "z": noise(4)}, "malformed"),
    "an operator that is not folded": ([make("Relu", ["w"], ["c"])], {"w": noise(3)}, "constant is computed by an op"),
    "no inputs": ([make("RandomNormal", [], ["c"], shape=[3])], {}, "a constant is computed by an operator"),
    "constant without a value": ([make("Constant", [], ["c"])], {}, "a constant without a numeric value"),
    "constant of text": ([make("Constant", [], ["c"], value_string=b"a")], {}, "without a numeric value"),
    "constant of a wrong type": ([make("Constant", [], ["c"], value_int=1.5)], {}, "without a numeric value"),
    "overflow": ([make("Mul", ["w", "w"], ["c"])], {"w": np.full(8, 1e38, np.float32)}, "NaN or infinite"),
    "root of a negative number": ([make("Sqrt", ["w"], ["c"])], {"w": -np.ones(8, np.float32)}, "NaN or infinite"),
}


# what the type of a computed constant does not hold: E117
LOST = {
    "cast of a large number": ([make("Cast", ["w"], ["c"], to=7)], {"w": np.float32([1e20])}, "int64 does not hold"),
    "cast to a narrow float": ([make("Cast", ["w"], ["c"], to=10)], {"w": np.float32([1e20])}, "NaN or infinite"),
    "cast of NaN": (
        [make("Sub", ["v", "v"], ["z"]), make("Div", ["z", "z"], ["n"]), make("Cast", ["n"], ["c"], to=7)],
        {"v": noise(1)},
        "division by zero",
    ),
    "power over 53 bits": ([make("Pow", ["w", "k"], ["c"])], {"w": ints(3), "k": np.float32([40])}, "float64 does not"),
    "negative power of 0": ([make("Pow", ["w", "k"], ["c"])], {"w": ints(0), "k": ints(-1)}, "float64 does not hold"),
    "power over 31 bits": (
        [make("Pow", ["w", "k"], ["c"])],
        {"w": np.array([10], np.int32), "k": ints(10)},
        "int32 does not hold",
    ),
    "product over 53 bits": ([make("ReduceProd", ["w"], ["c"])], {"w": ints(2**40, 2**14)}, "float64 does not hold"),
    "sum over 31 bits": ([make("ReduceSum", ["w"], ["c"])], {"w": np.full(3, 2**30, np.int32)}, "int32 does not hold"),
    "sum that overflows in one order": (
        [make("ReduceSum", ["w"], ["c"])],
        {"w": np.float32([3e38, -3e38, 3e38])},
        "NaN or infinite",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_value_that_its_type_does_not_hold_is_refused(save_onnx: Save, name: str) -> None:
    nodes, weights, reason = LOST[name]
    with pytest.raises(ModelError, match=reason) as refusal:
        load_model(save_onnx([*nodes, make("Add", ["x", "c"], ["y"])], weights))
    assert refusal.value.code == "E117"
    assert refusal.value.hint


@pytest.mark.parametrize("name", BROKEN)
def test_malformed_constant_is_refused_with_its_reason(save_onnx: Save, name: str) -> None:
    nodes, weights, reason = BROKEN[name]
    with pytest.raises(ModelError, match=reason) as refusal:
        load_model(save_onnx([*nodes, make("Add", ["x", "c"], ["y"])], weights))
    assert refusal.value.exit_status == 3


FLAT = (6,)
MATRIX = noise(4, 6)
WAYS = {
    "initializer": ([], {"w": MATRIX}),
    "Constant": ([constant("w", MATRIX)], {}),
    "Identity": ([make("Identity", ["v"], ["w"])], {"v": MATRIX}),
    "two Identities of a Constant": (
        [constant("u", MATRIX), make("Identity", ["u"], ["v"]), make("Identity", ["v"], ["w"])],
        {},
    ),
    "Reshape": ([make("Reshape", ["v", "s"], ["w"])], {"v": MATRIX.reshape(2, 12), "s": ints(4, -1)}),
    "Reshape with 0": ([make("Reshape", ["v", "s"], ["w"])], {"v": MATRIX.reshape(4, 2, 3), "s": ints(0, 6)}),
    "Transpose": ([make("Transpose", ["v"], ["w"])], {"v": np.ascontiguousarray(MATRIX.T)}),
    "Transpose with perm": ([make("Transpose", ["v"], ["w"], perm=[1, 0])], {"v": np.ascontiguousarray(MATRIX.T)}),
    "Unsqueeze and Squeeze": (
        [make("Unsqueeze", ["v", "a"], ["u"]), make("Squeeze", ["u", "a"], ["w"])],
        {"v": MATRIX, "a": ints(1)},
    ),
    "Squeeze of all": ([make("Squeeze", ["v"], ["w"])], {"v": MATRIX[None]}),
    "Slice": ([make("Slice", ["v", "s", "e"], ["w"])], {"v": noise(6, 8), "s": ints(1, 0), "e": ints(-1, 6)}),
    "Slice backwards": (
        [make("Slice", ["v", "s", "e", "a", "t"], ["w"])],
        {"v": MATRIX, "s": ints(-1), "e": ints(-(2**63) + 1), "a": ints(0), "t": ints(-1)},
    ),
    "Concat": ([make("Concat", ["v", "u"], ["w"], axis=0)], {"v": noise(1, 6), "u": noise(3, 6)}),
    "Gather": ([make("Gather", ["v", "i"], ["w"])], {"v": noise(9, 6), "i": ints(0, 8, -1, 3)}),
    "Cast": ([make("Cast", ["v"], ["w"], to=TensorProto.FLOAT)], {"v": MATRIX.astype(np.float16)}),
    "arithmetic": (
        [
            make("Mul", ["v", "g"], ["a"]),
            make("Neg", ["a"], ["b"]),
            make("Sqrt", ["q"], ["r"]),
            make("Div", ["b", "r"], ["c"]),
            make("Sub", ["c", "g"], ["d"]),
            make("Add", ["d", "g"], ["w"]),
        ],
        {"v": MATRIX, "g": noise(4, 1), "q": np.abs(noise(6)) + 1},
    ),
    "ConstantOfShape": (
        [make("ConstantOfShape", ["s"], ["w"], value=numpy_helper.from_array(np.float32([0.5])))],
        {"s": ints(4, 6)},
    ),
    "Expand": ([make("Expand", ["v", "s"], ["w"])], {"v": noise(4, 1), "s": ints(1, 6)}),
    "Range": (
        [make("Range", ["a", "b", "d"], ["r"]), make("Reshape", ["r", "s"], ["w"])],
        {"a": np.float32(0), "b": np.float32(24), "d": np.float32(1), "s": ints(4, 6)},
    ),
    "Tile": ([make("Tile", ["v", "r"], ["w"])], {"v": noise(2, 6), "r": ints(2, 1)}),
    "Where": (
        [make("Greater", ["v", "z"], ["q"]), make("Not", ["q"], ["n"]), make("Where", ["n", "v", "z"], ["w"])],
        {"v": MATRIX, "z": np.float32(0.3)},
    ),
    "choices": (
        [
            make("Less", ["v", "z"], ["a"]),
            make("Equal", ["k", "k"], ["b"]),
            make("Or", ["a", "b"], ["c"]),
            make("And", ["a", "c"], ["d"]),
            make("Min", ["v", "z"], ["e"]),
            make("Max", ["e", "z"], ["f"]),
            make("Where", ["d", "f", "v"], ["w"]),
        ],
        {"v": MATRIX, "z": np.float32(0.3), "k": ints(1)},
    ),
    "weights in whole numbers, a scale a row": (
        [make("DequantizeLinear", ["v", "s", "z"], ["w"], axis=0)],
        {"v": np.int8(127 * np.tanh(MATRIX)), "s": np.abs(noise(4)) / 50, "z": np.int8([3, 0, -5, 1])},
    ),
    "weights that are rounded": (
        [make("QuantizeLinear", ["v", "s"], ["q"]), make("DequantizeLinear", ["q", "s"], ["w"])],
        {"v": MATRIX, "s": np.float32(0.05)},
    ),
    "largest of three": ([make("Max", ["v", "z", "u"], ["w"])], {"v": MATRIX, "z": np.float32(-9), "u": noise(6)}),
    "smallest of one": ([make("Min", ["v"], ["w"])], {"v": MATRIX}),
    "remainders": (
        [
            make("Mod", ["v", "u"], ["a"], fmod=1),
            make("Mod", ["i", "j"], ["b"]),
            make("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
            make("Add", ["a", "c"], ["w"]),
        ],
        {"v": 9 * MATRIX, "u": np.float32(-2.5), "i": ints(-7, 7, -8, 8, 0, 1), "j": ints(3, -3, -1, 5, 2, -9)},
    ),
    "powers": (
        [
            make("Pow", ["i", "f"], ["a"]),
            make("Pow", ["i", "n"], ["b"]),
            make("Cast", ["a"], ["c"], to=TensorProto.FLOAT),
            make("Cast", ["b"], ["d"], to=TensorProto.FLOAT),
            make("Mul", ["c", "v"], ["e"]),
            make("Add", ["d", "e"], ["w"]),
        ],
        {"v": MATRIX, "i": ints(1, 2, 3, 4, -5, 6), "f": np.float32(2), "n": ints(-1)},
    ),
    "Flatten from the end": (
        [make("Flatten", ["v"], ["u"], axis=-1), make("Flatten", ["u"], ["w"], axis=1)],
        {"v": MATRIX.reshape(2, 2, 6)},
    ),
    "Flatten of all": (
        [make("Flatten", ["v"], ["u"], axis=0), make("Reshape", ["u", "s"], ["w"])],
        {"v": MATRIX, "s": ints(4, -1)},
    ),
    "part of a shape": (
        [make("Shape", ["v"], ["s"], start=1, end=-1), make("Reshape", ["u", "s"], ["w"])],
        {"v": noise(1, 4, 6, 2), "u": MATRIX},
    ),
    "Slice from before the first": (
        [make("Slice", ["v", "s", "e", "a", "t"], ["u"]), make("Add", ["u", "m"], ["w"])],
        {"v": noise(2, 6), "s": ints(-9), "e": ints(-99), "a": ints(-2), "t": ints(-1), "m": MATRIX},
    ),
    "functions": (
        [
            make("Abs", ["v"], ["a"]),
            make("Exp", ["a"], ["b"]),
            make("Reciprocal", ["b"], ["c"]),
            make("Pow", ["c", "k"], ["d"]),
            make("Round", ["d"], ["e"]),
            make("Add", ["e", "d"], ["w"]),
        ],
        {"v": MATRIX, "k": np.float32(3)},
    ),
    "sizes": (
        [
            make("Shape", ["v"], ["s"]),
            make("ReduceProd", ["s", "zero"], ["p"]),
            make("Size", ["v"], ["q"]),
            make("Div", ["p", "six"], ["rows"]),
            make("Unsqueeze", ["q", "zero"], ["all"]),
            make("Div", ["all", "rows"], ["columns"]),
            make("Concat", ["rows", "columns"], ["target"], axis=0),
            make("Reshape", ["v", "target"], ["w"]),
        ],
        {"v": noise(2, 12), "six": ints(6), "zero": ints(0)},
    ),
    "reductions": (
        [
            make("ReduceMean", ["v"], ["a"], axes=[1]),
            make("ReduceMax", ["v"], ["b"], axes=[0]),
            make("ReduceMin", ["v"], ["c"], axes=[0], keepdims=0),
            make("ReduceL2", ["v"], ["d"], axes=[1]),
            make("Add", ["a", "b"], ["e"]),
            make("Sub", ["c", "d"], ["f"]),
            make("Add", ["e", "f"], ["g"]),
            make("CastLike", ["g", "v"], ["h"]),
            make("Flatten", ["h"], ["w"]),
        ],
        {"v": MATRIX},
    ),
    "integer arithmetic": (
        [
            make("Div", ["i", "j"], ["k"]),
            make("Cast", ["k"], ["f"], to=TensorProto.FLOAT),
            make("Floor", ["f"], ["g"]),
            make("Ceil", ["g"], ["h"]),
            make("Reshape", ["h", "s"], ["w"]),
        ],
        {"i": np.arange(-12, 12), "j": ints(5), "s": ints(4, 6)},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_weights_are_found_however_they_are_written(save_onnx: Save, way: str) -> None:
    nodes, weights = WAYS[way]
    opset = 17 if way == "reductions" else 18  # as long as axes were attributes
    loaded = load_model(save_onnx([*nodes, make("Gemm", ["x", "w"], ["y"], transB=1)], weights, FLAT, opset=opset))
    (node,) = loaded.graph.nodes
    assert isinstance(node.operator, Linear)
    assert loaded.compare(noise(3, 6, seed=1)).max_error < 1e-5
    assert [origin.fate for origin in loaded.graph.origins] == ["constant"] * len(nodes) + [""]


@pytest.mark.parametrize(
    "attributes", [{"value_float": 2.0}, {"value_floats": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}, {"value_floats": [0.5]}]
)
def test_numbers_of_a_constant_node_are_read(save_onnx: Save, attributes: dict[str, object]) -> None:
    loaded = load_model(
        save_onnx([make("Constant", [], ["c"], **attributes), make("Mul", ["x", "c"], ["y"])], {}, FLAT)
    )
    assert loaded.compare(noise(3, 6)).max_error < 1e-6


def test_weight_larger_than_the_limit_may_be_transposed(save_onnx: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_ELEMENTS", 10)
    nodes = [make("Transpose", ["v"], ["w"]), make("Gemm", ["x", "w"], ["y"], transB=1)]
    assert load_model(save_onnx(nodes, {"v": noise(6, 4)}, FLAT)).graph.shapes["y"] == (4,)


def test_weight_is_shared_between_nodes(save_onnx: Save) -> None:
    nodes = [
        make("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        make("Conv", ["a", "w", "b"], ["b1"], pads=[1, 1, 1, 1]),
        make("Add", ["b1", "a"], ["y"]),
    ]
    loaded = load_model(save_onnx(nodes, {"w": noise(3, 3, 3, 3), "b": noise(3)}))
    assert sum(isinstance(node.operator, Convolution) for node in loaded.graph.nodes) == 2
    assert loaded.compare(noise(3, 3, 8, 8)).max_error < 1e-5


def test_initializer_may_be_listed_as_an_input(save_onnx: Save) -> None:
    def list_it(model: onnx.ModelProto) -> None:
        value = helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 6])
        model.graph.input.insert(0, value)

    loaded = load_model(save_onnx([make("Gemm", ["x", "w"], ["y"], transB=1)], {"w": MATRIX}, FLAT, change=list_it))
    assert loaded.graph.input == "x"
    assert loaded.compare(noise(3, 6)).max_error < 1e-6


def flatten_by_shape() -> list[onnx.NodeProto]:
    return [
        make("Shape", ["x"], ["shape"]),
        make("Gather", ["shape", "zero"], ["n"]),
        make("Unsqueeze", ["n", "axes"], ["batch"]),
        make("Concat", ["batch", "rest"], ["target"], axis=0),
        make("Reshape", ["x", "target"], ["y"]),
    ]


CHAIN = {"zero": np.array(0), "axes": ints(0), "rest": ints(-1)}


@pytest.mark.parametrize("batch", ["N", 1, 10])
@pytest.mark.parametrize("rest", [ints(-1), ints(192), ints(3, -1), ints(3, 64)])
def test_reshape_to_a_computed_shape_is_read(save_onnx: Save, batch: int | str, rest: np.ndarray) -> None:
    loaded = load_model(save_onnx(flatten_by_shape(), {**CHAIN, "rest": rest}, batch=batch))
    (node,) = loaded.graph.nodes
    assert isinstance(node.operator, Reshape)
    assert loaded.compare(noise(7, 3, 8, 8)).max_error == 0


@pytest.mark.parametrize("batch", ["N", 4])
def test_sizes_are_computed_with(save_onnx: Save, batch: int | str) -> None:
    """The shape of the sample, cut, multiplied and divided, as exporters write view(x.size(0), -1, h // 2, ...)."""
    nodes = [
        make("Shape", ["x"], ["batch"], start=0, end=1),
        make("Shape", ["x"], ["space"], start=-2),
        make("Shape", ["w"], ["two"]),
        make("Div", ["space", "two"], ["half"]),
        make("Mul", ["two", "two"], ["four"]),
        make("Concat", ["batch", "minus", "half", "four"], ["target"], axis=0),
        make("Reshape", ["x", "target"], ["y"]),
    ]
    loaded = load_model(save_onnx(nodes, {"w": noise(2), "minus": ints(-1)}, batch=batch))
    assert loaded.graph.shapes["y"] == (3, 4, 4, 4)
    assert loaded.compare(noise(4, 3, 8, 8)).max_error == 0


def test_pad_by_half_of_the_channels_is_read(save_onnx: Save) -> None:
    """The parameter-free shortcut as the exporter of torch writes it: pads reversed and transposed from a list."""
    nodes = [
        make("ConstantOfShape", ["six"], ["zeros"], value=numpy_helper.from_array(ints(0))),
        make("Concat", ["listed", "zeros"], ["all"], axis=0),
        make("Reshape", ["all", "pairs"], ["table"]),
        make("Slice", ["table", "last", "first", "zero", "back"], ["turned"]),
        make("Transpose", ["turned"], ["columns"], perm=[1, 0]),
        make("Reshape", ["columns", "flat"], ["pads64"]),
        make("Cast", ["pads64"], ["pads"], to=TensorProto.INT64),
        make("Pad", ["x", "pads"], ["y"]),
    ]
    weights = {
        "six": ints(2),
        "listed": ints(0, 0, 0, 1, 2, 2),
        "pairs": ints(-1, 2),
        "last": ints(-1),
        "first": ints(-(2**63) + 1),
        "zero": ints(0),
        "back": ints(-1),
        "flat": ints(-1),
    }
    loaded = load_model(save_onnx(nodes, weights))
    assert loaded.graph.shapes["y"] == (7, 9, 8)
    assert loaded.compare(noise(3, 3, 8, 8)).max_error == 0
