"""The number of samples may be a size of an output; whatever else is computed from it is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from snnconvert.errors import ModelError
from snnconvert.load import load_model

make = helper.make_node
Save = Callable[..., Path]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


BATCH = [make("Shape", ["x"], ["s"]), make("Gather", ["s", "first"], ["n"])]
WEIGHTS = {"first": ints(0), "two": ints(2), "one": ints(1), "last": ints(-1), "zero": ints(0), "six": ints(6)}
FORMULAS = {
    "a factor": [make("Div", ["n", "two"], ["k"]), make("Cast", ["k"], ["c"], to=1), make("Mul", ["x", "c"], ["y"])],
    "a comparison": [
        make("Greater", ["n", "two"], ["k"]),
        make("Cast", ["k"], ["c"], to=1),
        make("Add", ["x", "c"], ["y"]),
    ],
    "a size of the sample": [
        make("Greater", ["n", "two"], ["k"]),
        make("Cast", ["k"], ["c"], to=7),
        make("Concat", ["n", "c", "six"], ["t"], axis=0),
        make("Reshape", ["x", "t"], ["y"]),
    ],
    "where to cut": [make("Slice", ["x", "zero", "n", "one"], ["y"])],
    "which element": [
        make("Mod", ["n", "two"], ["k"]),
        make("Gather", ["w", "k"], ["c"], axis=0),
        make("Add", ["x", "c"], ["y"]),
    ],
    "a sum": [
        make("ReduceSum", ["s", "zero"], ["k"]),
        make("Cast", ["k"], ["c"], to=1),
        make("Mul", ["x", "c"], ["y"]),
    ],
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_on_the_number_of_samples_is_refused(save_onnx: Save, name: str) -> None:
    weights = {**WEIGHTS, "w": np.arange(2, dtype=np.float32)}
    with pytest.raises(ModelError, match="is computed from the number of samples") as refusal:
        load_model(save_onnx([*BATCH, *FORMULAS[name]], weights, shape=(6,)))
    assert refusal.value.hint


SIZES = {
    "together with others": [
        make("Concat", ["n", "two", "last"], ["t"], axis=0),
        make("Reshape", ["x", "t"], ["y"]),
    ],
    "cut, turned and chosen": [
        make("Slice", ["s", "zero", "one"], ["b"]),
        make("Unsqueeze", ["two", "zero"], ["k"]),
        make("Squeeze", ["k", "zero"], ["k1"]),
        make("Concat", ["b", "k1", "last"], ["t0"], axis=0),
        make("Equal", ["t0", "last"], ["is"]),
        make("Where", ["is", "three", "t0"], ["t"]),
        make("Reshape", ["x", "t"], ["y"]),
    ],
    "beside sizes of the sample": [
        make("Gather", ["s", "one"], ["f"]),
        make("Div", ["f", "two"], ["half"]),
        make("Concat", ["n", "half", "two"], ["t"], axis=0),
        make("Reshape", ["x", "t"], ["y"]),
    ],
    "a size of the sample in a formula": [
        make("Gather", ["s", "one"], ["f"]),
        make("Cast", ["f"], ["c"], to=1),
        make("Div", ["x", "c"], ["y"]),
    ],
}


@pytest.mark.parametrize("name", SIZES)
def test_number_of_samples_as_the_first_size_is_no_constant(save_onnx: Save, name: str) -> None:
    path = save_onnx([*BATCH, *SIZES[name]], {**WEIGHTS, "three": ints(3)}, shape=(6,))
    loaded = load_model(path)
    for samples in (1, 5):
        loaded.compare(np.random.default_rng(0).normal(size=(samples, 6)).astype(np.float32))


def test_a_fixed_batch_is_a_number_like_others(save_onnx: Save) -> None:
    path = save_onnx([*BATCH, *FORMULAS["a factor"]], WEIGHTS, shape=(6,), batch=4)
    assert load_model(path).compare(np.ones((4, 6), np.float32)).holds
