"""The normal form is the folded network in other units: each value is the ANN's value over its scale."""

from collections.abc import Callable, Mapping
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnconvert.calibrate import channel_axes
from snnconvert.graph import Graph, Node, relative_error, scale_of
from snnconvert.network import NormalForm, normal_form, spiking_network
from snnconvert.neurons import NEURONS
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.selection import Selection

LIMIT = 1e-5
either = pytest.mark.parametrize("per_channel", [False, True], ids=["per layer", "per channel"])


def random_scales(graph: Graph, per_channel: bool, seed: int = 0, powers: bool = False) -> dict[str, Tensor]:
    """Draw a scale between 1/10 and 10 for every activation, as a method of conversion lays them out.

    With ``powers``, they are powers of two, by which float32 numbers are multiplied and divided without rounding.
    """
    make = torch.Generator().manual_seed(seed)
    scales = {}
    for node in graph.activations:
        axis, shape = channel_axes(graph)[node.name], graph.shapes[node.name]
        count = shape[axis] if per_channel else 1
        drawn = 2.0 ** torch.randint(-3, 4, (count,), generator=make)
        if not powers:
            drawn = 10 ** (torch.rand(count, generator=make) * 2 - 1)
        scales[node.name] = scale_of(drawn, axis, len(shape))
    return scales


def values_of(graph: Graph, x: Tensor) -> dict[str, Tensor]:
    values = {graph.input: x}
    with torch.no_grad():
        graph.run(x, lambda node, output: values.update({node.name: output}))
    return values


def assert_equal_up_to_scale(graph: Graph, scales: Mapping[str, Tensor], limit: float = LIMIT) -> NormalForm:
    """Compare every value of the two networks, the synapses between scales included."""
    normal = normal_form(graph, scales)
    x = torch.randn((3, *graph.input_shape), generator=torch.Generator().manual_seed(9))
    ann, rescaled = values_of(graph, x), values_of(normal.graph, x)
    for node in normal.graph.nodes:
        got = rescaled[node.name] * normal.scales[node.name]
        source = node.name
        while source not in ann:  # a synapse between two scales carries its input's value
            source = normal.graph.by_name[source].inputs[0]
        assert relative_error(got, ann[source]) <= limit, node.name
    for name, scale in scales.items():
        assert relative_error(rescaled[name].double(), ann[name] / scale) <= limit, name
    assert relative_error(rescaled[normal.graph.output], ann[graph.output]) <= limit
    return normal


def synapses(normal: NormalForm, graph: Graph) -> list[str]:
    """Return the names of the nodes that the normal form had to add."""
    return [node.name for node in normal.graph.nodes if node.name not in graph.by_name]


# -- refusals --------------------------------------------------------------------------------------------------------


def pool_over_features(nets: ModuleType) -> Graph:
    """A max pool that runs over the channels of a linear layer on rows."""
    net = nets.Net(4, 5)
    pool = net.maximum(net.relu(net.linear("x", 6), name="relu"), nets.window((2,), 2), name="pool")
    return net.graph(net.linear(net.flatten(pool), 3))


def test_maximum_over_neurons_of_different_scales_brings_them_to_one(nets: ModuleType) -> None:
    graph = pool_over_features(nets)
    normal = assert_equal_up_to_scale(graph, {"relu": scale_of(torch.linspace(1, 2, 6), 1, 2)})
    assert synapses(normal, graph) == ["pool:0"]
    assert spiking_network(normal, NEURONS["if"]()).graded[0] == "pool:0"


def test_maximum_over_neurons_of_one_scale_is_taken(nets: ModuleType) -> None:
    graph = pool_over_features(nets)
    assert_equal_up_to_scale(graph, random_scales(graph, per_channel=False))


# -- one structure at a time -----------------------------------------------------------------------------------------


