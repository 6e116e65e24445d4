"""The judge: ONNX Runtime sees what was validated, and nothing else of the user's file."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from snnconvert.errors import InternalError, ModelError
from snnconvert.graph import Graph
from snnconvert.load import Loaded, load_model
from snnconvert.load.ends import read_input
from snnconvert.load.model import open_model
from snnconvert.load.reference import rewritten

make = helper.make_node
Save = Callable[..., Path]
FLAT = (7,)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_model_that_onnx_runtime_refuses_is_refused(save_onnx: Save) -> None:
    nodes = [make("Add", ["x", "c"], ["y"])]
    with pytest.raises(ModelError, match="ONNX Runtime refuses the model") as refusal:
        load_model(save_onnx(nodes, {"c": np.ones(7, np.float64)}, FLAT))
    assert refusal.value.code == "E116"
    assert "\n" not in refusal.value.message


def test_unknown_attribute_is_refused_by_onnx_runtime(save_onnx: Save) -> None:
    with pytest.raises(ModelError, match="ONNX Runtime refuses the model"):
        load_model(save_onnx([make("Relu", ["x"], ["y"], frob=1)], shape=FLAT))


def test_samples_that_onnx_runtime_cannot_take_are_refused(save_onnx: Save) -> None:
    loaded = load_model(save_onnx([make("Relu", ["x"], ["y"])], shape=FLAT))
    with pytest.raises(ModelError, match="ONNX Runtime cannot run the model") as refusal:
        loaded.reference.run(noise(3, 8))
    assert refusal.value.code == "E116"


def test_output_that_is_not_finite_is_the_models_fault(save_onnx: Save) -> None:
    nodes = [make("Mul", ["x", "c"], ["a"]), make("Mul", ["a", "c"], ["y"])]
    loaded = load_model(save_onnx(nodes, {"c": np.float32([3e38])}, FLAT))
    with pytest.raises(ModelError, match="an output is NaN or infinite") as refusal:
        loaded.compare(noise(3, 7))
    assert refusal.value.code == "E117"


def test_mean_of_millions_depends_on_how_it_is_added_up(save_onnx: Save) -> None:
    loaded = load_model(save_onnx([make("GlobalAveragePool", ["x"], ["y"])], shape=(1, 2048, 2048)))
    with pytest.raises(ModelError, match="adding 4194304 numbers in float32 changes an output") as refusal:
        loaded.compare(np.full((1, 1, 2048, 2048), 0.1, np.float32))
    assert refusal.value.code == "E117"
    assert refusal.value.hint


def test_graph_that_differs_from_onnx_runtime_is_a_bug_of_ours(save_onnx: Save) -> None:
    loaded = load_model(save_onnx([make("Mul", ["x", "c"], ["y"])], {"c": noise(7)}, FLAT))
    wrong: Graph = loaded.graph.mapped(lambda tensor: tensor * 1.001)
    with pytest.raises(InternalError, match="loaded network differs from ONNX Runtime") as refusal:
        Loaded(loaded.path, loaded.sha256, loaded.files, wrong, loaded.reference).compare(noise(3, 7))
    assert refusal.value.code == "E910"


@pytest.mark.parametrize("samples", [1, 3, 4, 9])
def test_fixed_batch_is_filled_up(save_onnx: Save, samples: int) -> None:
    loaded = load_model(save_onnx([make("Mul", ["x", "c"], ["y"])], {"c": noise(7)}, FLAT, batch=4))
    x = noise(samples, 7)
    assert loaded.reference.run(x).shape == (samples, 7)
    assert loaded.compare(x).max_error == 0


def test_nothing_but_needed_nodes_and_weights_is_written_again(save_onnx: Save) -> None:
    def decorate(model: onnx.ModelProto) -> None:
        model.doc_string = model.graph.doc_string = "secret"
        model.metadata_props.add(key="secret", value="secret")
        model.graph.value_info.append(helper.make_tensor_value_info("secret", 1, [3]))
        for node in model.graph.node:
            node.doc_string = "secret"
            node.metadata_props.add(key="secret", value="secret")

    nodes = [
        make("Identity", ["secret"], ["secret2"]),
        make("Mul", ["x", "c"], ["a"], name="same"),
        make("Relu", ["a"], ["r"], name="same"),
        make("Softmax", ["r"], ["y"]),
    ]
    file = open_model(save_onnx(nodes, {"c": noise(7), "secret": noise(3)}, FLAT, change=decorate))
    model, shared = rewritten(file, read_input(file), "r")
    assert shared == {}
    assert b"secret" not in model.SerializeToString()
    assert [node.op_type for node in model.graph.node] == ["Mul", "Relu"]
    assert [tensor.name for tensor in model.graph.initializer] == ["c"]


def test_large_weights_are_handed_over_beside_the_model(save_onnx: Save) -> None:
    weights = {"large": noise(256, 64), "half": noise(256, 256).astype(np.float16), "small": noise(256)}
    nodes = [
        make("Gemm", ["x", "large", "small"], ["a"], transB=1),
        make("Cast", ["half"], ["float"], to=1),
        make("Gemm", ["a", "float"], ["y"]),
    ]
    path = save_onnx(nodes, weights, (64,))
    file = open_model(path)
    model, shared = rewritten(file, read_input(file), "y")
    assert {*shared} == {"large", "half"}
    assert model.ByteSize() < 4096
    x = noise(3, 64)
    expected = (x @ weights["large"].T + weights["small"]) @ weights["half"].astype(np.float32)
    loaded = load_model(path)
    assert np.allclose(loaded.reference.run(x), expected, rtol=1e-4, atol=1e-3)
    assert loaded.compare(x).max_error < 1e-5


def test_long_chain_is_loaded_in_a_time_that_grows_with_its_length(save_onnx: Save) -> None:
    took = []
    for length in (5000, 20_000):
        values = ["x", *(f"v{index}" for index in range(length))]
        path = save_onnx([make("Add", [a, a], [b]) for a, b in itertools.pairwise(values)], shape=FLAT)
        start = time.process_time()
        load_model(path)
        took.append(time.process_time() - start)
    assert took[1] < 8 * took[0]  # a little over 4; 16 with ONNX Runtime's optimizers


def test_file_with_the_name_of_the_handed_over_weights_is_not_read(
    save_onnx: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside").write_bytes(bytes(256 * 256))
    loaded = load_model(save_onnx([make("Gemm", ["x", "w"], ["y"])], {"w": noise(256, 256)}, (256,)))
    assert np.abs(loaded.reference.run(noise(3, 256))).max() > 1


def test_loading_leaves_the_random_generators_alone(save_onnx: Save) -> None:
    before = torch.get_rng_state()
    load_model(save_onnx([make("Relu", ["x"], ["y"])], shape=FLAT)).compare(noise(3, 7))
    assert torch.equal(torch.get_rng_state(), before)


def test_one_sample_is_never_alone(save_onnx: Save) -> None:
    """A Squeeze without axes would take the batch away, too."""
    nodes = [make("GlobalAveragePool", ["x"], ["a"]), make("Squeeze", ["a"], ["y"])]
    loaded = load_model(save_onnx(nodes, shape=(3, 4, 4)))
    x = noise(2, 3, 4, 4)
    np.testing.assert_array_equal(loaded.reference.run(x[:1]), loaded.reference.run(x)[:1])
    assert loaded.compare(x[:1]).holds


def test_an_output_of_other_samples_is_refused(save_onnx: Save) -> None:
    nodes = [
        make("Shape", ["x"], ["s"], end=1),
        make("Max", ["s", "k"], ["m"]),
        make("Concat", ["m", "r"], ["t"], axis=0),
        make("Reshape", ["x", "t"], ["y"]),
    ]
    loaded = load_model(save_onnx(nodes, {"k": np.array([4]), "r": np.array([-1])}, (2, 2)))
    with pytest.raises(ModelError, match="the model answers 2 samples with an output of shape") as refusal:
        loaded.reference.run(noise(2, 2, 2))
    assert refusal.value.code == "E116"


def test_part_of_a_split_without_a_name_is_refused(save_onnx: Save) -> None:
    nodes = [make("Split", ["x"], ["a", "b", "", ""], axis=1), make("Add", ["a", "b"], ["y"])]
    with pytest.raises(ModelError, match=r"E124.*a part without a name"):
        load_model(save_onnx(nodes, shape=(4, 2, 2)))
