"""Every operator that is computed on loading, against ONNX Runtime: type, shape and numbers, or a proper refusal."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from snnconvert.errors import ModelError
from snnconvert.load import onnx_graph
from snnconvert.load.asked import Asked
from snnconvert.load.constants import FOLDERS
from snnconvert.load.constants.arithmetic import BROADCAST, UNARY
from snnconvert.load.constants.reductions import REDUCTIONS
from snnconvert.load.onnx_file import validate

Case = tuple[int, list[np.ndarray], dict[str, Any]]  # opset, inputs, attributes
Draw = Callable[[st.SearchStrategy[Any]], Any]
FOLDED = [*FOLDERS, "Shape"]
DTYPES = [np.float32, np.float64, np.float16, np.int64, np.int32, np.bool_, np.int8, np.uint8]
FLOATS, INTS = DTYPES[:3], [np.int64, np.int32, np.int8, np.uint8]
TARGETS = {np.dtype(dtype): helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for dtype in DTYPES}
FAR = [2**31 - 1, -(2**31), 2**63 - 1, -(2**63), -(2**63) + 1]  # what exporters write for "to the end"
# what an overflow, or a division that is none, may be refused with, though ONNX Runtime computes something
LOST = ("E117", "E122")


def model_of(op_type: str, case: Case) -> onnx.ModelProto:
    opset, inputs, attributes = case
    names = [f"i{index}" for index in range(len(inputs))]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, ["y"], name="n", **attributes)],
        "net",
        [],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(value, name) for name, value in zip(names, inputs, strict=True)],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


def folded(model: onnx.ModelProto) -> np.ndarray | ModelError:
    file = validate(Path("net.onnx"), "", model, Asked())
    building = onnx_graph._Building(file, None, dict(file.constants))
    try:
        onnx_graph._read_node(building, file.nodes[0], "n")
    except ModelError as refusal:
        return refusal
    return building.constants["y"]


def judged(model: onnx.ModelProto) -> np.ndarray | None:
    """Return what ONNX Runtime computes, or the reference where it has no kernel; None where the model is refused."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {})[0])
    except Exception as problem:  # noqa: BLE001 - ONNX Runtime's exceptions have no common base
        if "NOT_IMPLEMENTED" not in str(problem):
            return None
    with np.errstate(all="ignore"):
        return np.asarray(ReferenceEvaluator(model).run(None, {})[0])


def require_same(op_type: str, case: Case) -> None:
    model = model_of(op_type, case)
    got = folded(model)
    if isinstance(got, ModelError):
        assert got.hint
        # ONNX Runtime is not asked about what is lost: it stops the process where it divides by zero
        assert got.code in LOST or judged(model) is None, got.message
        return
    expected = judged(model)
    if expected is None:
        return
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    if got.dtype.kind == "f":
        largest = max([1.0, *(float(np.abs(each.astype(np.float64)).max(initial=0)) for each in case[1])])
        accuracy = 4 * float(np.finfo(got.dtype).eps)
        scale = largest if op_type in (*REDUCTIONS, "Range") else 0
        assert np.allclose(got, expected, rtol=8 * accuracy, atol=8 * accuracy * scale)
    else:
        assert np.array_equal(got, expected)


# what a case is made of

sizes = st.integers(1, 4)
shapes = st.lists(sizes, max_size=4).map(tuple)


def numbers(dtype: Any) -> st.SearchStrategy[Any]:
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return st.booleans()
    if kind.kind == "f":
        large = float(np.finfo(kind).max)
        return st.one_of(
            st.floats(-100, 100, width=16),
            st.sampled_from([0.0, -0.0, 0.5, 1.5, 2.5, -0.5, 1e3, -1e3]),
            st.sampled_from([large, -large, large / 2, float(np.finfo(kind).tiny)]),
        )
    limits = np.iinfo(kind)
    small = st.integers(max(-9, int(limits.min)), 9)
    return st.one_of(small, small, st.sampled_from([limits.min, limits.min + 1, limits.max, limits.max - 1]))


