"""Functions that a model defines of its own: inlined exactly, and counted before anything is made of them."""

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import AttributeProto, helper, numpy_helper

from snnconvert.errors import ModelError
from snnconvert.load import load_model, open_model, survey_model

make = helper.make_node
Save = Callable[..., Path]
Bodies = Sequence[onnx.FunctionProto]
OPSETS = (("", 18), ("f", 1))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def call(name: str, *values: str, **attributes: object) -> onnx.NodeProto:
    """Call a function of several inputs and one output, which is the last of ``values``."""
    return make(name, list(values[:-1]), [values[-1]], domain="f", **attributes)


def body(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[str] = ("X",),
    outputs: Sequence[str] = ("Y",),
    opsets: Sequence[tuple[str, int]] = OPSETS,
    domain: str = "f",
    **more: Sequence[object],
) -> onnx.FunctionProto:
    imports = [helper.make_opsetid(*each) for each in opsets]
    return helper.make_function(domain, name, list(inputs), list(outputs), nodes, imports, **more)


def calling(*bodies: onnx.FunctionProto) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import.add(domain="f", version=1)
        model.functions.extend(bodies)
        model.ir_version = 10

    return change


def refused(path: Path, code: str) -> str:
    start = time.process_time()
    with pytest.raises(ModelError, match=r"^error\[E\d{3}\]: ") as refusal:
        load_model(path)
    assert time.process_time() - start < 2  # a second, on a machine that is shared
    assert refusal.value.code == code
    assert "\n" not in str(refusal.value)
    return refusal.value.message


def assert_same_as_the_file(path: Path, shape: Sequence[int]) -> None:
    """Compare with ONNX Runtime on the file itself, functions and all."""
    loaded = load_model(path)
    x = noise(3, *shape)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(None, {"x": x})[0], loaded.reference.run(x), atol=1e-6)
    assert loaded.compare(x).max_error < 1e-5


BLOCK = body(
    "block",
    [make("Conv", ["X", "W", "B"], ["a"], pads=[1, 1, 1, 1], name="conv"), make("Relu", ["a"], ["Y"], name="relu")],
    ["X", "W", "B"],
)


def test_functions_within_functions_are_inlined(save_onnx: Save) -> None:
    twice = body("twice", [call("block", "X", "W", "B", "a"), call("block", "a", "W", "B", "Y")], ["X", "W", "B"])
    nodes = [
        call("twice", "x", "w", "b", "a__1"),  # a name that inlining would choose
        call("block", "a__1", "w", "b", "c"),
        make("Add", ["c", "x"], ["y"]),
    ]
    path = save_onnx(nodes, {"w": noise(3, 3, 3, 3), "b": noise(3)}, change=calling(BLOCK, twice))
    assert [origin.operator for origin in load_model(path).graph.origins] == ["Conv", "Relu"] * 3 + ["Add"]
    assert survey_model(open_model(path))[1] == {}
    assert_same_as_the_file(path, (3, 8, 8))


def test_order_of_functions_is_free(save_onnx: Save) -> None:
    outer = body("outer", [make("Neg", ["X"], ["b"]), call("block", "b", "W", "B", "Y")], ["X", "W", "B"])
    weights = {"w": noise(3, 3, 3, 3), "b": noise(3)}
    path = save_onnx([call("outer", "x", "w", "b", "y")], weights, change=calling(outer, BLOCK))
    assert [origin.operator for origin in load_model(path).graph.origins] == ["Neg", "Conv", "Relu"]


def test_attributes_are_passed_on_and_have_defaults(save_onnx: Save) -> None:
    def referring(name: str, kind: int, of: str) -> AttributeProto:
        return AttributeProto(name=name, type=kind, ref_attr_name=of)

    gemm = make("Gemm", ["X", "W"], ["Y"], transB=1)
    gemm.attribute.append(referring("alpha", AttributeProto.FLOAT, "scale"))
    gemm.attribute.append(referring("beta", AttributeProto.FLOAT, "unset"))
    default = helper.make_attribute("scale", 0.5)
    function = body("scaled", [gemm], ["X", "W"], attributes=["unset"], attribute_protos=[default])
    nodes = [call("scaled", "x", "w", "a", scale=2.0), call("scaled", "a", "w", "y")]
    path = save_onnx(nodes, {"w": noise(7, 7)}, (7,), change=calling(function))
    assert_same_as_the_file(path, (7,))
    x, w = noise(3, 7), noise(7, 7)
    assert np.allclose(load_model(path).reference.run(x), 0.5 * (2 * x @ w.T) @ w.T, atol=1e-4)


def test_inputs_and_outputs_may_be_left_out(save_onnx: Save) -> None:
    function = body(
        "both",
        [make("Gemm", ["X", "W", "B"], ["Y"], transB=1), make("Neg", ["X"], ["Z"])],
        ["X", "W", "B"],
        ["Z", "Y"],
    )
    nodes = [make("both", ["x", "w"], ["", "y"], domain="f")]
    assert_same_as_the_file(save_onnx(nodes, {"w": noise(5, 7)}, (7,), output="y", change=calling(function)), (7,))


