"""Pools move before activations and leave the function as it is, or become averages of the same elements."""

import dataclasses
import itertools
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from snnconvert.fold import PASSES
from snnconvert.fold.max_pool import (
    AveragedMaxPool,
    MovePoolBeforeActivation,
    MovePoolBehindActivation,
    pools_averaged,
)
from snnconvert.graph import Graph, Node, OnnxWriter, Operator, apply_passes, relative_error
from snnconvert.operators.activation import ReLU
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.reshape import Concat, Identity
from snnconvert.operators.sum import Sum
from snnconvert.operators.window import Window, extended

POOL = MaxPool(Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0)))
OVERLAPPING = MaxPool(Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1)))
BEFORE, BEHIND = MovePoolBeforeActivation(), MovePoolBehindActivation()


def net(*nodes: tuple[str, Operator, str], shape: tuple[int, ...] = (4, 8, 8), output: str | None = None) -> Graph:
    made = tuple(Node(name, operator, tuple(inputs.split()), (name,)) for name, operator, inputs in nodes)
    return Graph("net", "x", shape, made, output or made[-1].name)


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def kept(graph: Graph) -> Graph:
    changed = BEFORE.run(graph)
    probe = torch.randn((3, *graph.input_shape), generator=torch.Generator().manual_seed(0))
    assert relative_error(changed.run(probe), graph.run(probe)) == 0
    return changed


# before activations


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(net(("r", ReLU(), "x"), ("p", POOL, "r"), ("q", POOL, "r"), ("y", Sum(), "p q")), id="two pools"),
        pytest.param(net(("r", ReLU(), "x"), ("p", OVERLAPPING, "r"), ("y", Sum(), "p r")), id="activation read twice"),
        pytest.param(net(("r", ReLU(), "x"), ("y", Concat(0), "r x"), ("p", POOL, "y")), id="behind a concatenation"),
        pytest.param(net(("r", ReLU(), "x"), ("i", Identity(), "r"), ("p", POOL, "i")), id="behind another operator"),
        pytest.param(net(("p", POOL, "x"), ("r", ReLU(), "p")), id="before it already"),
        pytest.param(net(("p", POOL, "x")), id="over the input"),
    ],
)
def test_pool_that_is_not_alone_behind_an_activation_stays(graph: Graph) -> None:
    assert kept(graph) is graph


def test_activation_that_is_the_output_too_is_not_moved() -> None:
    graph = dataclasses.replace(net(("r", ReLU(), "x"), ("p", POOL, "r")), output="r")
    assert kept(graph) is graph


@pytest.mark.parametrize("ceiling", [None, torch.full((1, 1, 1), 0.5), torch.rand(4, 1, 1) + 0.1])
def test_pool_alone_behind_an_activation_moves_before_it(ceiling: torch.Tensor | None) -> None:
    graph = kept(net(("r", ReLU(ceiling), "x"), ("p", POOL, "r")))
    assert names(graph) == ["p", "r"]
    assert graph.output == "r"
    assert [node.origins for node in graph.nodes] == [("p",), ("r",)]


def test_readers_of_the_pool_read_the_activation_then() -> None:
    graph = kept(net(("r", ReLU(), "x"), ("p", POOL, "r"), ("i", Identity(), "p"), ("y", Sum(), "i p p")))
    assert names(graph) == ["p", "r", "i", "y"]
    assert graph.by_name["y"].inputs == ("i", "r", "r")


def test_pools_and_activations_in_a_row_change_sides() -> None:
    graph = kept(
        net(("r", ReLU(), "x"), ("p", POOL, "r"), ("s", ReLU(), "p"), ("q", POOL, "s"), ("o", OVERLAPPING, "q"))
    )
    assert names(graph) == ["p", "q", "o", "r", "s"]


@pytest.mark.parametrize(
    "graph",
    [
        net(("p", POOL, "x"), ("r", ReLU(), "p")),
        net(("p", POOL, "x"), ("r", ReLU(), "p"), ("y", Sum(), "r r")),
        net(("p", POOL, "x"), ("q", OVERLAPPING, "p"), ("r", ReLU(), "q"), ("o", POOL, "r")),
    ],
)
def test_pool_that_moved_behind_an_activation_moves_before_it_again(graph: Graph) -> None:
    behind = BEHIND.run(graph)
    assert names(behind)[0] == "r"
    assert names(BEFORE.run(behind)).index("r") == sum(isinstance(node.operator, MaxPool) for node in graph.nodes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "blocks", [["chain", "maximum"], ["maximum", "inception", "maximum"], ["read twice", "maximum"]]
)
def test_networks_keep_their_function(nets: ModuleType, blocks: list[str], seed: int) -> None:
    graph = nets.recipe(blocks, seed=seed)
    assert names(kept(graph)) != names(graph)