@either
def test_chain_keeps_its_nodes(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(2, 8, 8)
    first = net.relu(net.conv("x", 4))
    second = net.relu(net.conv(first, 6, nets.window(3, 2, 1), groups=2))
    graph = net.graph(net.linear(net.flatten(second), 5))
    normal = assert_equal_up_to_scale(graph, random_scales(graph, per_channel))
    assert synapses(normal, graph) == []
    assert [node.name for node in normal.graph.nodes] == [node.name for node in graph.nodes]


@either
def test_convolution_in_one_dimension(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(3, 20)
    x = net.relu(net.conv("x", 6, nets.window((3,), 2, 1)))
    x = net.maximum(net.relu(net.conv(x, 4, nets.window((5,), 1, 2), groups=2)), nets.window((2,), 2))
    graph = net.graph(net.linear(net.flatten(x), 3))
    assert synapses(assert_equal_up_to_scale(graph, random_scales(graph, per_channel)), graph) == []


@either
def test_identity_shortcut_becomes_one_synapse(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(2, 6, 6)
    first = net.relu(net.conv("x", 4), name="relu1")
    branch = net.conv(net.relu(net.conv(first, 3), name="relu2"), 4)
    graph = net.graph(net.relu(net.sum(branch, first, name="add"), name="relu3"))
    scales = random_scales(graph, per_channel)
    normal = assert_equal_up_to_scale(graph, scales)
    assert synapses(normal, graph) == ["add:1", "relu3:output"]
    weight = normal.graph.by_name["add:1"].operator
    assert isinstance(weight, Affine)
    torch.testing.assert_close(weight.scale.double(), scales["relu1"] / scales["relu3"])
    assert not weight.shift.any()


def test_equal_scales_need_no_synapse(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    first = net.relu(net.conv("x", 4), name="relu1")
    graph = net.graph(net.linear(net.flatten(net.relu(net.sum(net.conv(first, 4), first), name="relu2")), 3))
    same = {name: torch.full((1, 1, 1), 3.0, dtype=torch.float64) for name in ("relu1", "relu2")}
    assert synapses(assert_equal_up_to_scale(graph, same), graph) == []


@either
def test_projection_takes_the_scale_into_its_weights(nets: ModuleType, per_channel: bool) -> None:
    graph = nets.recipe(["chain", "projection"])
    normal = assert_equal_up_to_scale(graph, random_scales(graph, per_channel))
    assert synapses(normal, graph) == []


@either
def test_selection_shortcut_takes_the_scale_into_its_weight(nets: ModuleType, per_channel: bool) -> None:
    graph = nets.recipe(["chain", "option A"])
    assert any(isinstance(node.operator, Selection) for node in graph.nodes)
    normal = assert_equal_up_to_scale(graph, random_scales(graph, per_channel))
    assert synapses(normal, graph) == []


@either
def test_concatenated_branches_keep_their_scales(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(2, 6, 6)
    left, right = net.relu(net.conv("x", 2), name="left"), net.relu(net.conv("x", 3), name="right")
    graph = net.graph(net.conv(net.concat(left, right, name="both"), 2, name="conv"))
    scales = random_scales(graph, per_channel)
    normal = assert_equal_up_to_scale(graph, scales)
    expected = torch.cat([scales["left"].expand(2, 1, 1), scales["right"].expand(3, 1, 1)])
    assert torch.equal(normal.scales["both"], expected)
    assert synapses(normal, graph) == []


@either
def test_average_pools_carry_the_scale_through(nets: ModuleType, per_channel: bool) -> None:
    graph = nets.recipe(["chain", "average", "average"])
    assert synapses(assert_equal_up_to_scale(graph, random_scales(graph, per_channel)), graph) == []


@either
def test_average_pool_between_convolution_and_relu(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(2, 6, 6)
    x = net.relu(net.average(net.conv("x", 3)))
    graph = net.graph(net.linear(net.flatten(x), 3))
    assert_equal_up_to_scale(graph, random_scales(graph, per_channel))


@either
def test_global_pool_flatten_and_linear(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(2, 6, 6)
    pooled = net.mean(net.relu(net.conv("x", 5)))
    hidden = net.relu(net.linear(pooled, 7))
    flat = net.flatten(net.relu(net.conv("x", 2)))
    graph = net.graph(net.linear(net.concat(hidden, flat), 3))
    assert synapses(assert_equal_up_to_scale(graph, random_scales(graph, per_channel)), graph) == []


@either
def test_linear_bottleneck_stays_signed_and_equal(nets: ModuleType, per_channel: bool) -> None:
    graph = nets.recipe(["chain", "bottleneck"])
    assert_equal_up_to_scale(graph, random_scales(graph, per_channel))


@either
def test_preactivation_sum_is_read_by_a_norm_and_by_the_next_sum(nets: ModuleType, per_channel: bool) -> None:
    graph = nets.recipe(["chain", "preactivation"])
    assert_equal_up_to_scale(graph, random_scales(graph, per_channel))


@either
def test_ceiling_moves_with_the_scale(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(2, 6, 6)
    x = net.relu(net.conv("x", 3), ceiling=0.6, name="relu6")
    graph = net.graph(net.conv(x, 2))
    scales = random_scales(graph, per_channel)
    operator = assert_equal_up_to_scale(graph, scales).graph.by_name["relu6"].operator
    assert isinstance(operator, ReLU)
    assert operator.ceiling is not None
    torch.testing.assert_close(operator.ceiling.double(), 0.6 / scales["relu6"])


@either
def test_relu_on_the_input_gets_a_synapse(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(2, 6, 6)
    graph = net.graph(net.conv(net.relu("x", name="relu"), 3))
    normal = assert_equal_up_to_scale(graph, random_scales(graph, per_channel))
    assert synapses(normal, graph) == ["relu:0"]


@either
def test_value_read_by_two_activations(nets: ModuleType, per_channel: bool) -> None:
    graph = nets.recipe(["chain", "read twice"])
    assert_equal_up_to_scale(graph, random_scales(graph, per_channel))


@either
def test_value_added_to_itself(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(2, 6, 6)
    x = net.relu(net.conv("x", 3))
    graph = net.graph(net.conv(net.relu(net.sum(x, x, net.conv(x, 3))), 2))
    assert_equal_up_to_scale(graph, random_scales(graph, per_channel))


@either
def test_max_pool_keeps_the_scale_of_its_channel(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(2, 7, 7)
    pool = net.maximum(net.relu(net.conv("x", 3), name="relu"), nets.window(3, 2, 1), name="pool")
    graph = net.graph(net.conv(pool, 2))
    scales = random_scales(graph, per_channel)
    normal = assert_equal_up_to_scale(graph, scales)
    assert torch.equal(normal.scales["pool"], scales["relu"])
    assert synapses(normal, graph) == []


@either
def test_channel_shuffle_moves_the_scales(nets: ModuleType, per_channel: bool) -> None:
    graph = nets.recipe(["shuffle"])
    assert_equal_up_to_scale(graph, random_scales(graph, per_channel))


@either
def test_linear_on_rows(nets: ModuleType, per_channel: bool) -> None:
    net = nets.Net(4, 5)
    x = net.relu(net.linear(net.relu(net.linear("x", 6)), 7))
    graph = net.graph(net.linear(net.flatten(net.transpose(x, 1, 0)), 3))
    assert synapses(assert_equal_up_to_scale(graph, random_scales(graph, per_channel)), graph) == []


@pytest.mark.parametrize("reader", ["conv", "average", "maximum"])
def test_scale_that_changes_over_space(nets: ModuleType, reader: str) -> None:
    net = nets.Net(2, 6, 6)
    x = net.concat(net.relu(net.conv("x", 3), name="a"), net.relu(net.conv("x", 3), name="b"), axis=1)
    graph = net.graph(net.conv(x, 2) if reader == "conv" else getattr(net, reader)(x, nets.window(2, 1)))
    scales = random_scales(graph, per_channel=False)
    assert len(synapses(assert_equal_up_to_scale(graph, scales), graph)) == 1


def test_output_has_the_scale_one_whatever_it_is(nets: ModuleType) -> None:
    for build in ("relu", "sum", "maximum", "linear", "mean"):
        net = nets.Net(2, 6, 6)
        x = net.relu(net.conv("x", 3), name="relu")
        outputs: dict[str, Callable[[], str]] = {
            "relu": lambda x=x: x,
            "sum": lambda net=net, x=x: net.sum(net.conv(x, 3), x),
            "maximum": lambda net=net, x=x: net.maximum(x),
            "linear": lambda net=net, x=x: net.linear(net.flatten(x), 3),
            "mean": lambda net=net, x=x: net.mean(x),
        }
        graph = net.graph(outputs[build]())
        for per_channel in (True, False):
            normal = assert_equal_up_to_scale(graph, random_scales(graph, per_channel))
            assert bool((normal.scales[normal.graph.output] == 1).all())


def test_names_that_look_like_synapses_are_not_taken(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    first = net.relu(net.conv("x", 3), name="add:1")
    branch = net.conv(first, 3, name="add:0")
    add = net.sum(branch, first, name="add")
    graph = net.graph(net.relu(net.relu(add, name="relu"), name="relu:output"))
    normal = assert_equal_up_to_scale(graph, random_scales(graph, per_channel=True))
    assert "add:1'" in synapses(normal, graph)


def test_the_network_itself_is_left_alone(nets: ModuleType) -> None:
    graph = nets.recipe(["residual", "inception"])
    x = torch.ones(1, *graph.input_shape)
    before = graph.run(x)
    normal_form(graph, random_scales(graph, per_channel=True))
    assert torch.equal(graph.run(x), before)


# -- any structure ---------------------------------------------------------------------------------------------------


@given(data=st.data(), per_channel=st.booleans(), seed=st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_any_network_is_equal_up_to_scale(nets: ModuleType, data: st.DataObject, per_channel: bool, seed: int) -> None:
    """Not up to rounding, which cancellation makes as large as it likes: exactly, as the scales are powers of two."""
    blocks = data.draw(st.lists(st.sampled_from(sorted(nets.BLOCKS)), min_size=1, max_size=3))
    graph = nets.recipe(blocks, seed=seed)
    assert_equal_up_to_scale(graph, random_scales(graph, per_channel, seed, powers=True), limit=0)


def test_scales_of_one_leave_the_network_as_it_is(nets: ModuleType) -> None:
    graph = nets.recipe(sorted(nets.BLOCKS)[:4])
    ones = {
        node.name: torch.ones((1,) * len(graph.shapes[node.name]), dtype=torch.float64) for node in graph.activations
    }
    normal = normal_form(graph, ones)
    assert [node.name for node in normal.graph.nodes] == [node.name for node in graph.nodes]
    x = torch.randn((2, *graph.input_shape), generator=torch.Generator().manual_seed(1))
    assert torch.equal(normal.graph.run(x), graph.run(x))


def test_unread_nodes_are_left_out(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    x = net.relu(net.conv("x", 3))
    output = net.conv(x, 2)
    net.nodes.append(Node("idle", ReLU(), (output,)))
    net.shapes["idle"] = net.shapes[output]
    graph = net.graph(output)
    normal = normal_form(graph, random_scales(graph, per_channel=True))
    assert "idle" not in normal.graph.by_name