def filled(draw: Draw, dtype: Any, shape: Sequence[int], values: st.SearchStrategy[Any] | None = None) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    found = draw(st.lists(numbers(dtype) if values is None else values, min_size=count, max_size=count))
    return np.array(found, dtype).reshape(tuple(shape))


def spread(draw: Draw, shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape that spreads to ``shape``."""
    kept = [size if draw(st.integers(0, 3)) else 1 for size in shape]
    return tuple(kept[draw(st.integers(0, len(kept))) if draw(st.booleans()) else 0 :])


def whole(*values: int, dtype: Any = np.int64) -> np.ndarray:
    return np.array(values, dtype)


def axis_of(draw: Draw, rank: int) -> int:
    return int(draw(st.integers(-rank, max(rank - 1, 0)) if draw(st.integers(0, 5)) else st.integers(-rank - 1, rank)))


def axes_of(draw: Draw, rank: int) -> list[int]:
    """Draw different axes, counted from either end: one axis twice ONNX Runtime takes, and ONNX does not allow."""
    axes = draw(st.lists(st.integers(0, max(rank - 1, 0)), min_size=min(rank, 1), max_size=min(rank, 2), unique=True))
    return [axis - rank if draw(st.booleans()) else axis for axis in axes]


def inputs_of_type(draw: Draw, op_type: str, opset: int) -> Any:
    """Draw a type that the operator's first input may have, or, rarely, any."""
    allowed = onnx.defs.get_schema(op_type, opset, "").inputs[0].types
    spelled = {np.dtype(each): onnx.helper.tensor_dtype_to_string(TARGETS[np.dtype(each)]) for each in DTYPES}
    names = {"FLOAT": "float", "DOUBLE": "double"}
    fitting = []
    for dtype, text in spelled.items():
        plain = text.split(".")[-1]
        if f"tensor({names.get(plain, plain.lower())})" in allowed:
            fitting.append(dtype)
    return draw(st.sampled_from(DTYPES if draw(st.integers(0, 15)) == 0 else fitting))


def elementwise(draw: Draw, op_type: str, opset: int) -> Case:
    dtype, shape = inputs_of_type(draw, op_type, opset), draw(shapes)
    counts = {"Max": st.integers(1, 5), "Min": st.integers(1, 5)}.get(op_type, st.just(2))
    inputs = [filled(draw, dtype, spread(draw, shape)) for _ in range(draw(counts))]
    if op_type == "Pow" and opset >= 12:
        other = draw(st.sampled_from([np.float32, np.float64, np.int64, np.int32]))
        powers = st.integers(-3, 40)
        if np.dtype(other).kind == "f":
            powers |= st.sampled_from([0.5, 2.5, -0.5])
        inputs[1] = filled(draw, other, inputs[1].shape, powers)
    elif draw(st.integers(0, 20)) == 0:
        inputs[-1] = np.ones(inputs[-1].shape, draw(st.sampled_from(DTYPES)))
    attributes = {"fmod": draw(st.integers(0, 1))} if op_type == "Mod" and draw(st.booleans()) else {}
    return opset, inputs, attributes


def unary(draw: Draw, op_type: str, opset: int) -> Case:
    return opset, [filled(draw, inputs_of_type(draw, op_type, opset), draw(shapes))], {}


def reduction(draw: Draw, op_type: str, opset: int) -> Case:
    dtype = inputs_of_type(draw, op_type, opset)
    # 0 times what overflows is 0 or NaN, whichever is multiplied first
    moderate = st.floats(-3, 3, width=16) if op_type == "ReduceProd" and np.dtype(dtype).kind == "f" else None
    value = filled(draw, dtype, draw(shapes), moderate)
    attributes: dict[str, Any] = {}
    inputs = [value]
    if draw(st.booleans()):
        attributes["keepdims"] = draw(st.integers(0, 1))
    as_input = opset >= (13 if op_type == "ReduceSum" else 18)
    if as_input and draw(st.booleans()):
        attributes["noop_with_empty_axes"] = draw(st.integers(0, 1))
    axes = axes_of(draw, value.ndim) if draw(st.booleans()) else []
    if as_input and draw(st.booleans()):
        inputs.append(whole(*axes))
    elif not as_input and axes:
        attributes["axes"] = axes
    return opset, inputs, attributes


def cast(draw: Draw, op_type: str, opset: int) -> Case:
    value = filled(draw, draw(st.sampled_from(DTYPES)), draw(shapes))
    target = draw(st.sampled_from(DTYPES))
    if op_type == "CastLike":
        return opset, [value, np.zeros(1, target)], {}
    return opset, [value], {"to": TARGETS[np.dtype(target)]}


def axes_inserted(draw: Draw, op_type: str, opset: int) -> Case:
    shape = draw(shapes)
    value = filled(draw, np.float32, shape)
    rank = len(shape)
    axes = draw(st.lists(st.integers(-rank - 1, rank), min_size=1, max_size=2))
    if op_type == "Squeeze":
        axes = axes_of(draw, rank) if draw(st.booleans()) else []
        value = filled(draw, np.int64, [size if size < 3 else 1 for size in shape])
    if not axes:
        return opset, [value], {}
    return (opset, [value, whole(*axes)], {}) if opset >= 13 else (opset, [value], {"axes": axes})


def slices(draw: Draw, op_type: str, opset: int) -> Case:
    shape = draw(st.lists(sizes, min_size=1, max_size=3))
    value = filled(draw, np.int64, shape)
    axes = draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, max_size=2))
    places = st.integers(-6, 6) | st.sampled_from(FAR)
    starts, ends = ([draw(places) for _ in axes] for _ in range(2))
    steps = [draw(st.integers(-3, 3)) for _ in axes]
    if opset < 10:
        return opset, [value], {"starts": starts, "ends": ends, "axes": axes}
    inputs = [value, whole(*starts), whole(*ends), whole(*axes), whole(*steps)]
    return opset, inputs[: 5 if draw(st.booleans()) else 4], {}


