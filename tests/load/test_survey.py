"""A survey goes on behind what is refused, so that a user hears of every node that stands in the way at once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from snnconvert.errors import ModelError
from snnconvert.load import load_model, open_model, survey_model

make = helper.make_node
Save = Callable[..., Path]


def test_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"text")
    with pytest.raises(ModelError, match="not an ONNX model"):
        survey_model(open_model(tmp_path / "net.onnx"))


def test_every_refused_node_is_named_and_what_reads_it_is_not_blamed(save_onnx: Save) -> None:
    nodes = [
        make("Sigmoid", ["x"], ["a"], name="gate"),
        make("Relu", ["a"], ["b"], name="relu"),
        make("Shape", ["b"], ["shape"], name="shape"),
        make("Gather", ["shape", "zero"], ["n"], name="gather"),
        make("Unsqueeze", ["n", "zero"], ["batch"], name="unsqueeze"),
        make("Concat", ["batch", "rest"], ["target"], axis=0, name="concat"),
        make("Reshape", ["b", "target"], ["c"], name="reshape"),
        make("Tanh", ["c"], ["d"], name="tanh"),
        make("Relu", ["d"], ["e"], name="custom", domain="com.acme"),
        make("Mul", ["x", "x"], ["f"], name="square"),
        make("Flatten", ["f"], ["g"], name="flatten"),
        make("Add", ["e", "g"], ["h"], name="add"),
        make("Softmax", ["h"], ["y"], name="softmax"),
    ]
    path = save_onnx(nodes, {"zero": np.array([0]), "rest": np.array([-1])})
    origins, refused = survey_model(open_model(path))
    assert {name: error.code for name, error in refused.items()} == {
        "gate": "E120",
        "tanh": "E120",
        "custom": "E120",
        "square": "E123",
    }
    fates = {origin.name: origin.fate.partition(":")[0] for origin in origins}
    assert [fates[node.name] for node in nodes] == [
        "refused",
        *["not checked"] * 6,
        *["refused"] * 3,
        *["not checked"] * 2,
        "dropped",
    ]
    with pytest.raises(ModelError, match="node 'gate': operator Sigmoid"):
        load_model(path)


def test_survey_of_a_sound_network_refuses_nothing(save_onnx: Save) -> None:
    path = save_onnx([make("Relu", ["x"], ["a"]), make("Flatten", ["a"], ["y"])])
    origins, refused = survey_model(open_model(path))
    assert refused == {}
    assert origins == load_model(path).graph.origins