def test_overloads_are_told_apart(save_onnx: Save) -> None:
    first, second = body("g", [make("Relu", ["X"], ["Y"])]), body("g", [make("Neg", ["X"], ["Y"])])
    second.overload = "other"
    node = call("g", "x", "y")
    node.overload = "other"
    path = save_onnx([node], shape=(7,), change=calling(first, second))
    assert [origin.operator for origin in load_model(path).graph.origins] == ["Neg"]


def test_constant_in_a_function_is_inlined(save_onnx: Save) -> None:
    constant = make("Constant", [], ["c"], value=numpy_helper.from_array(noise(7)))
    function = body("shift", [constant, make("Add", ["X", "c"], ["Y"])])
    path = save_onnx([call("shift", "x", "a"), call("shift", "a", "y")], shape=(7,), change=calling(function))
    assert np.allclose(load_model(path).reference.run(noise(1, 7)), 3 * noise(7), atol=1e-5)


def test_function_that_nobody_calls_is_not_looked_at(save_onnx: Save) -> None:
    odd = body("odd", [call("odd", "X", "Y")], opsets=[("", 9)])
    path = save_onnx([make("Relu", ["x"], ["y"])], shape=(7,), change=calling(odd))
    assert [node.name for node in load_model(path).graph.nodes] == ["y"]


def doubling(levels: int) -> Bodies:
    """Functions of which each calls the next one twice: ``2**levels`` nodes."""
    bodies = [
        body(f"f{level}", [call(f"f{level + 1}", "X", "Z"), call(f"f{level + 1}", "Z", "Y")]) for level in range(levels)
    ]
    return [*bodies, body(f"f{levels}", [make("Relu", ["X"], ["Y"])])]


@pytest.mark.parametrize("levels", [16, 25, 64, 300, 2_000])
def test_function_bomb_is_refused_at_once(save_onnx: Save, levels: int) -> None:
    path = save_onnx([call("f0", "x", "y")], shape=(7,), change=calling(*doubling(levels)))
    message = refused(path, "E121")
    assert (
        f"functions inlined, {2 ** (levels + 1) + 2**levels - 1 if levels < 40 else '1e+15 or more'} nodes" in message
    )


def test_as_many_nodes_as_are_allowed_are_inlined(save_onnx: Save) -> None:
    path = save_onnx([call("f0", "x", "y")], shape=(7,), change=calling(*doubling(6)))
    assert len(load_model(path).graph.nodes) == 64