def gather(draw: Draw, op_type: str, opset: int) -> Case:
    value = filled(draw, draw(st.sampled_from(DTYPES)), draw(shapes))
    axis = axis_of(draw, value.ndim)
    size = value.shape[axis] if -value.ndim <= axis < value.ndim else 1
    places = st.integers(-size, size - 1) if draw(st.integers(0, 5)) else st.integers(-size - 1, size)
    shape = draw(st.lists(sizes, max_size=2))
    return opset, [value, filled(draw, draw(st.sampled_from(INTS[:2])), shape, places)], {"axis": axis}


def concat(draw: Draw, op_type: str, opset: int) -> Case:
    shape = draw(shapes)
    axis = axis_of(draw, len(shape))
    values = []
    for _ in range(draw(st.integers(1, 3))):
        grown = [
            draw(sizes) if place == axis % max(len(shape), 1) or draw(st.integers(0, 20)) == 0 else size
            for place, size in enumerate(shape)
        ]
        values.append(filled(draw, np.int64 if draw(st.integers(0, 20)) else np.int32, grown))
    return opset, values, {"axis": axis}


def ranges(draw: Draw, op_type: str, opset: int) -> Case:
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int64, np.int32]))
    values = st.integers(-50, 50) if np.dtype(dtype).kind == "i" else st.floats(-50, 50, width=16)
    start, limit, step = (filled(draw, dtype, (), values) for _ in range(3))
    return opset, [start, limit, step if abs(step) > 0.1 else np.asarray(0.1, dtype)], {}


