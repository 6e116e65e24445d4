"""Calibration against what one gets by keeping every activation and asking numpy."""

import pickle
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.calibrate import RELATIVE_ERROR, ActivationStatistics, channel_axes, collect
from snnconvert.errors import DataError, ModelError
from snnconvert.graph import Graph, Node
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import Mean
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.sum import Sum
from snnconvert.operators.window import Window

CPU = torch.device("cpu")
SAME = Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def network() -> Graph:
    """Two convolutions with a shortcut, a mean over space, two linear layers: four activations."""
    make = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make) / 3

    return Graph(
        "small",
        "image",
        (3, 8, 7),
        (
            Node("conv1", Convolution(normal(5, 3, 3, 3), normal(5), SAME), ("image",)),
            Node("relu1", ReLU(), ("conv1",)),
            Node("conv2", Convolution(normal(5, 5, 3, 3), normal(5), SAME), ("relu1",)),
            Node("add", Sum(), ("conv2", "relu1")),
            Node("relu2", ReLU(), ("add",)),
            Node("mean", Mean((1, 2), keep=False), ("relu2",)),
            Node("fc1", Linear(normal(9, 5), normal(9)), ("mean",)),
            Node("relu3", ReLU(), ("fc1",)),
            Node("fc2", Linear(normal(4, 9), normal(4)), ("relu3",)),
            Node("relu4", ReLU(torch.full((1,), 0.25)), ("fc2",)),
        ),
        "relu4",
    )


@pytest.fixture(scope="module")
def samples() -> Array:
    return np.random.default_rng(0).normal(size=(60, 3, 8, 7)).astype(np.float32)


def batches(samples: Array, size: int) -> Iterator[Array]:
    return (samples[first : first + size] for first in range(0, len(samples), size))


def kept(graph: Graph, samples: Array) -> dict[str, Array]:
    """Return every activation of every sample."""
    found: dict[str, Array] = {}
    with torch.no_grad():
        graph.run(torch.from_numpy(samples), lambda node, output: found.update({node.name: output.numpy()}))
    return {node.name: found[node.name] for node in graph.activations}


def test_no_sample_is_refused(network: Graph) -> None:
    with pytest.raises(DataError, match=r"E201.*the calibration set holds no sample"):
        collect(network, [], per_channel=True, device=CPU)
    with pytest.raises(DataError, match="E201"):
        collect(network, [np.zeros((0, 3, 8, 7), np.float32)], per_channel=False, device=CPU)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf])
def test_an_activation_that_is_not_finite_is_refused(
    network: Graph, samples: Array, value: float, per_channel: bool
) -> None:
    broken = samples.copy()
    broken[17, 1, 2, 3] = value
    with pytest.raises(ModelError, match=r"E117.*node 'relu1': an activation is NaN or infinite"):
        collect(network, batches(broken, 10), per_channel, CPU)


def test_infinities_that_cancel_to_nan_are_refused(samples: Array) -> None:
    # infinity - infinity is a NaN with its sign set on x86: it must not pass as a negative number
    twice = Linear(torch.tensor([[3e38, 0.0], [0.0, 3e38]]), None)
    difference = Linear(torch.tensor([[1.0, -1.0]]), None)
    nodes = (
        Node("grow", twice, ("x",)),
        Node("more", twice, ("grow",)),
        Node("difference", difference, ("more",)),
        Node("relu", ReLU(), ("difference",)),
    )
    graph = Graph("overflow", "x", (2,), nodes, "relu")
    with pytest.raises(ModelError, match=r"E117.*node 'relu'"):
        collect(graph, [np.ones((4, 2), np.float32)], per_channel=False, device=CPU)


