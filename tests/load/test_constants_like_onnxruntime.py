"""Every operator that folds away computes what ONNX Runtime computes, or is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from snnconvert.load.constants import BINARY, FOLDERS, REDUCTIONS, UNARY, fold
from snnconvert.operators import OnnxNode, Unsupported

OPSET = 18
DRAWS = 100
Random = np.random.Generator
Draw = Callable[[Random], tuple[list[np.ndarray], dict[str, Any]]]


def shape(rng: Random, ranks: range = range(4)) -> tuple[int, ...]:
    return tuple(int(size) for size in rng.integers(1, 4, rng.integers(ranks.start, ranks.stop)))


def tensor(rng: Random, kinds: str = "fil", size: tuple[int, ...] | None = None) -> np.ndarray:
    size = shape(rng) if size is None else size
    match rng.choice(list(kinds)):
        case "f":
            return (rng.normal(size=size) * 10.0 ** rng.integers(-3, 12)).astype(np.float32)
        case "l":
            return rng.integers(-(2 ** int(rng.integers(2, 62))), 2 ** int(rng.integers(2, 62)), size, np.int64)
        case "i":
            return rng.integers(-9, 9, size).astype(np.int32)
        case "b":
            return rng.integers(0, 2, size).astype(np.bool_)
    raise AssertionError(kinds)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def pair(rng: Random, kinds: str = "fil") -> tuple[np.ndarray, np.ndarray]:
    """Two tensors of one type that spread to one shape."""
    kind, size = str(rng.choice(list(kinds))), shape(rng)
    cut = tuple(1 if rng.random() < 0.3 else each for each in size[rng.integers(0, len(size) + 1) :])
    return tensor(rng, kind, size), tensor(rng, kind, cut)


def axes(rng: Random, rank: int) -> list[int]:
    count = int(rng.integers(0, rank + 1))
    return [int(axis) - (rank if rng.random() < 0.5 else 0) for axis in rng.choice(rank, count, replace=False)]


def reduction(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng, size=shape(rng, range(1, 4)))
    settings = {"keepdims": int(rng.integers(0, 2)), "noop_with_empty_axes": int(rng.integers(0, 2))}
    return [value] if rng.random() < 0.2 else [value, np.array(axes(rng, value.ndim), np.int64)], settings


def gather(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng, size=shape(rng, range(1, 4)))
    axis = int(rng.integers(-value.ndim, value.ndim))
    size = value.shape[axis]
    return [value, rng.integers(-size, size, shape(rng, range(3)), np.int64)], {"axis": axis}


def concat(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    size, kind = shape(rng, range(1, 4)), str(rng.choice(list("fil")))
    return [tensor(rng, kind, size) for _ in range(3)], {"axis": int(rng.integers(-len(size), len(size)))}


def reshape(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng, size=shape(rng, range(1, 4)))
    target = list(value.shape)
    rng.shuffle(target)
    if rng.random() < 0.5:
        target[int(rng.integers(len(target)))] = -1
    return [value, np.array(target, np.int64)], {}


def squeeze(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng, size=(1, *shape(rng), 1))
    return [value, ints(*rng.choice([0, -1], 1))] if rng.random() < 0.7 else [value], {}


def unsqueeze(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng)
    return [value, ints(*axes(rng, value.ndim + 2)[:2])], {}


def part(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng, size=shape(rng, range(1, 4)))
    chosen = axes(rng, value.ndim) or [0]
    numbers = [rng.choice([-9, -3, -1, 0, 1, 2, 9, 2**62, -(2**63)], len(chosen)) for _ in range(2)]
    steps = rng.choice([-2, -1, 1, 2], len(chosen))
    return [value, *(np.array(each, np.int64) for each in (*numbers, chosen, steps))], {}


def spans(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    kind = rng.choice([np.int64, np.float32])
    return [
        np.asarray(each, kind) for each in (rng.integers(-9, 9), rng.integers(-9, 9), rng.choice([-2, -1, 1, 3]))
    ], {}


def expand(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng)
    return [value, ints(*(int(rng.choice([1, size])) for size in (2, *value.shape)))], {}


def like(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    return [tensor(rng, "filb"), tensor(rng, "filb")], {}


def powers(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    size = shape(rng)
    base = rng.integers(-5, 6, size).astype(rng.choice([np.float32, np.int64, np.int32]))
    exponent = rng.integers(-2, 5, size) * rng.choice([1, 0.5])
    return [base, exponent.astype(rng.choice([np.float32, np.int64, np.int32]))], {}


def several(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    kind, size = str(rng.choice(list("fil"))), shape(rng)
    return [tensor(rng, kind, size) for _ in range(int(rng.integers(1, 5)))], {}


def filled(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng, size=(1,))
    return [ints(*shape(rng))], {"value": numpy_helper.from_array(value)} if rng.random() < 0.7 else {}


def chosen_by(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    left, right = pair(rng)
    return [tensor(rng, "b", left.shape), left, right], {}


def tile(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng)
    return [value, np.array(rng.integers(0, 3, value.ndim), np.int64)], {}


def transpose(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng, size=shape(rng, range(1, 4)))
    return [value], {"perm": [int(each) for each in rng.permutation(value.ndim)]} if rng.random() < 0.7 else {}


def flatten(rng: Random) -> tuple[list[np.ndarray], dict[str, Any]]:
    value = tensor(rng, size=shape(rng, range(1, 4)))
    return [value], {"axis": int(rng.integers(-value.ndim, value.ndim + 1))}


LOGICAL = {"And": "b", "Or": "b", "Equal": "filb", "Less": "fil", "Greater": "fil"}
ROUNDED = {"Not": "b", "Neg": "fil", "Abs": "fil"}
DRAWN: dict[str, Draw] = {
    **{name: lambda rng, name=name: (list(pair(rng, LOGICAL.get(name, "fil"))), {}) for name in BINARY},  # type: ignore[misc]
    **{name: lambda rng, name=name: ([tensor(rng, ROUNDED.get(name, "f"))], {}) for name in UNARY},  # type: ignore[misc]
    **dict.fromkeys(REDUCTIONS, reduction),
    "Mod": lambda rng: (list(pair(rng)), {"fmod": int(rng.integers(0, 2))}),
    "Pow": powers,
    "Min": several,
    "Max": several,
    "Gather": gather,
    "Concat": concat,
    "Cast": lambda rng: ([tensor(rng, "filb")], {"to": int(rng.choice([1, 6, 7, 9, 11]))}),
    "CastLike": like,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Slice": part,
    "Range": spans,
    "Expand": expand,
    "Tile": tile,
    "Where": chosen_by,
    "Flatten": flatten,
    "Size": lambda rng: ([tensor(rng)], {}),
    "Identity": lambda rng: ([tensor(rng)], {}),
    "ConstantOfShape": filled,
}


def test_every_operator_that_folds_is_drawn() -> None:
    assert {*DRAWN} == {*FOLDERS}


def computed_by_runtime(name: str, values: list[np.ndarray], settings: dict[str, Any]) -> np.ndarray | None:
    """Return what ONNX Runtime computes; None where it refuses the node."""
    names = [f"i{index}" for index in range(len(values))]
    node = helper.make_node(name, names, ["y"], **settings)
    inputs = [
        helper.make_tensor_value_info(each, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for each, value in zip(names, values, strict=True)
    ]
    graph = helper.make_graph([node], "one", inputs, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, dict(zip(names, values, strict=True)))
    except Exception:  # noqa: BLE001 - ONNX Runtime's exceptions have no common base
        return None
    return np.asarray(found)


@pytest.mark.parametrize("name", DRAWN)
def test_constant_is_what_onnx_runtime_computes(name: str) -> None:
    compared = 0
    for seed in range(DRAWS):
        values, settings = DRAWN[name](np.random.default_rng(seed))
        expected = computed_by_runtime(name, values, settings)
        if expected is None:
            continue
        attributes = {
            key: numpy_helper.to_array(value) if hasattr(value, "dims") else value for key, value in settings.items()
        }
        names = tuple(f"i{index}" for index in range(len(values)))
        node = OnnxNode("n", name, OPSET, attributes, names, tuple(values), (None,) * len(values), 1)
        try:
            found = fold(node)
        except Unsupported:
            continue
        assert found is not None
        told = f"{name} {settings} of {values}"
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), told
        np.testing.assert_allclose(found, expected, rtol=1e-5 if found.dtype.kind == "f" else 0, err_msg=told)
        compared += 1
    assert compared > DRAWS // 4
