"""Every ONNX operator, in each form that an opset gave it, is read as ONNX Runtime runs it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from snnconvert.load import load_model
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import AveragePool, Mean
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.reshape import Concat, Identity, Reshape, Transpose
from snnconvert.operators.resize import Interpolate
from snnconvert.operators.selection import Pad, Slice
from snnconvert.operators.sum import Sum
from snnconvert.operators.take import Take
from snnconvert.operators.transposed_convolution import TransposedConvolution

make = helper.make_node
NEWEST = onnx.defs.onnx_opset_version()


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


@dataclass
class Form:
    """One node (or a few) with its weights, the opsets in which it has this form, and what it must become."""

    operator: type | tuple[type, ...]
    nodes: list[onnx.NodeProto]
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    shape: tuple[int, ...] = (4, 8, 7)
    opsets: tuple[int, ...] = (18,)
    batch: int | str = "N"
    samples: int = 3


def form(
    operator: type | tuple[type, ...],
    op_type: str,
    *inputs: str,
    weights: dict[str, np.ndarray] | None = None,
    **rest: object,
) -> Form:
    ours = {key: rest.pop(key) for key in ("shape", "opsets", "batch", "samples") if key in rest}
    return Form(operator, [make(op_type, ["x", *inputs], ["y"], **rest)], weights or {}, **ours)  # type: ignore[arg-type]


KERNEL, KERNEL1 = {"w": noise(6, 4, 3, 2)}, {"w": noise(6, 4, 3)}
NORMAL = {name: np.abs(noise(4, seed=seed)) + 0.1 for seed, name in enumerate("gbmv")}
MATRIX, TURNED = {"w": noise(5, 7), "c": noise(5)}, {"w": noise(7, 5), "c": noise(5)}
FLAT = (7,)
SINCE_11, SINCE_13 = (11, 13, 18, NEWEST), (13, 18, NEWEST)
SPREAD = {"w": noise(4, 6, 3, 2)}
TWO_SIDED = (ReLU, Affine, ReLU, Affine, Sum)
REORDERED = (Reshape, Transpose, Reshape)
TWICE = np.float32([1, 1, 2, 3])
SPLIT_2 = [make("Split", ["x"], ["a", "b"], axis=1), make("Add", ["a", "b"], ["y"])]
POOL = {"kernel_shape": [3, 2], "strides": [2, 2]}

FORMS = {
    "relu": form(ReLU, "Relu", opsets=(7, 13, 14, NEWEST)),
    "clip, attributes": form(ReLU, "Clip", opsets=(7, 10), min=0.0, max=0.5),
    "clip, attributes, no ceiling": form(ReLU, "Clip", opsets=(7,), min=0.0),
    "clip, inputs": form(
        ReLU, "Clip", "l", "h", weights={"l": scalar(0), "h": scalar(0.5)}, opsets=(11, 12, 13, NEWEST)
    ),
    "clip, no ceiling": form(ReLU, "Clip", "l", weights={"l": scalar(0)}, opsets=(11, NEWEST)),
    "clip, empty ceiling": form(ReLU, "Clip", "l", "", weights={"l": scalar(0)}, opsets=(11, NEWEST)),
    "clip, the largest float": form(
        ReLU, "Clip", "l", "h", weights={"l": scalar(0), "h": scalar(np.finfo(np.float32).max)}, opsets=(11,)
    ),
    "clip, a bound that nothing reaches": form(
        (Affine, ReLU, Affine, ReLU, Affine, Sum),
        "Clip",
        "l",
        "h",
        weights={"l": scalar(-65504), "h": scalar(0.5)},
        opsets=(11, NEWEST),
    ),
    "clip, far from above": form(
        (Affine, ReLU, Affine, Sum), "Clip", "", "h", weights={"h": scalar(1e4)}, opsets=(11,)
    ),
    "conv": form(Convolution, "Conv", "w", weights=KERNEL, opsets=(7, 11, NEWEST)),
    "conv, all attributes": form(
        Convolution,
        "Conv",
        "w",
        "b",
        weights={"w": noise(6, 2, 3, 2), "b": noise(6)},
        group=2,
        strides=[2, 1],
        dilations=[1, 3],
        pads=[1, 0, 2, 3],
        kernel_shape=[3, 2],
    ),
    "conv, same upper": form(Convolution, "Conv", "w", weights=KERNEL, auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv, same lower": form(Convolution, "Conv", "w", weights=KERNEL, auto_pad="SAME_LOWER", strides=[2, 3]),
    "conv, valid": form(Convolution, "Conv", "w", weights=KERNEL, auto_pad="VALID"),
    "conv, empty bias": form(Convolution, "Conv", "w", "", weights=KERNEL),
    "conv in one dimension": form(Convolution, "Conv", "w", weights=KERNEL1, shape=(4, 9), pads=[1, 2], strides=[2]),
    "batch norm": form(Affine, "BatchNormalization", *"gbmv", weights=NORMAL, opsets=(7, 8, 9, 13, 14, 15, NEWEST)),
    "batch norm, epsilon": form(Affine, "BatchNormalization", *"gbmv", weights=NORMAL, epsilon=0.1, momentum=0.5),
    "batch norm of features": form(Affine, "BatchNormalization", *"gbmv", weights=NORMAL, shape=(4,), opsets=(9, 15)),
    "batch norm of sequences": form(Affine, "BatchNormalization", *"gbmv", weights=NORMAL, shape=(4, 9)),
    "batch norm, not training": form(Affine, "BatchNormalization", *"gbmv", weights=NORMAL, training_mode=0),
    "gemm": form(Linear, "Gemm", "w", "c", weights=TURNED, shape=FLAT, opsets=(7, 9, 11, 13, NEWEST)),
    "gemm, all attributes": form(
        Linear, "Gemm", "w", "c", weights=MATRIX, shape=FLAT, alpha=0.5, beta=-2.0, transA=0, transB=1
    ),
    "gemm, no C": form(Linear, "Gemm", "w", weights=MATRIX, shape=FLAT, transB=1, opsets=(11, NEWEST)),
    "gemm, C of one number": form(Linear, "Gemm", "w", "c", weights={"w": noise(7, 5), "c": noise(1)}, shape=FLAT),
    "gemm, C scalar": form(Linear, "Gemm", "w", "c", weights={"w": noise(7, 5), "c": scalar(2)}, shape=FLAT),
    "gemm, C of (1, O)": form(Linear, "Gemm", "w", "c", weights={"w": noise(7, 5), "c": noise(1, 5)}, shape=FLAT),
    "matmul": form(Linear, "MatMul", "w", weights=TURNED, shape=FLAT, opsets=(7, 9, 13, NEWEST)),
    "matmul on the last axis": form(Linear, "MatMul", "w", weights=TURNED, shape=(3, 7)),
    "max pool": form(MaxPool, "MaxPool", **POOL, opsets=(7, 8, 10, 11, 12, NEWEST)),
    "max pool, pads": form(MaxPool, "MaxPool", **POOL, pads=[1, 0, 2, 1]),
    "max pool, dilations": form(MaxPool, "MaxPool", **POOL, dilations=[2, 3], opsets=(10, 12)),
    "max pool, ceil": form(MaxPool, "MaxPool", kernel_shape=[3, 2], strides=[3, 2], ceil_mode=1, opsets=(10, NEWEST)),
    "max pool, ceil and pads": form(MaxPool, "MaxPool", **POOL, ceil_mode=1, pads=[1, 1, 1, 1]),
    "max pool, same upper": form(MaxPool, "MaxPool", **POOL, auto_pad="SAME_UPPER"),
    "max pool, same lower": form(MaxPool, "MaxPool", **POOL, auto_pad="SAME_LOWER"),
    "max pool, valid": form(MaxPool, "MaxPool", **POOL, auto_pad="VALID"),
    "max pool in one dimension": form(MaxPool, "MaxPool", kernel_shape=[3], strides=[2], shape=(4, 9)),
    "global max pool": form(MaxPool, "GlobalMaxPool", opsets=(7, NEWEST)),
    "average pool": form(AveragePool, "AveragePool", **POOL, opsets=(7, 10, 11, 19, NEWEST)),
    "average pool, pads": form(AveragePool, "AveragePool", **POOL, pads=[1, 0, 2, 1]),
    "average pool, pads counted": form(AveragePool, "AveragePool", **POOL, pads=[1, 0, 2, 1], count_include_pad=1),
    "average pool, ceil": form(
        AveragePool, "AveragePool", kernel_shape=[3, 2], strides=[3, 2], ceil_mode=1, opsets=(10, 18, 19, NEWEST)
    ),
    "average pool, ceil and pads": form(AveragePool, "AveragePool", **POOL, ceil_mode=1, pads=[1, 1, 1, 1]),
    "average pool, ceil and pads counted": form(
        AveragePool, "AveragePool", **POOL, ceil_mode=1, pads=[1, 1, 1, 1], count_include_pad=1, opsets=(19, NEWEST)
    ),
    "average pool, same upper": form(AveragePool, "AveragePool", **POOL, auto_pad="SAME_UPPER"),
    "average pool, same lower": form(AveragePool, "AveragePool", **POOL, auto_pad="SAME_LOWER"),
    "average pool, same, counted": form(
        AveragePool, "AveragePool", **POOL, auto_pad="SAME_UPPER", count_include_pad=1, opsets=(11, NEWEST)
    ),
    "average pool, dilations": form(AveragePool, "AveragePool", **POOL, dilations=[2, 3], opsets=(19, NEWEST)),
    "average pool in one dimension": form(AveragePool, "AveragePool", kernel_shape=[3], pads=[1, 1], shape=(4, 9)),
    "global average pool": form(Mean, "GlobalAveragePool", opsets=(7, NEWEST)),
    "mean, attribute": form(Mean, "ReduceMean", axes=[2, 3], opsets=(7, 11, 13)),
    "mean, negative axes": form(Mean, "ReduceMean", axes=[-1, -2], keepdims=0, opsets=(11, 13)),
    "mean, input": form(Mean, "ReduceMean", "a", weights={"a": ints(2, 3)}, keepdims=0, opsets=(18, NEWEST)),
    "mean over channels": form(Mean, "ReduceMean", "a", weights={"a": ints(1)}),
    "add, channels": form(Affine, "Add", "c", weights={"c": noise(4, 1, 1)}, opsets=(7, 13, NEWEST)),
    "add, batch axis": form(Affine, "Add", "c", weights={"c": noise(1, 4, 1, 1)}),
    "add, scalar": form(Affine, "Add", "c", weights={"c": scalar(2)}),
    "add, last axis": form(Affine, "Add", "c", weights={"c": noise(7)}),
    "mul": form(Affine, "Mul", "c", weights={"c": noise(4, 1, 1)}),
    "sub": form(Affine, "Sub", "c", weights={"c": noise(4, 8, 7)}),
    "div": form(Affine, "Div", "c", weights={"c": np.abs(noise(4, 1, 1)) + 1}),
    "constant - x": Form(Affine, [make("Sub", ["c", "x"], ["y"])], {"c": noise(4, 1, 1)}),
    "constant + x": Form(Affine, [make("Add", ["c", "x"], ["y"])], {"c": noise(1, 4, 1, 1)}),
    "constant * x": Form(Affine, [make("Mul", ["c", "x"], ["y"])], {"c": noise(7)}),
    "sum": form(Sum, "Sum", "x", "x", opsets=(8, 13)),
    "add of two values": form(Sum, "Add", "x"),
    "flatten": form(Reshape, "Flatten", opsets=(7, 9, 11, 13, NEWEST)),
    "flatten, negative axis": form(Reshape, "Flatten", axis=-3),
    "reshape, 0 and -1": form(Reshape, "Reshape", "s", weights={"s": ints(0, -1)}, opsets=(7, 13, 14, NEWEST)),
    "reshape, -1 first": form(Reshape, "Reshape", "s", weights={"s": ints(-1, 224)}),
    "reshape, zeros": form(Reshape, "Reshape", "s", weights={"s": ints(0, 0, -1, 2)}),
    "reshape, batch 1": form(Reshape, "Reshape", "s", weights={"s": ints(1, 56, 4)}, batch=1),
    "reshape, batch 10": form(Reshape, "Reshape", "s", weights={"s": ints(10, -1)}, batch=10, samples=7),
    "squeeze, attribute": form(Reshape, "Squeeze", axes=[2], shape=(4, 1, 7), opsets=(7, 11)),
    "squeeze, input": form(Reshape, "Squeeze", "a", weights={"a": ints(-2)}, shape=(4, 1, 7), opsets=SINCE_13),
    "squeeze, all": form(Reshape, "Squeeze", shape=(4, 1, 7)),
    "unsqueeze, attribute": form(Reshape, "Unsqueeze", axes=[2, 4], opsets=(7, 11)),
    "unsqueeze, input": form(Reshape, "Unsqueeze", "a", weights={"a": ints(-1, 1)}, opsets=SINCE_13),
    "transpose": form(Transpose, "Transpose", perm=[0, 2, 3, 1], opsets=(7, 13, NEWEST)),
    "concat": form(Concat, "Concat", "x", axis=1, opsets=(7, 11, 13)),
    "concat, negative axis": form(Concat, "Concat", "x", axis=-1),
    "identity": form(Identity, "Identity", opsets=(7, 14, NEWEST)),
    "cast": form(Identity, "Cast", to=TensorProto.FLOAT, opsets=(7, 13)),
    "dropout, attribute": form(Identity, "Dropout", ratio=0.5, opsets=(7, 10)),
    "dropout, inputs": form(
        Identity, "Dropout", "r", "t", weights={"r": scalar(0.5), "t": np.array(False)}, opsets=(12, 13, NEWEST)
    ),
    "slice, attributes": form(Slice, "Slice", starts=[1, -3], ends=[3, 9999], axes=[1, 3], opsets=(7, 9)),
    "slice, inputs": form(
        Slice,
        "Slice",
        *"seat",
        weights={"s": ints(1, -6), "e": ints(2**31 - 1, -1), "a": ints(2, -1), "t": ints(2, 3)},
        opsets=(10, 11, 13, NEWEST),
    ),
    "slice, every axis": form(
        Slice, "Slice", *"se", weights={"s": ints(0, 1, 0, 2), "e": ints(2**63 - 1, 3, 5, 2**63 - 1)}
    ),
    "clip, both bounds": form((Affine, ReLU, Affine), "Clip", *"lh", weights={"l": scalar(-0.5), "h": scalar(0.8)}),
    "clip, positive floor": form((Affine, ReLU, Affine), "Clip", "l", weights={"l": scalar(0.3)}),
    "clip, ceiling only": form((Affine, ReLU, Affine), "Clip", "", "h", weights={"h": scalar(0.3)}),
    "clip, no bounds": form(Affine, "Clip"),
    "max with a number": form((Affine, ReLU, Affine), "Max", "c", weights={"c": scalar(0.3)}, opsets=(8, 13)),
    "max with zero": form(ReLU, "Max", "c", weights={"c": np.zeros((1, 1, 1), np.float32)}),
    "min of a number": Form((Affine, ReLU, Affine), [make("Min", ["c", "x"], ["y"])], {"c": scalar(-0.3)}),
    "leaky relu": form(TWO_SIDED, "LeakyRelu", opsets=(7, 16, NEWEST)),
    "leaky relu, slope": form(TWO_SIDED, "LeakyRelu", alpha=0.3),
    "prelu, a slope a channel": form(TWO_SIDED, "PRelu", "s", weights={"s": noise(4, 1, 1)}, opsets=(7, 9, 16)),
    "prelu, one slope": form(TWO_SIDED, "PRelu", "s", weights={"s": noise(1)}),
    "absolute value": form(TWO_SIDED, "Abs", opsets=(7, 13)),
    "difference of two values": Form(
        (ReLU, Affine, Sum), [make("Relu", ["x"], ["a"]), make("Sub", ["x", "a"], ["y"])], opsets=(7, 13, 14)
    ),
    "neg": form(Affine, "Neg", opsets=(7, 13)),
    "sum over space": form((Mean, Affine), "ReduceSum", axes=[2, 3], opsets=(7, 11)),
    "sum over space, input": form((Mean, Affine), "ReduceSum", "a", weights={"a": ints(-1, 2)}, keepdims=0),
    "largest of space": form(MaxPool, "ReduceMax", axes=[2, 3], opsets=(11, 13)),
    "largest of space, input": form((MaxPool, Reshape), "ReduceMax", "a", weights={"a": ints(2, -1)}, keepdims=0),
    "transposed conv": form(TransposedConvolution, "ConvTranspose", "w", weights=SPREAD, opsets=(7, 11, NEWEST)),
    "transposed conv, all attributes": form(
        TransposedConvolution,
        "ConvTranspose",
        "w",
        "b",
        weights={"w": noise(4, 3, 3, 2), "b": noise(6)},
        group=2,
        strides=[2, 3],
        dilations=[1, 2],
        pads=[1, 0, 0, 2],
        output_padding=[1, 2],
        kernel_shape=[3, 2],
    ),
    "transposed conv, output shape": form(
        TransposedConvolution, "ConvTranspose", "w", weights=SPREAD, strides=[2, 2], output_shape=[16, 14]
    ),
    "transposed conv, output shape, upper": form(
        TransposedConvolution,
        "ConvTranspose",
        "w",
        weights=SPREAD,
        strides=[2, 2],
        output_shape=[16, 13],
        auto_pad="SAME_UPPER",
    ),
    "transposed conv in one dimension": form(
        TransposedConvolution,
        "ConvTranspose",
        "w",
        weights={"w": noise(4, 5, 4)},
        shape=(4, 9),
        strides=[2],
        pads=[1, 1],
    ),
    "upsample, attribute": form((Take, Take), "Upsample", scales=[1.0, 1.0, 2.0, 3.0], opsets=(7, 8)),
    "upsample, input": form((Take, Take), "Upsample", "s", weights={"s": TWICE}, opsets=(9,), mode="nearest"),
    "upsample, linear": form(
        (Interpolate, Interpolate), "Upsample", "s", weights={"s": TWICE}, opsets=(9,), mode="linear"
    ),
    "resize, opset 10": form((Take, Take), "Resize", "s", weights={"s": TWICE}, opsets=(10,)),
    "resize, opset 10, smaller": form(
        (Take, Take), "Resize", "s", weights={"s": np.float32([1, 1, 0.6, 0.5])}, opsets=(10,)
    ),
    "resize by scales": form(
        (Take, Take), "Resize", "", "s", weights={"s": np.float32([1, 1, 1.7, 0.6])}, opsets=(13, 18, NEWEST)
    ),
    "resize, opset 11": form(
        (Take, Take),
        "Resize",
        "r",
        "s",
        weights={"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 2, 3])},
        opsets=(11,),
    ),
    "resize to sizes": form((Take, Take), "Resize", "", "", "z", weights={"z": ints(3, 4, 13, 5)}, batch=3),
    "resize, one axis": form(
        Take, "Resize", "", "s", weights={"s": np.float32([2])}, axes=[3], mode="nearest", opsets=(18, NEWEST)
    ),
    "resize, nothing": form(Identity, "Resize", "", "s", weights={"s": np.float32([1, 1, 1, 1])}),
    **{
        f"resize, nearest, {places}, {rule}": form(
            (Take, Take),
            "Resize",
            "",
            "s",
            weights={"s": np.float32([1, 1, 2, 0.5])},
            coordinate_transformation_mode=places,
            nearest_mode=rule,
        )
        for places in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
        for rule in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    },
    **{
        f"resize, linear, {places}": form(
            (Interpolate, Interpolate),
            "Resize",
            "",
            "s",
            weights={"s": np.float32([1, 1, 2.3, 0.6])},
            coordinate_transformation_mode=places,
            mode="linear",
        )
        for places in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    },
    "resize, symmetric": form(
        (Interpolate, Interpolate),
        "Resize",
        "",
        "s",
        weights={"s": np.float32([1, 1, 2.3, 0.6])},
        coordinate_transformation_mode="half_pixel_symmetric",
        mode="linear",
        opsets=(19, NEWEST),
    ),
    "gather, list": form(Take, "Gather", "i", weights={"i": ints(3, -4, 1)}, axis=1, opsets=(7, 11, 13)),
    "gather, number": form((Take, Reshape), "Gather", "i", weights={"i": np.array(-1)}, axis=-1),
    "depth to space": form(REORDERED, "DepthToSpace", blocksize=2, opsets=(7, 11, 13)),
    "depth to space, columns": form(REORDERED, "DepthToSpace", blocksize=2, mode="CRD", opsets=(11, 13)),
    "space to depth": form(REORDERED, "SpaceToDepth", blocksize=2, shape=(4, 8, 6), opsets=(7, 13)),
    "split, attribute": Form((Slice, Slice, Sum), SPLIT_2, opsets=(7, 11)),
    "split, sizes": Form(
        Slice, [make("Split", ["x", "s"], ["a", "y", "b"], axis=2)], {"s": ints(1, 5, 2)}, opsets=SINCE_13[:1]
    ),
    "split, number of outputs": Form(
        Slice, [make("Split", ["x"], ["a", "b", "y"], axis=2, num_outputs=3)], opsets=(18, NEWEST)
    ),
    "slice, backwards": form(
        (Take, Take),
        "Slice",
        *"seat",
        weights={"s": ints(-1, 5), "e": ints(-(2**63), 1), "a": ints(1, 2), "t": ints(-1, -2)},
    ),
    "pad with a number": form(
        (Pad, Affine), "Pad", *"pv", weights={"p": ints(0, 1, 0, 2, 0, 0, 3, 1), "v": scalar(0.7)}, opsets=(11, 18)
    ),
    **{
        f"pad, {mode}": form(
            (Take, Take), "Pad", "p", weights={"p": ints(0, 0, 1, 2, 0, 0, 3, 1)}, mode=mode, opsets=opsets
        )
        for mode, opsets in (("reflect", (11, 18)), ("edge", (11, 18)), ("wrap", (19, NEWEST)))
    },
    "expand": form(Take, "Expand", "s", weights={"s": ints(1, 4, 8, 1)}, shape=(4, 1, 7), opsets=(8, 13)),
    "expand, lower rank": form(Take, "Expand", "s", weights={"s": ints(6, 1)}, shape=(4, 1, 7)),
    "expand, nothing": form(Identity, "Expand", "s", weights={"s": ints(1)}),
    "tile": form((Take, Take), "Tile", "r", weights={"r": ints(1, 2, 1, 3)}, opsets=(7, 13)),
    "add that spreads": Form(
        (Mean, Take, Take, Sum), [make("GlobalAveragePool", ["x"], ["a"]), make("Add", ["a", "x"], ["y"])]
    ),
    "difference that spreads": Form(
        (Mean, Take, Take, Affine, Sum), [make("GlobalAveragePool", ["x"], ["a"]), make("Sub", ["x", "a"], ["y"])]
    ),
    "max of two values": Form(
        (Mean, Take, Take, Affine, Sum, ReLU, Sum),
        [make("GlobalAveragePool", ["x"], ["a"]), make("Max", ["a", "x"], ["y"])],
        opsets=(8, 13),
    ),
    "min of two values": Form(
        (Slice, Slice, Affine, Sum, ReLU, Affine, Sum),
        [make("Split", ["x"], ["a", "b"], axis=1), make("Min", ["a", "b"], ["y"])],
        opsets=(8, 11),
    ),
    "max of three values and two numbers": Form(
        (ReLU, Affine, Sum, ReLU, Sum, Affine, Affine, Sum, ReLU, Sum, Affine, ReLU, Affine),
        [
            make("Relu", ["x"], ["a"]),
            make("Mul", ["x", "k"], ["b"]),
            make("Max", ["x", "c", "a", "b", "d"], ["y"]),
        ],
        {"k": scalar(-0.5), "c": scalar(0.1), "d": scalar(0.3)},
        opsets=(8, 13),
    ),
    "min of three values": Form(
        (ReLU, Affine, Sum, ReLU, Affine, Sum, Affine, Affine, Sum, ReLU, Affine, Sum),
        [make("Relu", ["x"], ["a"]), make("Mul", ["x", "k"], ["b"]), make("Min", ["x", "a", "b"], ["y"])],
        {"k": scalar(-0.5)},
        opsets=(8, 13),
    ),
    "hard sigmoid": form((Affine, ReLU), "HardSigmoid", opsets=(7, NEWEST)),
    "hard sigmoid, steep": form((Affine, ReLU), "HardSigmoid", alpha=1.5, beta=0.25),
    "max of one": form(Identity, "Max", opsets=(8, 13)),
    "sum of one": form(Identity, "Sum", opsets=(8, 13)),
    "sum that spreads, with constants": Form(
        (Mean, Take, Take, Sum, Affine),
        [make("GlobalAveragePool", ["x"], ["a"]), make("Sum", ["c", "a", "x", "d"], ["y"])],
        {"c": noise(4, 1, 1), "d": scalar(0.5)},
        opsets=(8, 13),
    ),
    "sum with a constant": form(Affine, "Sum", "c", weights={"c": noise(4, 1, 1)}, opsets=(8, 13)),
    "pad, attribute": form(Pad, "Pad", pads=[0, 1, 0, 2, 0, 0, 3, 1], opsets=(7, 10)),
    "pad, inputs": form(Pad, "Pad", "p", weights={"p": ints(0, 1, 0, 2, 0, 0, 3, 1)}, opsets=(11, 13, 18, NEWEST)),
    "pad, zero value": form(Pad, "Pad", *"pv", weights={"p": ints(0, 1, 0, 2, 0, 0, 3, 1), "v": scalar(0)}),
    "pad, axes": form(Pad, "Pad", "p", "", "a", weights={"p": ints(1, 2, 3, 0), "a": ints(-1, 1)}, opsets=(18, NEWEST)),
}


@pytest.mark.parametrize(
    ("name", "opset"), [(name, opset) for name, each in FORMS.items() for opset in dict.fromkeys(each.opsets)]
)
def test_node_is_read_as_onnx_runtime_runs_it(save_onnx: Callable[..., Path], name: str, opset: int) -> None:
    each = FORMS[name]
    loaded = load_model(save_onnx(each.nodes, each.weights, each.shape, opset=opset, batch=each.batch))
    expected = each.operator if isinstance(each.operator, tuple) else (each.operator,)
    assert [type(node.operator) for node in loaded.graph.nodes] == [*expected]
    assert {origin for node in loaded.graph.nodes for origin in node.origins} <= {"y", "a", "b"}
    assert loaded.compare(noise(each.samples, *each.shape, seed=9)).max_error < 1e-5


def network(opset: int) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    nodes = [
        make("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1]),
        make("Relu", ["a"], ["r"]),
        make("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        make("Flatten", ["p"], ["f"]),
        make("Gemm", ["f", "w2", "b2"], ["g"], transB=1),
        make("Softmax", ["g"], ["y"], axis=1),
    ]
    return nodes, {"w1": noise(6, 3, 3, 3), "b1": noise(6), "w2": noise(10, 96), "b2": noise(10)}


@pytest.mark.parametrize("opset", range(7, NEWEST + 1))
def test_network_is_read_at_every_opset(save_onnx: Callable[..., Path], opset: int) -> None:
    nodes, weights = network(opset)
    loaded = load_model(save_onnx(nodes, weights, opset=opset))
    assert [type(node.operator) for node in loaded.graph.nodes] == [Convolution, ReLU, MaxPool, Reshape, Linear]
    assert loaded.compare(noise(4, 3, 8, 8)).max_error < 1e-5
    assert loaded.graph.notes == ("the final Softmax is dropped: it does not change which output is largest",)


@pytest.mark.parametrize("constant", [noise(1, 5), noise(5), noise(1)])
def test_matmul_and_add_are_a_layer_with_bias(save_onnx: Callable[..., Path], constant: np.ndarray) -> None:
    nodes = [make("MatMul", ["x", "w"], ["m"]), make("Add", ["m", "c"], ["y"])]
    loaded = load_model(save_onnx(nodes, {"w": noise(7, 5), "c": constant}, FLAT))
    assert [type(node.operator) for node in loaded.graph.nodes] == [Linear, Affine]
    assert loaded.compare(noise(3, 7)).max_error < 1e-5


@pytest.mark.parametrize("name", ["cifar10_akamaster_resnet20_bn", "cifar10_mlperf_resnet8", "mnist_cntk_mnist-8"])
def test_real_network_is_read(shared_data: Path, name: str) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    loaded = load_model(path)
    assert loaded.compare(noise(2, *loaded.graph.input_shape)).max_error < 1e-5
