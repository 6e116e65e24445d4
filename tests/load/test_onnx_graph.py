"""Nodes that cannot be taken: refused by name, with a reason, before ONNX Runtime sees them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from snnconvert.errors import ModelError
from snnconvert.load import load_model, reference

make = helper.make_node
Save = Callable[..., Path]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@dataclass
class Refusal:
    """Nodes, the last of which is refused with this code and these words."""

    code: str
    words: str
    nodes: list[onnx.NodeProto]
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    shape: tuple[int, ...] = (4, 8, 7)
    opset: int = 18
    batch: int | str = "N"


def refuse(
    code: str, words: str, op_type: str, *inputs: str, weights: dict[str, np.ndarray] | None = None, **rest: object
) -> Refusal:
    ours = {key: rest.pop(key) for key in ("shape", "opset", "batch") if key in rest}
    node = make(op_type, ["x", *inputs], ["y"], name="node", **rest)
    return Refusal(code, words, [node], weights or {}, **ours)  # type: ignore[arg-type]


W = {"w": noise(6, 4, 3, 3)}
NORMAL = {name: np.abs(noise(4, seed=seed)) + 0.1 for seed, name in enumerate("gbmv")}
POOL = {"kernel_shape": [2, 2]}
SUBGRAPH = helper.make_graph(
    [make("Relu", ["x"], ["inner"])], "body", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)]
)

OPERATORS = {
    "unknown": refuse("E120", "operator Frobnicate is not supported: no exact spiking form", "Frobnicate"),
    "misspelt": refuse("E120", "operator Rleu is not supported", "Rleu"),
    "sigmoid": Refusal(
        "E120", "it is no rectifier, and a gate", [make("Sigmoid", ["x"], ["a"]), make("Relu", ["a"], ["y"])]
    ),
    "tanh": refuse("E120", "it is no rectifier", "Tanh"),
    "elu": refuse("E120", "it is no rectifier", "Elu"),
    "hard swish": refuse("E120", "it is no rectifier", "HardSwish"),
    "gelu": refuse("E120", "it is no rectifier", "Gelu", opset=20),
    "gelu by erf": Refusal(
        "E120",
        "operator Erf is not supported: it is no rectifier (GELU)",
        [
            make("Div", ["x", "root"], ["a"]),
            make("Erf", ["a"], ["b"]),
            make("Add", ["b", "one"], ["c"]),
            make("Mul", ["x", "c"], ["d"]),
            make("Mul", ["d", "half"], ["y"]),
        ],
        {"root": np.float32(1.4142), "one": np.float32(1), "half": np.float32(0.5)},
    ),
    "layer norm": refuse("E120", "divides by a statistic", "LayerNormalization", "s", weights={"s": noise(7)}),
    "local response": refuse("E120", "divides by the activity", "LRN", size=3),
    "lstm": refuse("E120", "operator LSTM", "LSTM", "w", weights={"w": noise(1, 4, 7)}, hidden_size=1),
    "if": refuse("E120", "holds a graph of its own", "If", then_branch=SUBGRAPH, else_branch=SUBGRAPH),
    "loop": refuse("E120", "holds a graph of its own", "Loop", "", body=SUBGRAPH),
    "custom domain": refuse("E120", "operator of the domain 'com.acme'", "Relu", domain="com.acme"),
    "contrib domain": refuse("E120", "operator of the domain 'com.microsoft'", "FusedConv", domain="com.microsoft"),
    "custom constant": Refusal(
        "E120",
        "operator of the domain 'com.acme'",
        [make("Constant", [], ["c"], value_float=1.0, domain="com.acme"), make("Add", ["x", "c"], ["y"])],
    ),
    "softmax in the middle": Refusal(
        "E123", "only a final one can be dropped", [make("Softmax", ["x"], ["s"]), make("Relu", ["s"], ["y"])]
    ),
    "product of two values": Refusal(
        "E123",
        "the product of two values has no rate-coded form",
        [make("Relu", ["x"], ["a"]), make("Mul", ["a", "x"], ["y"])],
    ),
    "quotient of two values": Refusal(
        "E123", "the quotient of two values", [make("Relu", ["x"], ["a"]), make("Div", ["a", "x"], ["y"])]
    ),
    "constant / x": Refusal(
        "E123", "division by a value is not linear", [make("Div", ["c", "x"], ["y"])], {"c": noise(1)}
    ),
    "x / 0": refuse("E123", "division by zero", "Div", "c", weights={"c": np.zeros(1, np.float32)}),
    "product of matrices of values": Refusal(
        "E123", "must be constant", [make("MatMul", ["x", "x"], ["y"])], shape=(7, 7)
    ),
    "clip to nothing": refuse(
        "E123",
        "it clips to 0 from below and to 0 from above",
        "Clip",
        "l",
        "h",
        weights={"l": np.float32(0), "h": np.float32(0)},
    ),
    "clip by a vector": refuse("E123", "a bound of shape (7,)", "Clip", "l", weights={"l": noise(7)}),
    "clip by a value": refuse("E123", "must be constant", "Clip", "x"),
    "batch norm in training": refuse(
        "E123", "training_mode = 1", "BatchNormalization", *"gbmv", weights=NORMAL, training_mode=1
    ),
    "batch norm in training, by its outputs": Refusal(
        "E123",
        "training_mode = 1",
        [make("BatchNormalization", ["x", *"gbmv"], ["y", "mean", "var", "saved", "saved2"])],
        NORMAL,
        opset=9,
    ),
    "batch norm of other channels": refuse(
        "E123", "parameters of size 5 for 4", "BatchNormalization", *"gbmv", weights={**NORMAL, "g": noise(5)}
    ),
    "batch norm, negative variance": refuse(
        "E123", "a negative variance", "BatchNormalization", *"gbmv", weights={**NORMAL, "v": -NORMAL["v"]}
    ),
    "batch norm, no variance": refuse(
        "E123", "is zero", "BatchNormalization", *"gbmv", weights={**NORMAL, "v": 0 * NORMAL["v"]}, epsilon=0.0
    ),
    "batch norm, overflow": refuse(
        "E113",
        "NaN or infinite",
        "BatchNormalization",
        *"gbmv",
        weights={**NORMAL, "g": NORMAL["g"] * 1e38, "v": NORMAL["v"] * 1e-30},
        epsilon=0.0,
    ),
    "dropout in training": refuse(
        "E123", "training_mode is set", "Dropout", "", "t", weights={"t": np.array(True)}, opset=13
    ),
    "cast to float16": refuse("E123", "a cast to type 10", "Cast", to=TensorProto.FLOAT16),
    "second output": Refusal(
        "E123",
        "its output 2 is used",
        [make("Dropout", ["x"], ["d", "mask"]), make("Add", ["d", "mask"], ["y"])],
    ),
    "sum with a constant that spreads": refuse("E123", "would spread it", "Sum", "c", weights={"c": noise(8, 1, 1)}),
    "quantised activations": Refusal(
        "E120",
        "QuantizeLinear is not supported: it rounds activations, as spikes do",
        [make("QuantizeLinear", ["x", "s"], ["q"]), make("DequantizeLinear", ["q", "s"], ["y"])],
        {"s": np.float32(0.1)},
    ),
    "add of three": refuse("E123", "3 inputs", "Add", "x", "c", weights={"c": noise(1)}),
    "add of one": refuse("E123", "1 inputs", "Add"),
    "relu of nothing": Refusal("E120", "a constant is computed", [make("Relu", [], ["y"])]),
    "relu of an empty name": Refusal("E120", "a constant is computed", [make("Relu", [""], ["y"])]),
    "attribute of another type": refuse("E123", "'group' is no integer", "Conv", "w", weights=W, group=1.5),
    "attribute that refers": Refusal("E123", "of a type that is not supported", [make("Relu", ["x"], ["y"])]),
}
OPERATORS["attribute that refers"].nodes[0].attribute.add(name="a", ref_attr_name="b")

BATCH = {
    "reshape, batch to 1": refuse("E123", "reshapes the batch axis", "Reshape", "s", weights={"s": ints(1, -1)}),
    "reshape, batch to 2": refuse("E123", "reshapes the batch axis", "Reshape", "s", weights={"s": ints(2, -1)}),
    "reshape, all flat": refuse("E123", "reshapes the batch axis", "Reshape", "s", weights={"s": ints(-1)}),
    "reshape, batch to the end": refuse("E123", "reshapes the batch", "Reshape", "s", weights={"s": ints(4, 8, 7, -1)}),
    "reshape, batch 10 to 5": refuse(
        "E123", "reshapes the batch axis", "Reshape", "s", weights={"s": ints(5, -1)}, batch=10
    ),
    "reshape, no such size": refuse("E123", "shape (-1, 5) for samples", "Reshape", "s", weights={"s": ints(-1, 5)}),
    "reshape, two -1": refuse("E123", "shape (-1, -1) for samples", "Reshape", "s", weights={"s": ints(-1, -1)}),
    "reshape, -2": refuse("E123", "shape (0, -2) for samples", "Reshape", "s", weights={"s": ints(0, -2)}),
    "reshape to nothing": refuse("E123", "reshapes the batch axis", "Reshape", "s", weights={"s": ints()}, shape=(1,)),
    "reshape, overflow": refuse(
        "E123", "for samples of shape", "Reshape", "s", weights={"s": ints(0, 2**33, 2**33)}, shape=(4,)
    ),
    "reshape by a value": refuse("E123", "must be constant", "Reshape", "x"),
    "flatten, axis 0": refuse("E123", "flattens across the batch", "Flatten", axis=0),
    "flatten, axis 2": refuse("E123", "flattens across the batch", "Flatten", axis=2),
    "transpose": refuse("E123", "moves the batch axis", "Transpose", perm=[1, 0, 2, 3]),
    "transpose, default": refuse("E123", "moves the batch axis", "Transpose"),
    "transpose, no permutation": refuse("E123", "perm (0, 1, 1, 2)", "Transpose", perm=[0, 1, 1, 2]),
    "slice": refuse("E123", "it slices the batch", "Slice", *"sea", weights={"s": ints(0), "e": ints(1), "a": ints(0)}),
    "slice, half": refuse(
        "E123", "it slices the batch", "Slice", *"se", weights={"s": ints(0), "e": ints(5)}, batch=10
    ),
    "slice, step 0": refuse(
        "E123", "step 0", "Slice", *"seat", weights={"s": ints(0), "e": ints(9), "a": ints(1), "t": ints(0)}
    ),
    "slice, lengths": refuse("E123", "differ in length", "Slice", *"se", weights={"s": ints(0, 0), "e": ints(1)}),
    "slice to nothing": refuse("E124", "empty", "Slice", *"sea", weights={"s": ints(3), "e": ints(2), "a": ints(1)}),
    "squeeze": refuse("E123", "works across the batch", "Squeeze", "a", weights={"a": ints(0)}, batch=1),
    "squeeze, all": refuse("E123", "the batch included", "Squeeze", batch=1),
    "squeeze of a long axis": refuse("E123", "not all of size 1", "Squeeze", "a", weights={"a": ints(2)}),
    "unsqueeze": refuse("E123", "works across the batch", "Unsqueeze", "a", weights={"a": ints(0)}),
    "unsqueeze, twice": refuse("E123", "name one axis twice", "Unsqueeze", "a", weights={"a": ints(2, 2)}),
    "unsqueeze, beyond": refuse("E123", "axis 9 of a tensor", "Unsqueeze", "a", weights={"a": ints(9)}),
    "concat": refuse("E123", "works across the batch", "Concat", "x", axis=0),
    "concat with a constant": refuse(
        "E123", "joins values and constants", "Concat", "c", axis=1, weights={"c": noise(1)}
    ),
    "mean": refuse("E123", "works across the batch", "ReduceMean", "a", weights={"a": ints(0)}),
    "mean of all": refuse("E123", "the batch included", "ReduceMean"),
    "gemm": refuse("E123", "transA mixes the samples", "Gemm", "w", weights={"w": noise(7, 5)}, transA=1, shape=(7,)),
    "gemm, C by sample": refuse(
        "E123",
        "differs from sample to sample",
        "Gemm",
        *"wc",
        weights={"w": noise(7, 5), "c": noise(10, 5)},
        shape=(7,),
        batch=10,
    ),
    "add by sample": refuse("E123", "a constant of shape (10, 1)", "Add", "c", weights={"c": noise(10, 1)}, shape=(7,)),
    "add that spreads": refuse("E123", "or would spread it", "Add", "c", weights={"c": noise(5)}, shape=(1,)),
    "pad of the batch": refuse("E123", "it pads the batch", "Pad", "p", weights={"p": ints(1, 0, 0, 0, 0, 0, 0, 0)}),
    "pad, negative": refuse("E123", "negative pads", "Pad", "p", weights={"p": ints(0, 0, -1, 0, 0, 0, 0, 0)}),
    "pad, unknown mode": refuse(
        "E123", "mode 'mirror'", "Pad", "p", weights={"p": ints(0, 0, 1, 0, 0, 0, 0, 0)}, mode="mirror"
    ),
    "expand of the batch": refuse("E123", "it spreads the batch", "Expand", "s", weights={"s": ints(7, 4, 8, 7)}),
    "expand to another size": refuse("E123", "does not spread to", "Expand", "s", weights={"s": ints(1, 3, 8, 7)}),
    "expand to terabytes": refuse(
        "E122", "makes a sample of more", "Expand", "s", weights={"s": ints(1, 2**40)}, shape=(1,)
    ),
    "tile of the batch": refuse("E123", "repeats (2, 1, 1, 1)", "Tile", "r", weights={"r": ints(2, 1, 1, 1)}),
    "tile to terabytes": refuse("E122", "makes a sample of more", "Tile", "r", weights={"r": ints(1, 2**40, 1, 1)}),
    "gather beyond": refuse("E123", "an index beyond the 4", "Gather", "i", weights={"i": ints(4)}, axis=1),
    "gather by a table": refuse(
        "E123", "an index of shape (1, 2)", "Gather", "i", weights={"i": ints(0, 1)[None]}, axis=1
    ),
    "resize by 0": refuse("E123", "scale 0", "Resize", "", "s", weights={"s": np.float32([1, 1, 0, 1])}),
    "resize of the batch": refuse(
        "E123", "resizes the batch", "Resize", "", "s", weights={"s": np.float32([2, 1, 1, 1])}
    ),
    "resize to terabytes": refuse(
        "E122", "makes a sample of more", "Resize", "", "s", weights={"s": np.float32([1, 1, 2**20, 2**20])}
    ),
    "resize of a long axis": refuse(
        "E122",
        "it makes 8192 elements of 4096 along axis 1",
        *("Resize", "", "s"),
        weights={"s": np.float32([1, 2])},
        shape=(4096,),
        mode="linear",
    ),
    "pool of large windows": refuse(
        "E122", "one sample takes more than 3e", "AveragePool", kernel_shape=[1024] * 2, shape=(1, 2048, 2048)
    ),
    "resize, cubic": refuse(
        "E123", "mode 'cubic'", "Resize", "", "s", weights={"s": np.float32([1, 1, 2, 2])}, mode="cubic"
    ),
    "resize without sizes": refuse("E123", "neither scales nor sizes", "Resize"),
    "split to other sizes": refuse("E123", "parts of sizes (1, 1)", "Split", "s", weights={"s": ints(1, 1)}, axis=1),
    "depth to space, blocks of 3": refuse("E123", "blocksize 3", "DepthToSpace", blocksize=3),
    "transposed conv of other weights": refuse(
        "E124", "expects 5 channels", "ConvTranspose", "w", weights={"w": noise(5, 6, 3, 3)}
    ),
    "transposed conv, all cut off": refuse(
        "E124", "leave nothing", "ConvTranspose", "w", weights={"w": noise(4, 6, 3, 3)}, pads=[5, 5, 5, 5]
    ),
    "transposed conv to terabytes": refuse(
        "E122", "makes a sample of more", "ConvTranspose", "w", weights={"w": noise(4, 6, 3, 3)}, strides=[2**20] * 2
    ),
    "transposed conv, much added": refuse(
        "E123", "output_padding (1, 1)", "ConvTranspose", "w", weights={"w": noise(4, 6, 3, 3)}, output_padding=[1, 1]
    ),
    "prelu of a slope for each sample": refuse(
        "E123", "a constant of shape", "PRelu", "s", weights={"s": noise(3, 1, 1, 1)}
    ),
    "ceil_mode 3": refuse("E123", "'ceil_mode' is 3, neither 0 nor 1", "MaxPool", kernel_shape=[2, 2], ceil_mode=3),
    "max with an array": refuse("E123", "one number is supported", "Max", "x", "c", weights={"c": noise(4, 1, 1)}),
    "sum over everything": refuse("E123", "the batch included", "ReduceSum"),
    "largest of a row": refuse("E123", "all axes of space", "ReduceMax", "a", weights={"a": ints(3)}),
    "pad, too few": refuse("E123", "6 pads for 4 axes", "Pad", "p", weights={"p": ints(0, 0, 1, 0, 0, 0)}),
    "pad, beyond": refuse("E123", "axes (7,)", "Pad", "p", "", "a", weights={"p": ints(1, 1), "a": ints(7)}),
}

SIZES = {
    "pad to terabytes": refuse("E122", "make a sample of more", "Pad", "p", weights={"p": ints(*[0] * 7, 2**40)}),
    "conv over terabytes": refuse("E122", "make a sample of more", "Conv", "w", weights=W, pads=[2**20] * 4),
    "conv, pads 2**30": refuse("E123", "must lie between 0 and", "Conv", "w", weights=W, pads=[2**30] * 4),
    "conv, negative pads": refuse("E123", "must lie between 0 and", "Conv", "w", weights=W, pads=[-1] * 4),
    "conv, group 0": refuse("E123", "0 groups", "Conv", "w", weights=W, group=0),
    "conv, group 4 of 6": refuse("E123", "4 groups with weights of shape", "Conv", "w", weights=W, group=4),
    "conv, stride 0": refuse("E123", "must lie between 1 and", "Conv", "w", weights=W, strides=[0, 1]),
    "conv, dilation 0": refuse("E123", "must lie between 1 and", "Conv", "w", weights=W, dilations=[1, 0]),
    "conv, dilation 2**40": refuse("E123", "must lie between 1 and", "Conv", "w", weights=W, dilations=[1, 2**40]),
    "conv, kernel_shape": refuse("E123", "kernel_shape (5, 5) with", "Conv", "w", weights=W, kernel_shape=[5, 5]),
    "conv, strides of 3": refuse("E123", "for 2 dimensions", "Conv", "w", weights=W, strides=[1, 1, 1]),
    "conv, auto_pad": refuse("E123", "auto_pad 'MAYBE'", "Conv", "w", weights=W, auto_pad="MAYBE"),
    "conv, same with dilations": refuse(
        "E123", "auto_pad 'SAME_UPPER' with dilations", "Conv", "w", weights=W, auto_pad="SAME_UPPER", dilations=[2, 2]
    ),
    "conv in 3 dimensions": refuse("E123", "1 and 2 are supported", "Conv", "w", weights={"w": noise(6, 4, 3, 3, 3)}),
    "conv, channels": refuse("E124", "expects 5 channels, got 4", "Conv", "w", weights={"w": noise(6, 5, 3, 3)}),
    "conv, kernel too large": refuse("E124", "does not fit", "Conv", "w", weights={"w": noise(6, 4, 9, 9)}),
    "conv, bias": refuse("E123", "a bias of shape (5,)", "Conv", *"wb", weights={**W, "b": noise(5)}),
    "conv of integers": refuse(
        "E123", "type int64, not a float", "Conv", "w", weights={"w": np.ones((6, 4, 3, 3), "i8")}
    ),
    "conv by a value": refuse("E123", "must be constant", "Conv", "x"),
    "conv, rank": refuse("E123", "a window in 2 dimensions over", "Conv", "w", weights=W, shape=(4, 8)),
    "pool in 3 dimensions": refuse("E123", "1 and 2 are supported", "MaxPool", kernel_shape=[2, 2, 2]),
    "pool without a kernel": refuse("E123", "'kernel_shape' is missing", "AveragePool"),
    "pool, kernel too large": refuse("E123", "does not fit", "AveragePool", kernel_shape=[9, 9]),
    "pool in the padding": refuse("E123", "wholly in the padding", "MaxPool", **POOL, pads=[2, 0, 0, 0]),
    "mean in the padding": refuse("E123", "wholly in the padding", "AveragePool", **POOL, pads=[0, 0, 0, 2]),
    "global pool of features": refuse("E123", "has no axes of space", "GlobalAveragePool", shape=(4,)),
    "global maximum of features": refuse("E123", "a pool over a sample", "GlobalMaxPool", shape=(4,)),
    "gemm, features": refuse("E124", "expects 7 features", "Gemm", "w", weights={"w": noise(7, 5)}, shape=(6,)),
    "gemm of images": refuse("E123", "both must have rank 2", "Gemm", "w", weights={"w": noise(7, 5)}),
    "gemm, C": refuse(
        "E123", "C of shape (4,) for 5", "Gemm", *"wc", weights={"w": noise(7, 5), "c": noise(4)}, shape=(7,)
    ),
    "gemm, infinite alpha": refuse(
        "E113", "NaN or infinite", "Gemm", "w", weights={"w": noise(7, 5)}, shape=(7,), alpha=float("inf")
    ),
    "matmul of vectors": refuse("E123", "a matrix is supported", "MatMul", "w", weights={"w": noise(7)}),
    "float64 weight beyond float32": refuse("E113", "NaN or infinite", "Mul", "c", weights={"c": np.array([1e300])}),
    "sum of shapes": Refusal(
        "E123",
        "does not spread to",
        [make("MaxPool", ["x"], ["g"], kernel_shape=[2, 2]), make("Add", ["x", "g"], ["y"], name="node")],
    ),
    "value of gigabytes": Refusal(
        "E122",
        "one sample has shape",
        [make("Concat", [f"x{i}"] * 64 if i else ["x"] * 64, [f"x{i + 1}"], axis=1) for i in range(4)],
    ),
    "batch of gigabytes": Refusal(
        "E122", "a batch of 1000 samples", [make("Concat", ["x"] * 1500, ["y"], axis=1)], batch=1000
    ),
    "input of gigabytes": refuse("E122", "input 'x': one sample has shape", "Relu", shape=(2**20, 2**20)),
    "batch of the input": refuse("E122", "a batch of 1099511627776 samples", "Relu", batch=2**40),
}
REFUSALS = OPERATORS | BATCH | SIZES


@pytest.mark.parametrize("name", REFUSALS)
def test_node_is_refused_with_its_name_and_reason(save_onnx: Save, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        reference.onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("it reached the runtime")
    )
    each = REFUSALS[name]
    path = save_onnx(each.nodes, each.weights, each.shape, opset=each.opset, batch=each.batch)
    start = time.process_time()
    with pytest.raises(ModelError, match=r"^error\[E\d{3}\]: ") as refusal:
        load_model(path)
    assert time.process_time() - start < 2
    error = refusal.value
    assert error.code == each.code
    assert error.message.startswith(f"{path.name}: ")
    assert each.words in error.message
    assert "\n" not in str(error)
    assert error.exit_status == 3
    if len(each.nodes) == 1 and "input 'x'" not in error.message:
        assert f"node '{each.nodes[0].name or 'y'}'" in error.message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("misspelt", "did you mean 'Relu'?"),
        ("elu", "replace it by ReLU and train again"),
        ("if", "unroll it before export"),
        ("custom domain", "export to standard ONNX operators"),
        ("batch norm in training", "export the network in eval mode"),
        ("reshape, batch to 1", "keep axis 0"),
        ("batch of gigabytes", "dynamic batch"),
    ],
)
def test_refusal_hints_at_the_way_out(save_onnx: Save, name: str, hint: str) -> None:
    each = REFUSALS[name]
    with pytest.raises(ModelError, match=r"E\d{3}") as refusal:
        load_model(save_onnx(each.nodes, each.weights, each.shape, opset=each.opset, batch=each.batch))
    assert hint in (refusal.value.hint or "")


def test_nodes_that_the_output_does_not_need_are_neither_read_nor_run(save_onnx: Save) -> None:
    nodes = [
        make("ConstantOfShape", ["huge"], ["bomb"]),
        make("Frobnicate", ["x"], ["unknown"], domain="com.acme"),
        make("If", ["x"], ["inner"], then_branch=SUBGRAPH, else_branch=SUBGRAPH),
        make("Relu", ["gone"], ["dangling"]),
        make("Relu", ["x"], ["y"]),
    ]
    loaded = load_model(save_onnx(nodes, {"huge": ints(2**20, 2**20)}))
    assert [node.name for node in loaded.graph.nodes] == ["y"]
    assert [origin.fate for origin in loaded.graph.origins] == ["unused: the output does not need it"] * 4 + [""]
    assert loaded.compare(noise(2, 3, 8, 8)).max_error == 0


def test_many_nodes_with_second_outputs_are_read_in_time(save_onnx: Save) -> None:
    nodes = [make("Dropout", [f"v{i}" if i else "x"], [f"v{i + 1}", f"mask{i + 1}"]) for i in range(5000)]
    start = time.process_time()
    loaded = load_model(save_onnx(nodes, output="v5000"))
    assert time.process_time() - start < 10
    assert len(loaded.graph.nodes) == 5000


def test_nodes_of_one_name_are_told_apart(save_onnx: Save) -> None:
    nodes = [
        make("Relu", ["x"], ["a"], name="relu"),
        make("Relu", ["a"], ["b"], name="relu"),
        make("Relu", ["b"], ["c"], name="relu#1"),
        make("Relu", ["c"], ["y"], name="x"),
    ]
    loaded = load_model(save_onnx(nodes))
    assert [node.name for node in loaded.graph.nodes] == ["relu", "relu#1", "relu#1#2", "x#3"]
    assert loaded.graph.output == "x#3"


def test_constant_attribute_is_decoded_like_a_weight(save_onnx: Save) -> None:
    bad = numpy_helper.from_array(np.array([1, np.nan], np.float32))
    with pytest.raises(ModelError, match=r"tensor 'value' holds nan at \(1,\)") as refusal:
        load_model(save_onnx([make("Constant", [], ["c"], value=bad), make("Add", ["x", "c"], ["y"])]))
    assert refusal.value.code == "E113"
