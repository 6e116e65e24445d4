"""What a file would take in memory is known before it is parsed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from snnconvert.errors import ModelError
from snnconvert.load import load_model, onnx_file
from snnconvert.load.wire import PACKED, count_parts

MODEL = onnx.ModelProto.DESCRIPTOR
FOR_EVER = 10**9


def count(model: onnx.ModelProto) -> int:
    return count_parts(model.SerializeToString(), MODEL, FOR_EVER)


def test_every_field_is_counted_and_weights_are_one() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])  # input, output, operator
    tensor = TensorProto(name="w", data_type=1, dims=[10**4], raw_data=bytes(40_000))  # four fields
    model = onnx.ModelProto(ir_version=8, graph=onnx.GraphProto(node=[node], initializer=[tensor]))
    assert count(model) == 2 + (1 + 3) + (1 + 4)
    tensor.ClearField("raw_data")
    tensor.float_data.extend([1.0] * 10**4)
    assert count(onnx.ModelProto(ir_version=8, graph=onnx.GraphProto(node=[node], initializer=[tensor]))) == 11


def test_packed_integers_are_counted_by_what_they_grow_to() -> None:
    tensor = TensorProto(name="w", data_type=7, dims=[1], int64_data=[1] * PACKED * 1000)
    model = onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor]))
    assert 1000 <= count(model) < 1010


@pytest.mark.parametrize("levels", [1, 50, 90])
def test_nested_messages_are_counted(levels: int) -> None:
    graph = onnx.GraphProto(name="innermost")
    for _ in range(levels // 3):
        graph = onnx.GraphProto(node=[onnx.NodeProto(attribute=[onnx.AttributeProto(g=graph)])])
    assert count(onnx.ModelProto(graph=graph)) == 1 + levels // 3 * 3 + 1


def test_counting_ends_above_the_limit() -> None:
    content = onnx.ModelProto(opset_import=[onnx.OperatorSetIdProto()] * 100_000).SerializeToString()
    assert count_parts(content, MODEL, 10) == 11


@pytest.mark.parametrize(
    "content",
    [b"\x08", b"\x80" * 11, b"\x3a\x05\x08", b"\x0b", b"\x0c", b"\x0f", b"\x3a\x80", b"\x0d\x01\x02", b"\x09\x01"],
)
def test_what_is_no_message_is_refused_as_the_parser_does(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"field|number|wire type"):
        count_parts(content, MODEL, FOR_EVER)
    with pytest.raises(DecodeError):
        onnx.ModelProto().ParseFromString(content)


def test_file_of_too_many_parts_is_refused_before_it_is_parsed(
    save_onnx: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_onnx([helper.make_node("Relu", ["x"], ["y"])], {"w": np.ones(3)})
    parts = count_parts(path.read_bytes(), MODEL, FOR_EVER)
    monkeypatch.setattr(onnx_file, "MAX_PARTS", parts)
    load_model(path)
    monkeypatch.setattr(onnx_file, "MAX_PARTS", parts - 1)
    monkeypatch.setattr(onnx.ModelProto, "ParseFromString", lambda *_: pytest.fail("it was parsed"), raising=False)
    with pytest.raises(ModelError, match=f"more than {parts - 1} in all") as refusal:
        load_model(path)
    assert refusal.value.code == "E121"