def test_limit_on_nodes_is_exact(save_onnx: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_onnx([call("f0", "x", "a"), make("Relu", ["a"], ["y"])], shape=(7,), change=calling(*doubling(3)))
    monkeypatch.setattr("snnconvert.load.onnx_file.MAX_NODES", 24)  # 15 calls and 8 nodes, and one beside them
    load_model(path)
    monkeypatch.setattr("snnconvert.load.onnx_file.MAX_NODES", 23)
    assert "24 nodes of up to" in refused(path, "E121")


def test_calls_of_what_is_empty_are_counted(save_onnx: Save) -> None:
    bodies = [body(f"f{level}", [make(f"f{level + 1}", [], [], domain="f")] * 2, [], []) for level in range(25)]
    nodes = [make("f0", [], [], domain="f"), make("Relu", ["x"], ["y"])]
    path = save_onnx(nodes, shape=(7,), change=calling(*bodies, body("f25", [], [], [])))
    assert f"{2**26} nodes of up to" in refused(path, "E121")


def test_calls_may_be_nested_deeply(save_onnx: Save) -> None:
    bodies = [body(f"f{level}", [call(f"f{level + 1}", "X", "Y")]) for level in range(2_000)]
    path = save_onnx(
        [call("f0", "x", "y")], shape=(7,), change=calling(*bodies, body("f2000", [make("Neg", ["X"], ["Y"])]))
    )
    assert [node.name for node in load_model(path).graph.nodes] == ["y"]


def chain(name: str, count: int) -> list[onnx.NodeProto]:
    values = ["x", *(f"v{index}" for index in range(1, count)), "y"]
    return [call(name, before, after) for before, after in itertools.pairwise(values)]


def test_constant_that_is_copied_too_often_is_refused(save_onnx: Save) -> None:
    constant = make("Constant", [], ["c"], value=numpy_helper.from_array(noise(2**16)))
    function = body("big", [constant, make("Add", ["X", "c"], ["Y"])])
    path = save_onnx(chain("big", 2000), shape=(2**16,), change=calling(function))
    assert path.stat().st_size < 10**6
    assert "6000 nodes of up to 52" in refused(path, "E121")


def test_long_name_that_is_copied_too_often_is_refused(save_onnx: Save) -> None:
    values = [f"v{index}" for index in range(1000)]
    adds = [make("Add", ["X", before], [after]) for before, after in zip(["X", *values], [*values, "Y"], strict=False)]
    long = "n" * 2**20
    path = save_onnx(
        [make("Relu", ["x"], [long]), call("long", long, "y")], shape=(7,), change=calling(body("long", adds))
    )
    assert "1003 nodes of up to" in refused(path, "E121")


def test_attribute_that_is_copied_too_often_is_refused(save_onnx: Save) -> None:
    constants = [make("Constant", [], [f"c{index}"]) for index in range(1000)]
    for node in constants:
        node.attribute.append(AttributeProto(name="value", type=AttributeProto.TENSOR, ref_attr_name="v"))
    function = body("many", [*constants, make("Add", ["X", "c0"], ["Y"])], attributes=["v"])
    node = call("many", "x", "y", v=numpy_helper.from_array(noise(2**17)))
    assert "1002 nodes of up to" in refused(save_onnx([node], shape=(2**17,), change=calling(function)), "E121")
    default = helper.make_attribute("v", numpy_helper.from_array(noise(2**17)))
    function = body("many", [*constants, make("Add", ["X", "c0"], ["Y"])], attribute_protos=[default])
    path = save_onnx([call("many", "x", "y")], shape=(2**17,), change=calling(function))
    assert "1002 nodes of up to" in refused(path, "E121")


RELU = make("Relu", ["X"], ["Y"])
BRANCH = helper.make_graph([make("Relu", ["X"], ["t"])], "branch", [], [onnx.ValueInfoProto(name="t")])
BRANCHING = make("If", ["X"], ["Y"], then_branch=BRANCH, else_branch=BRANCH)
REFUSED = {
    "recursive": ("E120", [body("g", [call("g", "X", "Y")])], "call each other in a circle"),
    "recursive in a circle": (
        "E120",
        [body("g", [call("h", "X", "Y")]), body("h", [call("g", "X", "Z"), make("Relu", ["Z"], ["Y"])])],
        "call each other in a circle",
    ),
    "another opset": ("E120", [body("g", [RELU], opsets=[("", 13)])], "written for opset 13, the model for 18"),
    "two opsets": ("E120", [body("g", [RELU], opsets=[("", 18), ("ai.onnx", 9)])], "is written for opset 9, 18"),
    "standard operator": ("E120", [body("Relu", [RELU], domain=""), body("g", [RELU])], "'Relu' redefines a standard"),
    "standard operator, long name": (
        "E120",
        [body("Relu", [RELU], domain="ai.onnx"), body("g", [RELU])],
        "'Relu' redefines a standard",
    ),
    "defined twice": ("E120", [body("g", [RELU]), body("g", [RELU])], "two functions are named 'g'"),
    "branch in it": ("E120", [body("g", [BRANCHING])], "holds a graph of its own"),
    "two inputs of one name": ("E114", [body("g", [RELU], ["X", "X"])], "two inputs share a name"),
    "input without a name": ("E114", [body("g", [RELU], ["X", ""])], "or one has none"),
    "two nodes compute one value": ("E114", [body("g", [RELU, RELU])], "computes 'Y' twice, or over an input"),
    "a node computes an input": (
        "E114",
        [body("g", [make("Relu", ["X"], ["X"]), RELU])],
        "computes 'X' twice, or over an input",
    ),
    "reads what lies outside": (
        "E114",
        [body("g", [make("Add", ["X", "w"], ["Y"])])],
        "reads 'w', which nothing before it computes",
    ),
    "output that nothing computes": ("E114", [body("g", [RELU], outputs=["Z"])], "an output is computed by no node"),
    "output that is an input": ("E114", [body("g", [RELU], outputs=["X"])], "an output is computed by no node"),
    "output twice": ("E114", [body("g", [RELU], outputs=["Y", "Y"])], "or named twice"),
    "more inputs than it takes": ("E123", [body("g", [RELU], [])], "calls 'g' with more than it takes"),
    "more outputs than it has": ("E123", [body("g", [RELU], outputs=[])], "calls 'g' with more than it takes"),
    "cycle in it": (
        "E114",
        [body("g", [make("Add", ["X", "Y"], ["Z"]), make("Relu", ["Z"], ["Y"])])],
        "reads 'Y', which nothing before it computes",
    ),
    "node without an operator": ("E114", [body("g", [make("", ["X"], ["Y"])])], "has no operator or no output"),
    "operator that is not known": ("E120", [body("g", [make("Frob", ["X"], ["Y"])])], "operator Frob is not supported"),
    "call of nothing": ("E120", [body("h", [RELU])], "operator of the domain 'f'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_function_that_has_no_one_meaning_is_refused(save_onnx: Save, name: str) -> None:
    code, bodies, reason = REFUSED[name]
    path = save_onnx([call("g", "x", "y")], {"w": noise(7)}, (7,), change=calling(*bodies))
    assert reason in refused(path, code)


def test_branch_beside_a_call_is_refused(save_onnx: Save) -> None:
    nodes = [BRANCHING, call("g", "x", "y")]
    assert "holds a graph of its own" in refused(
        save_onnx(nodes, shape=(7,), change=calling(body("g", [RELU]))), "E120"
    )