@pytest.mark.parametrize("nonzero", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
def test_statistics_are_those_of_all_activations_stacked(
    network: Graph, samples: Array, per_channel: bool, nonzero: bool
) -> None:
    statistics = collect(network, batches(samples, 60), per_channel, CPU)
    assert (statistics.samples, statistics.per_channel) == (60, per_channel)
    activations = kept(network, samples)
    assert list(statistics.layers) == list(activations) == ["relu1", "relu2", "relu3", "relu4"]
    for name, activation in activations.items():
        layer = statistics.layers[name]
        rows = np.moveaxis(activation, 1, -1).reshape(-1, activation.shape[1]).astype(np.float64)
        columns = rows.T if per_channel else rows.reshape(1, -1)
        np.testing.assert_allclose(layer.maximum, columns.max(1), rtol=1e-5)
        np.testing.assert_allclose(layer.zeros, (rows == 0).mean(), atol=1e-3)
        for percent in (50, 90, 99, 99.9):
            wanted = [
                np.percentile(c[c > 0] if nonzero else c, percent, method="inverted_cdf") if c.any() else 0.0
                for c in columns
            ]
            np.testing.assert_allclose(layer.percentile(percent, nonzero), wanted, rtol=RELATIVE_ERROR + 1e-5)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("size", [1, 7, 59])
def test_batch_size_moves_nothing_beyond_the_stated_error(
    network: Graph, samples: Array, size: int, per_channel: bool
) -> None:
    whole = collect(network, [samples], per_channel, CPU)
    split = collect(network, batches(samples, size), per_channel, CPU)
    assert split.samples == whole.samples
    for name, layer in whole.layers.items():
        np.testing.assert_allclose(split.layers[name].maximum, layer.maximum, rtol=1e-5)
        for percent in (50, 99, 99.9):
            found, wanted = split.layers[name].percentile(percent, True), layer.percentile(percent, True)
            np.testing.assert_allclose(found, wanted, rtol=2.01 * RELATIVE_ERROR)


def test_order_of_equal_batches_changes_no_count(network: Graph, samples: Array) -> None:
    parts = list(batches(samples, 10))
    forwards = collect(network, parts, per_channel=True, device=CPU)
    backwards = collect(network, parts[::-1], per_channel=True, device=CPU)
    for name, layer in forwards.layers.items():
        assert np.array_equal(layer.histogram.counts, backwards.layers[name].histogram.counts)
        assert np.array_equal(layer.histogram.zeros, backwards.layers[name].histogram.zeros)


def test_layer_percentile_is_the_same_from_channels_and_from_the_layer(network: Graph, samples: Array) -> None:
    by_channel = collect(network, [samples], per_channel=True, device=CPU)
    by_layer = collect(network, [samples], per_channel=False, device=CPU)
    for name, layer in by_layer.layers.items():
        assert by_channel.layers[name].whole.percentile(99.9, True)[0] == layer.percentile(99.9, True)[0]
        assert by_channel.layers[name].zeros == layer.zeros


@pytest.mark.parametrize("per_channel", [True, False])
def test_memory_does_not_grow_with_the_number_of_samples(network: Graph, samples: Array, per_channel: bool) -> None:
    def size(statistics: ActivationStatistics) -> int:
        return len(pickle.dumps(statistics))

    few = collect(network, batches(samples, 10), per_channel, CPU)
    many = collect(network, (batch for _ in range(10) for batch in batches(samples, 10)), per_channel, CPU)
    assert many.samples == 10 * few.samples
    assert abs(size(many) - size(few)) < 64  # the number of samples itself
    assert not any(isinstance(value, Tensor) for layer in many.layers.values() for value in vars(layer).values())


def channels_of(node: Node, shape: tuple[int, ...], *more: Node) -> int:
    """Return the channel axis of a ReLU behind the last of the nodes."""
    nodes = (node, *more)
    graph = Graph("axis", "x", shape, (*nodes, Node("relu", ReLU(), (nodes[-1].name,))), "relu")
    return channel_axes(graph)["relu"]


def linear(name: str, source: str = "x") -> Node:
    return Node(name, Linear(torch.ones(6, 6), None), (source,))


def test_channels_are_on_the_first_axis_behind_a_convolution() -> None:
    assert channels_of(Node("conv", Convolution(torch.ones(2, 3, 3, 3), None, SAME), ("x",)), (3, 5, 5)) == 0


def test_channels_are_on_the_last_axis_behind_a_linear_layer() -> None:
    assert channels_of(linear("fc"), (6,)) == 0
    assert channels_of(linear("fc"), (4, 6)) == 1


def test_channels_are_found_through_sums_and_affine_maps() -> None:
    affine = Node("affine", Affine(torch.ones(1, 6), torch.zeros(1, 1)), ("add",))
    add = Node("add", Sum(), ("a", "b"))
    assert channels_of(linear("a"), (4, 6), linear("b"), add, affine) == 1
    convolution = Convolution(torch.ones(3, 3, 3, 3), None, SAME)
    conv = Node("conv", convolution, ("x",))
    assert channels_of(conv, (3, 5, 5), Node("add", Sum(), ("conv", "x"))) == 0


def test_channels_of_a_relu_on_the_input_are_on_the_first_axis() -> None:
    graph = Graph("axis", "x", (3, 5, 5), (Node("relu", ReLU(), ("x",)),), "relu")
    assert channel_axes(graph)["relu"] == 0


def test_channels_on_the_last_axis_are_counted_apart() -> None:
    graph = Graph("rows", "x", (4, 6), (linear("fc"), Node("relu", ReLU(), ("fc",))), "relu")
    graph = graph.replace(nodes=(Node("fc", Linear(torch.diag(torch.arange(6.0)), None), ("x",)), graph.nodes[1]))
    statistics = collect(graph, [np.ones((2, 4, 6), np.float32)], per_channel=True, device=CPU)
    assert statistics.layers["relu"].maximum.tolist() == [0, 1, 2, 3, 4, 5]
