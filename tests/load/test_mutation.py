"""Hostile files by the hundred: a sound model, mutated. Whatever comes of it, it is a network or one SnnError, soon."""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from snnconvert.errors import InternalError, SnnError
from snnconvert.load import load_model

make = helper.make_node
LIMIT = 5.0  # seconds
SIZES = (0, -1, 1, 2, 3, 5, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**63))
WORDS = ("", "x", "y", "w", "a", "r", "p", "axes", "value", "pads", "mode", "\x1b[0m", "n\n", "Add", "Relu", "Identity")
OTHERS = ("Relu", "Mul", "Add", "Sub", "Div", "Concat", "Pad", "Slice", "Squeeze", "Unsqueeze", "Expand", "Gather")
OTHERS += ("Transpose", "Shape", "ConstantOfShape", "Range", "Cast", "Clip", "Constant", "Sum", "MatMul", "Softmax")
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def sound() -> onnx.ModelProto:
    nodes = [
        make("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1], kernel_shape=[3, 3], strides=[1, 1], group=1),
        make("BatchNormalization", ["a", "g", "b", "m", "v"], ["n"], epsilon=1e-3),
        make("Clip", ["n", "low", "high"], ["r"]),
        make("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        make("Slice", ["p", "zero", "four", "one", "one"], ["s"]),
        make("Pad", ["s", "pads"], ["q"]),
        make("Add", ["q", "p"], ["t"]),
        make("AveragePool", ["t"], ["u"], kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
        make("Shape", ["u"], ["shape"]),
        make("Constant", [], ["index"], value=numpy_helper.from_array(np.array([0]))),
        make("Gather", ["shape", "index"], ["batch"]),
        make("Concat", ["batch", "rest"], ["target"], axis=0),
        make("Reshape", ["u", "target"], ["f"]),
        make("Gemm", ["f", "k", "c"], ["z"], transB=1, alpha=0.5),
        make("Softmax", ["z"], ["y"], axis=1),
    ]
    weights = {
        "w": noise(4, 2, 3, 3),
        **{name: np.abs(noise(4)) + 0.1 for name in "bgmv"},
        "low": np.float32(0),
        "high": np.float32(6),
        "zero": np.array([0]),
        "four": np.array([4]),
        "one": np.array([1]),
        "pads": np.array([0, 0, 0, 0, 0, 0, 0, 0]),
        "rest": np.array([-1]),
        "k": noise(5, 36),
        "c": noise(5),
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


CONTENT = sound().SerializeToString()


def survive(path: Path, content: bytes) -> None:
    """Load and run what may be anything."""
    path.write_bytes(content)
    start = time.process_time()
    try:
        loaded = load_model(path)
        if math.prod(loaded.graph.input_shape) < 10_000:
            loaded.compare(noise(2, *loaded.graph.input_shape))
    except InternalError:
        raise
    except SnnError as refusal:
        status = refusal.exit_status
    else:
        status = 3
    assert status == 3
    assert time.process_time() - start < LIMIT


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated") / "net.onnx"


def test_unchanged_model_is_loaded(path: Path) -> None:
    path.write_bytes(CONTENT)
    loaded = load_model(path)
    assert len(loaded.graph.nodes) == 10
    assert loaded.compare(noise(3, 2, 6, 6)).max_error < 1e-5


@FUZZ
@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes(path: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(CONTENT)
    for position, value in changes:
        content[position] = value
    survive(path, bytes(content))


@FUZZ
@given(st.integers(0, len(CONTENT)), st.integers(0, 200), st.binary(max_size=20))
def test_cut_and_spliced_bytes(path: Path, start: int, length: int, between: bytes) -> None:
    survive(path, CONTENT[:start] + between + CONTENT[start + length :])


@FUZZ
@given(st.integers(0, len(CONTENT)))
def test_truncated_bytes(path: Path, end: int) -> None:
    survive(path, CONTENT[:end])


def messages(message: Message) -> Iterator[Message]:
    """Yield a message and all within it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if isinstance(value, list) or hasattr(value, "append") else [value]:
                yield from messages(each)


COUNT = sum(1 for _ in messages(sound()))


def disturb(message: Message, data: st.DataObject) -> None:
    """Delete or change one field of a message."""
    fields = [field for field, _ in message.ListFields()]
    if not fields:
        return
    field = fields[data.draw(st.integers(0, len(fields) - 1))]
    value = getattr(message, field.name)
    repeated = hasattr(value, "append")
    what = data.draw(st.sampled_from(["clear", "change", "drop", "double"]))
    if what == "clear" or (field.message_type is not None and not repeated):
        message.ClearField(field.name)
    elif repeated:
        index = data.draw(st.integers(0, len(value) - 1))
        if what == "drop":
            del value[index]
        elif what == "double":
            value.append(value[index])
        elif field.message_type is None:
            value[index] = replacement(field.name, value[index], data)
    else:
        with contextlib.suppress(ValueError):  # numbers that no enumeration has
            setattr(message, field.name, replacement(field.name, value, data))


def replacement(name: str, value: object, data: st.DataObject) -> object:
    if name == "op_type":
        return data.draw(st.sampled_from(OTHERS))
    if isinstance(value, str):
        return data.draw(st.sampled_from(WORDS))
    if isinstance(value, bytes):
        return data.draw(
            st.sampled_from([b"", value[:-1], value + b"\0", value[: len(value) // 2], b"\xff" * len(value)])
        )
    if isinstance(value, float):
        return data.draw(st.floats(width=32))
    limit = 2**31 if name in ("data_type", "type", "elem_type", "data_location") else 2**63
    return data.draw(st.sampled_from([size for size in (*SIZES, *range(17)) if -limit <= size < limit]))


@FUZZ
@given(st.data())
def test_changed_fields(path: Path, data: st.DataObject) -> None:
    model = sound()
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(messages(model))
        disturb(found[data.draw(st.integers(0, COUNT)) % len(found)], data)
    survive(path, model.SerializeToString())


@FUZZ
@given(st.data())
def test_replaced_sizes(path: Path, data: st.DataObject) -> None:
    """Sizes, wherever they stand: dimensions, attributes, and the integers that shapes are computed from."""
    model = sound()
    size = st.sampled_from(SIZES)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(["initializer", "content", "attribute", "input"]))
        if place == "input":
            data.draw(st.sampled_from(model.graph.input[0].type.tensor_type.shape.dim)).dim_value = data.draw(size)
        elif place == "attribute":
            attribute = data.draw(st.sampled_from([each for node in model.graph.node for each in node.attribute]))
            attribute.i = data.draw(size)
            attribute.ints[:] = [data.draw(size) for _ in attribute.ints]
        else:
            integers = [each for each in model.graph.initializer if each.data_type == TensorProto.INT64]
            tensor = data.draw(st.sampled_from(integers if place == "content" else list(model.graph.initializer)))
            if place == "initializer":
                tensor.dims[:] = [data.draw(size) for _ in tensor.dims]
            else:
                tensor.raw_data = np.array([data.draw(size) for _ in range(len(tensor.raw_data) // 8)], "i8").tobytes()
    survive(path, model.SerializeToString())