def reshape(draw: Draw, op_type: str, opset: int) -> Case:
    value = filled(draw, np.int64, draw(shapes))
    target = draw(st.permutations(value.shape))
    for place in range(len(target)):
        target[place] = draw(st.sampled_from([target[place]] * 4 + [-1, 0, -2]))
    attributes = {"allowzero": draw(st.integers(0, 1))} if opset >= 14 and draw(st.booleans()) else {}
    return opset, [value, whole(*target)], attributes


def quantiser(draw: Draw, op_type: str, opset: int) -> Case:
    """Weights of a scale and zero point for all, or for each element of an axis; at times they do not fit."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    whole_type = draw(st.sampled_from([np.int8, np.uint8]))
    dtype = np.float32 if op_type == "QuantizeLinear" else draw(st.sampled_from([whole_type, whole_type, np.int32]))
    value = filled(draw, dtype, shape, None if np.dtype(dtype).kind in "iu" else st.floats(-50, 50, width=16))
    axis = axis_of(draw, len(shape)) if opset >= 13 and draw(st.booleans()) else None
    count = [shape[axis]] if axis is not None and -len(shape) <= axis < len(shape) else []
    scale = filled(draw, np.float32, count, st.sampled_from([0.1, 0.25, 3.0, 0.007]))
    inputs = [value, scale]
    if dtype != np.int32 and draw(st.booleans()):
        inputs.append(filled(draw, whole_type, count))
    return opset, inputs, {} if axis is None else {"axis": axis}


def others(draw: Draw, op_type: str, opset: int) -> Case:
    shape = draw(shapes)
    dtype = draw(st.sampled_from(DTYPES[:5] if op_type in ("Where", "Transpose") else DTYPES))
    value = filled(draw, dtype, shape)
    match op_type:
        case "ConstantOfShape":
            return opset, [whole(*shape)], {"value": numpy_helper.from_array(filled(draw, dtype, (1,)))}
        case "Transpose":
            perm = draw(st.permutations(range(value.ndim)))
            return opset, [value], {"perm": perm} if perm and draw(st.booleans()) else {}
        case "Expand":
            return opset, [filled(draw, dtype, spread(draw, shape)), whole(*spread(draw, shape))], {}
        case "Tile":
            return opset, [value, whole(*(draw(st.integers(-1, 3)) for _ in shape))], {}
        case "Where":
            left, right = (filled(draw, dtype, spread(draw, shape)) for _ in range(2))
            return opset, [filled(draw, np.bool_, spread(draw, shape)), left, right], {}
        case "Flatten":
            return opset, [value], {"axis": axis_of(draw, value.ndim)} if draw(st.booleans()) else {}
        case "Shape":
            ends = {key: draw(st.integers(-5, 5)) for key in ("start", "end") if draw(st.booleans())}
            return opset, [value], ends if opset >= 15 else {}
    assert op_type in ("Size", "Identity")
    return opset, [value], {}


CASES: dict[str, Callable[[Draw, str, int], Case]] = {
    **dict.fromkeys(BROADCAST, elementwise),
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(("Cast", "CastLike"), cast),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), axes_inserted),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), quantiser),
    "Slice": slices,
    "Gather": gather,
    "Concat": concat,
    "Range": ranges,
    "Reshape": reshape,
}
# the first opset in which ONNX Runtime has the operator as it is taken here
SINCE = {
    "Mod": 10,
    "Where": 9,
    "ConstantOfShape": 9,
    "Range": 11,
    "CastLike": 15,
    "Round": 11,
    "Expand": 8,
    "Min": 8,
    "Max": 8,
    "QuantizeLinear": 10,
    "DequantizeLinear": 10,
}


@pytest.mark.parametrize("op_type", FOLDED)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_constant_is_what_onnx_runtime_computes(op_type: str, data: st.DataObject) -> None:
    opset = data.draw(st.integers(SINCE.get(op_type, 7), 21), label="opset")
    require_same(op_type, CASES.get(op_type, others)(data.draw, op_type, opset))