@pytest.mark.parametrize("blocks", [["chain", "maximum"], ["maximum", "residual", "maximum"]])
def test_passes_come_to_rest_with_pools_before_activations(nets: ModuleType, blocks: list[str]) -> None:
    graph = nets.recipe(blocks)
    passes = [BEFORE if isinstance(each, MovePoolBehindActivation) else each for each in PASSES]
    probe = torch.randn((2, *graph.input_shape), generator=torch.Generator().manual_seed(0))
    folded, checks = apply_passes(graph, passes, probe)
    assert [check.stage for check in checks] == ["max pools moved before activations"]
    for node in folded.nodes:
        if isinstance(node.operator, MaxPool):
            assert isinstance(folded.consumers[node.name][0].operator, ReLU)


# averages


def test_pools_over_activations_are_averaged_and_no_others() -> None:
    graph = net(
        ("p", OVERLAPPING, "x"),
        ("r", ReLU(), "p"),
        ("q", OVERLAPPING, "r"),
        ("c", Concat(0), "p q"),
        ("o", OVERLAPPING, "c"),
    )
    averaged = pools_averaged(graph)
    assert {node.name for node in averaged.nodes if isinstance(node.operator, AveragedMaxPool)} == {"q", "o"}
    assert averaged.by_name["p"] is graph.by_name["p"]
    assert (averaged.shapes, averaged.output) == (graph.shapes, graph.output)
    assert [(node.name, node.inputs, node.origins) for node in averaged.nodes] == [
        (node.name, node.inputs, node.origins) for node in graph.nodes
    ]


def test_network_whose_pools_see_the_input_alone_stays_the_same() -> None:
    convolution = Convolution(torch.randn(4, 4, 1, 1), None, Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0)), 1)
    graph = net(("c", convolution, "x"), ("p", POOL, "c"), ("r", ReLU(), "p"))
    assert pools_averaged(graph) == graph


WINDOWS = {
    "2x2": (Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0)), (3, 6, 7)),
    "overlapping": (Window((3, 3), (2, 2), (1, 1), (1, 1), (1, 1)), (3, 7, 7)),
    "padded unevenly": (Window((3, 2), (2, 1), (1, 1), (0, 1), (2, 0)), (3, 6, 7)),
    "dilated": (Window((2, 3), (1, 2), (2, 1), (1, 0), (0, 1)), (3, 6, 7)),
    "by ceil_mode": (extended(Window((3, 3), (2, 2), (1, 1), (0, 0), (0, 0)), (1, 1)), (3, 6, 6)),
    "global": (Window((6, 7), (1, 1), (1, 1), (0, 0), (0, 0)), (3, 6, 7)),
    "of a sequence": (Window((3,), (2,), (1,), (1,), (0,)), (3, 11)),
    "of a sequence, dilated": (Window((3,), (1,), (2,), (1,), (2,)), (3, 11)),
}
every_window = pytest.mark.parametrize(("window", "shape"), WINDOWS.values(), ids=WINDOWS.keys())


def elements(window: Window, space: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Yield each place of the window and the real elements under it."""
    for place in itertools.product(*(range(size) for size in window.output_size(space))):
        under = [
            [p * s + k * d - b for k in range(kernel)]
            for p, s, d, b, kernel in zip(
                place, window.stride, window.dilation, window.before, window.kernel, strict=True
            )
        ]
        inside = [[at for at in axis if 0 <= at < size] for axis, size in zip(under, space, strict=True)]
        yield place, list(itertools.product(*inside))


@every_window
def test_average_is_the_mean_of_the_elements_that_the_maximum_was_taken_of(
    window: Window, shape: tuple[int, ...]
) -> None:
    x = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0))
    maximum, mean = MaxPool(window).evaluate([x]), AveragedMaxPool(window).evaluate([x])
    assert maximum.shape == mean.shape
    for place, under in elements(window, shape[1:]):
        values = torch.stack([x[(slice(None), slice(None), *at)] for at in under])
        found = (slice(None), slice(None), *place)
        assert torch.equal(maximum[found], values.amax(0))
        torch.testing.assert_close(mean[found], values.mean(0))


@every_window
def test_average_is_written_as_it_is_computed(window: Window, shape: tuple[int, ...]) -> None:
    x = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0))
    operator, writer = AveragedMaxPool(window), OnnxWriter()
    operator.to_onnx(writer, [writer.fresh("x")], [shape], writer.fresh("y"))
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *size])]
        for name, size in (("x", shape), ("y", operator.infer_shape([shape])))
    ]
    graph = helper.make_graph(writer.nodes, "written", *ends, writer.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (written,) = session.run(None, {"x": x.numpy()})
    np.testing.assert_allclose(written, operator.evaluate([x]).numpy(), rtol=1e-5, atol=1e-6)
