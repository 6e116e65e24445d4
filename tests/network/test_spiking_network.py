"""What travels along each edge, which nodes emit, and how many connections leave each element."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.errors import ModelError
from snnconvert.fold.max_pool import AveragedMaxPool, MovePoolBeforeActivation, Pooling, pools_averaged
from snnconvert.graph import Graph, Operator, Shape
from snnconvert.network import NormalForm, SpikingNetwork, Traffic, normal_form, spiking_network
from snnconvert.neurons import NEURONS
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import AveragePool, Mean
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.reshape import Concat, Reshape, Transpose
from snnconvert.operators.selection import Selection
from snnconvert.operators.sum import Sum

CONSTANT, SPIKES, CURRENT, GRADED = Traffic.CONSTANT, Traffic.SPIKES, Traffic.CURRENT, Traffic.GRADED


def spiking(graph: Graph, pooling: Pooling = "exact") -> SpikingNetwork:
    """Put neurons in the place of the activations, all scales being 1."""
    return spiking_network(NormalForm(graph, {}), NEURONS["if"](), pooling)


# -- neurons ---------------------------------------------------------------------------------------------------------


def test_network_without_a_relu_is_refused(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    graph = net.graph(net.linear(net.flatten(net.maximum(net.conv("x", 3))), 4))
    with pytest.raises(ModelError, match=r"E119.*net: the network has no ReLU: nothing would spike"):
        spiking(graph)


def test_every_activation_has_neurons(nets: ModuleType) -> None:
    graph = nets.recipe(["clipped", "read twice", "residual"])
    network = spiking(graph)
    assert list(network.neurons) == [node.name for node in graph.activations]
    assert len(network.neurons) == 5


# -- traffic ---------------------------------------------------------------------------------------------------------


def test_chain_is_constant_until_the_first_neuron(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    net.conv("x", 3, name="conv1")
    net.relu("conv1", name="relu1")
    net.conv("relu1", 3, name="conv2")
    net.relu("conv2", name="relu2")
    net.maximum("relu2", name="pool")
    net.linear(net.flatten("pool"), 4, name="fc")
    network = spiking(net.graph("fc"))
    assert network.traffic == {
        "x": CONSTANT,
        "conv1": CONSTANT,
        "relu1": SPIKES,
        "conv2": CURRENT,
        "relu2": SPIKES,
        "pool": SPIKES,
        "reshape5": SPIKES,
        "fc": CURRENT,
    }
    assert network.graded == []
    assert [node.name for node in network.emitters] == ["relu1", "relu2", "pool"]


def test_pool_over_the_input_is_constant_and_emits_nothing(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    pool = net.maximum(net.conv("x", 3), name="pool")
    network = spiking(net.graph(net.conv(net.relu(pool, name="relu"), 2)))
    assert network.traffic["pool"] is CONSTANT
    assert [node.name for node in network.emitters] == ["relu"]


def test_linear_bottleneck_is_graded(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    net.relu(net.conv("x", 3), name="relu")
    net.conv("relu", 2, name="narrow")
    net.conv("narrow", 4, name="wide")
    network = spiking(net.graph(net.linear(net.flatten(net.relu("wide")), 3)))
    assert network.graded == ["narrow"]
    assert network.traffic["wide"] is CURRENT


def test_preactivation_sum_is_graded(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    net.conv(net.relu("x"), 3, name="first")
    net.conv(net.relu(net.norm("first", name="norm1")), 3, name="branch")
    net.sum("branch", "first", name="add")
    net.norm("add", name="norm2")
    network = spiking(net.graph(net.linear(net.flatten(net.relu("norm2")), 3)))
    assert network.graded == ["first", "add"]


def test_sum_of_spikes_that_meets_weights_is_graded(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    net.relu(net.conv("x", 3), name="a")
    net.relu(net.conv("a", 3), name="b")
    network = spiking(net.graph(net.conv(net.sum("a", "b", name="add"), 2)))
    assert network.graded == ["add"]


def test_mean_of_spikes_before_weights_is_one_synapse_with_them(nets: ModuleType) -> None:
    net = nets.Net(2, 8, 8)
    net.average(net.relu(net.conv("x", 3)), name="pool")
    net.relu(net.conv("pool", 3))
    network = spiking(net.graph(net.linear(net.mean(net.nodes[-1].name), 4)))
    assert network.graded == []
    assert network.traffic["pool"] is CURRENT


def test_maximum_over_a_current_sends_graded_values(nets: ModuleType) -> None:
    net = nets.Net(2, 8, 8)
    net.conv(net.relu(net.conv("x", 3)), 3, name="current")
    net.maximum("current", name="pool")
    network = spiking(net.graph(net.conv("pool", 2)))
    assert network.graded == ["current", "pool"]
    assert "pool" in [node.name for node in network.stateful]
    assert "pool" not in [node.name for node in network.emitters]  # what it sends are no spikes


def test_pool_over_a_concatenation_of_spikes_emits_spikes(nets: ModuleType) -> None:
    net = nets.Net(2, 8, 8)
    both = net.concat(net.relu(net.conv("x", 3)), net.relu("x"), name="both")
    network = spiking(net.graph(net.conv(net.maximum(both, name="pool"), 2)))
    assert network.traffic["both"] is network.traffic["pool"] is SPIKES


def test_spikes_joined_with_the_analog_input_are_no_spikes(nets: ModuleType) -> None:
    net = nets.Net(2, 8, 8)
    net.concat(net.relu(net.conv("x", 3)), "x", name="both")
    assert spiking(net.graph(net.conv("both", 2))).traffic["both"] is CURRENT


# -- forms of max pools ----------------------------------------------------------------------------------------------


def pools_of_all_kinds(nets: ModuleType) -> Graph:
    """Pools over the input, over spikes of one layer, and over spikes of two, behind a concatenation."""
    net = nets.Net(2, 16, 16)
    net.relu(net.maximum("x", name="of the input"), name="relu1")
    net.relu(net.conv("relu1", 3), name="relu2")
    net.maximum("relu2", name="alone")
    net.relu(net.conv("alone", 3), name="relu3")
    net.maximum(net.concat("relu3", "alone"), name="of two layers")
    return net.graph(net.linear(net.flatten("of two layers"), 4))


def test_pools_are_exact_unless_asked_for_otherwise(nets: ModuleType) -> None:
    network = spiking(pools_of_all_kinds(nets))
    assert network.pools == {"alone": "exact", "of two layers": "exact"}
    assert network.pool_notes == []


def test_gates_send_spikes(nets: ModuleType) -> None:
    network = spiking(pools_of_all_kinds(nets), "gate")
    assert network.pools == {"alone": "gate", "of two layers": "gate"}
    assert network.traffic == spiking(pools_of_all_kinds(nets)).traffic
    assert [node.name for node in network.emitters] == ["relu1", "relu2", "alone", "relu3", "of two layers"]
    assert network.pool_notes == [
        "max pools approximated by the gate of the leading input: 'alone', 'of two layers'",
    ]


def test_pools_before_neurons_have_no_state_and_those_that_cannot_stand_there_count(nets: ModuleType) -> None:
    network = spiking(MovePoolBeforeActivation().run(pools_of_all_kinds(nets)), "before")
    assert network.pools == {"alone": "before", "of two layers": "exact"}
    assert network.traffic["alone"] is CURRENT
    assert network.graded == ["convolution2"]
    assert [node.name for node in network.stateful] == ["relu1", "relu2", "relu3", "of two layers"]
    assert [node.name for node in network.emitters] == ["relu1", "relu2", "relu3", "of two layers"]
    assert network.pool_notes == [
        "max pools approximated by the maximum of the currents, step by step: 'alone'",
        "max pools exact, as they cannot stand before neurons: 'of two layers'",
    ]


def test_pool_before_the_first_neurons_is_exact(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6)
    graph = net.graph(net.conv(net.maximum(net.relu(net.conv("x", 3))), 2))
    network = spiking(MovePoolBeforeActivation().run(graph), "before")
    assert network.pools == {}
    assert network.pool_notes == []


@pytest.mark.parametrize(
    "where", ["mean of spikes", "shifted spikes", "before weights", "output too", "read by others"]
)
def test_pools_that_do_not_stand_between_weights_and_neurons_count(nets: ModuleType, where: str) -> None:
    net = nets.Net(2, 8, 8)
    spikes = net.relu("x", name="spikes")
    value = net.conv(spikes, 2, name="current")
    if where == "mean of spikes":
        value = net.average(spikes)
    elif where == "shifted spikes":
        value = net.norm(spikes)
    pool = net.maximum(value, name="pool")
    output = net.relu(pool) if where in ("mean of spikes", "output too", "read by others") else net.conv(pool, 2)
    if where == "read by others":
        output = net.sum(output, pool)
    network = spiking(net.graph("pool" if where == "output too" else output), "before")
    assert network.pools == {"pool": "exact"}


def test_pools_before_neurons_may_have_a_synapse_or_a_pool_between_them(nets: ModuleType) -> None:
    net = nets.Net(2, 8, 8)
    first = net.maximum(net.conv(net.relu("x"), 2), name="first")
    second = net.maximum(net.norm(first), name="second")
    graph = net.graph(net.concat(net.relu(second), net.relu(second, ceiling=0.5)))
    assert spiking(graph, "before").pools == {"first": "before", "second": "before"}


def test_averaged_pools_are_linear(nets: ModuleType) -> None:
    network = spiking(pools_averaged(pools_of_all_kinds(nets)), "average")
    assert network.pools == {"alone": "average", "of two layers": "average"}
    assert [node.name for node in network.stateful] == ["relu1", "relu2", "relu3"]
    assert network.graded == []
    assert isinstance(network.graph.by_name["alone"].operator, AveragedMaxPool)
    assert network.pool_notes == ["max pools approximated by the mean of the window: 'alone', 'of two layers'"]


def test_average_pools_of_the_model_itself_are_no_approximation(nets: ModuleType) -> None:
    net = nets.Net(2, 8, 8)
    network = spiking(pools_averaged(net.graph(net.conv(net.average(net.relu("x")), 2))), "average")
    assert network.pools == {}


@pytest.mark.parametrize("kind", ["current", "graded current"])
def test_gate_over_what_are_no_spikes_is_refused(nets: ModuleType, kind: str) -> None:
    net = nets.Net(2, 8, 8)
    spikes = net.relu("x")
    value = net.conv(spikes, 3) if kind == "graded current" else net.average(spikes)
    graph = net.graph(net.conv(net.maximum(value, name="pool"), 2))
    with pytest.raises(ModelError, match=rf"E118.*node 'pool' \(MaxPool\): .* the input is a {kind}") as refusal:
        spiking(graph, "gate")
    assert refusal.value.hint == "--max-pool exact"
    assert spiking(graph, "exact").pools == {"pool": "exact"}


def test_long_lists_of_pools_are_cut(nets: ModuleType) -> None:
    net = nets.Net(1, 4, 4)
    x = net.relu("x")
    for index in range(11):
        x = net.maximum(x, nets.window(1), name=f"p{index}")
    (note,) = spiking(net.graph(net.conv(x, 2)), "gate").pool_notes
    assert note.endswith("'p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7' and 3 more")


# -- fan-out ---------------------------------------------------------------------------------------------------------

Connection = tuple[int, int]  # from an element of the input to one of the output, both flat


def window_connections(window: Any, shape: Shape, out: Shape, channels: Any) -> Iterator[Connection]:
    """Walk a window in two dimensions over a sample; ``channels`` yields the pairs (input, output) that it joins."""
    (_, height, width), (_, rows, columns) = shape, out
    kernel = itertools.product(range(window.kernel[0]), range(window.kernel[1]))
    for (ky, kx), row, column in itertools.product(list(kernel), range(rows), range(columns)):
        y = row * window.stride[0] + ky * window.dilation[0] - window.before[0]
        x = column * window.stride[1] + kx * window.dilation[1] - window.before[1]
        if 0 <= y < height and 0 <= x < width:
            for i, o in channels:
                yield (i * height + y) * width + x, (o * rows + row) * columns + column


def connections(operator: Operator, shapes: list[Shape], out: Shape, index: int) -> Iterator[Connection]:
    """List the connections of an operator, one by one, as its definition has them."""
    shape = shapes[index]
    size, results = int(np.prod(shape)), np.arange(int(np.prod(out))).reshape(out)
    match operator:
        case Convolution():
            narrow = shape[0] // operator.groups
            wide = out[0] // operator.groups
            pairs = [(i, o) for i in range(shape[0]) for o in range(out[0]) if i // narrow == o // wide]
            yield from window_connections(operator.window, shape, out, pairs)
        case AveragePool() | MaxPool():
            yield from window_connections(operator.window, shape, out, [(c, c) for c in range(shape[0])])
        case Linear():
            rows, inputs, outputs = size // shape[-1], shape[-1], out[-1]
            for row, i, o in itertools.product(range(rows), range(inputs), range(outputs)):
                yield row * inputs + i, row * outputs + o
        case Mean():
            for i in range(size):
                yield i, i // (size // results.size)
        case Sum() | Affine() | Reshape():
            yield from ((i, i) for i in range(size))
        case Transpose():
            yield from zip(np.arange(size).reshape(shape).transpose(operator.order).flat, results.flat, strict=True)
        case Concat():
            first = sum(each[operator.axis] for each in shapes[:index])
            part = results.take(range(first, first + shape[operator.axis]), operator.axis)
            yield from zip(range(size), part.flat, strict=True)
        case Selection():
            numbered = torch.arange(1, size + 1).reshape(1, *shape)
            moved = operator.pad.evaluate([operator.slice.evaluate([numbered])]).flatten()
            yield from ((int(number) - 1, o) for o, number in enumerate(moved) if number)
        case _:
            raise NotImplementedError(type(operator).__name__)


def paths(network: SpikingNetwork) -> Mapping[str, Counter[int]]:
    """Count, for every element of every value, the paths to a neuron, a pool, a graded current or the output."""
    graph, ends = network.graph, {node.name for node in network.stateful} | set(network.graded)
    found: dict[str, Counter[int]] = {name: Counter() for name in graph.shapes}
    found[graph.output].update(range(int(np.prod(graph.shapes[graph.output]))))
    for node in reversed(graph.nodes):
        for index, value in enumerate(node.inputs):
            if node.name in network.neurons:
                found[value].update(range(int(np.prod(graph.shapes[value]))))
                continue
            for i, o in connections(node.operator, graph.input_shapes(node), graph.shapes[node.name], index):
                found[value][i] += 1 if node.name in ends else found[node.name][o]
    return found


def assert_fan_out_is_counted(graph: Graph, pooling: Pooling = "exact") -> SpikingNetwork:
    network = spiking(graph, pooling)
    expected = paths(network)
    assert list(network.fan_out) == [*(node.name for node in network.emitters), graph.input]
    for name, fan_out in network.fan_out.items():
        assert fan_out.shape == graph.shapes[name]
        assert fan_out.flatten().tolist() == [expected[name][i] for i in range(fan_out.numel())], name
    return network


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel": 3},
        {"kernel": 3, "pad": 1},
        {"kernel": 3, "stride": 2, "pad": 1},
        {"kernel": 1, "stride": 2},
        {"kernel": 3, "pad": 2, "dilation": 2},
        {"kernel": (3, 2), "stride": 2, "pad": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_fan_out_of_a_convolution(nets: ModuleType, settings: dict[str, Any], groups: int) -> None:
    net = nets.Net(2, 6, 5)
    first = net.relu(net.conv("x", 4))
    second = net.relu(net.conv(first, 8, nets.window(**settings), groups))
    assert_fan_out_is_counted(net.graph(net.linear(net.flatten(second), 3)))


def test_fan_out_at_the_border_is_less(nets: ModuleType) -> None:
    net = nets.Net(1, 4, 4)
    first = net.relu("x", name="relu")
    network = spiking(net.graph(net.relu(net.conv(first, 5))))
    assert network.fan_out["relu"][0].tolist() == [
        [20, 30, 30, 20],
        [30, 45, 45, 30],
        [30, 45, 45, 30],
        [20, 30, 30, 20],
    ]


def test_weights_of_zero_are_connections_too(nets: ModuleType) -> None:
    net = nets.Net(3)
    first = net.relu("x", name="relu")
    network = spiking(net.graph(net.add(Linear(torch.zeros(7, 3), None), first)))
    assert network.fan_out["relu"].tolist() == [7, 7, 7]


@pytest.mark.parametrize("where", [{"kernel": 2, "stride": 2}, {"kernel": 3, "stride": 2, "pad": 1}, {"kernel": 2}])
@pytest.mark.parametrize("pool", ["average", "maximum"])
def test_fan_out_through_pools(nets: ModuleType, pool: str, where: dict[str, int]) -> None:
    net = nets.Net(2, 7, 6)
    pooled = getattr(net, pool)(net.relu(net.conv("x", 2)), nets.window(**where))
    network = assert_fan_out_is_counted(net.graph(net.linear(net.flatten(net.relu(net.conv(pooled, 3))), 4)))
    assert len(network.emitters) == (3 if pool == "maximum" else 2)


FORMS: dict[Pooling, Any] = {
    "exact": lambda graph: graph,
    "gate": lambda graph: graph,
    "before": MovePoolBeforeActivation().run,
    "average": pools_averaged,
}


@pytest.mark.parametrize("where", [{"kernel": 2, "stride": 2}, {"kernel": 3, "pad": 1}])
@pytest.mark.parametrize("pooling", FORMS)
def test_fan_out_through_every_form_of_max_pool(nets: ModuleType, pooling: Pooling, where: dict[str, int]) -> None:
    net = nets.Net(2, 5, 6)
    first = net.relu(net.conv("x", 2), name="first")
    pooled = net.maximum(net.relu(net.conv(first, 3), name="second"), nets.window(**where), name="pool")
    graph = net.graph(net.linear(net.flatten(net.relu(net.conv(pooled, 4, nets.window(1)))), 4))
    network = assert_fan_out_is_counted(FORMS[pooling](graph), pooling)
    assert ("pool" in network.fan_out) == (pooling in ("exact", "gate"))
    assert network.fan_out["first"].max() == 27  # of a spike, to the sums that the next neurons or the pool see
    if pooling == "before":  # the pool stands before its neurons: theirs are fewer, and lead straight to the next
        assert network.fan_out["second"].unique().tolist() == [4]


def test_fan_out_through_a_pool_a_sum_and_a_selection(nets: ModuleType) -> None:
    net = nets.Net(2, 8, 8)
    spikes = net.relu(net.conv("x", 3), name="relu")
    branch = net.conv(net.average(spikes, nets.window(3, 1, 1)), 5, nets.window(3, 2, 1))
    net.relu(net.sum(branch, net.subsample(spikes, 1)), name="end")
    graph = net.graph(net.linear(net.mean("end"), 3))
    for fold in nets.PASSES:
        graph = fold.run(graph)
    assert any(isinstance(node.operator, Selection) for node in graph.nodes)
    network = assert_fan_out_is_counted(graph)
    assert network.fan_out["end"].unique().tolist() == [3]


def test_fan_out_through_an_identity_shortcut_with_scales(nets: ModuleType) -> None:
    graph = nets.recipe(["chain", "residual"])
    scales = {node.name: torch.full((1, 1, 1), 1.0 + index) for index, node in enumerate(graph.activations)}
    normal = normal_form(graph, scales)
    assert len(normal.graph.nodes) == len(graph.nodes) + 1
    assert_fan_out_is_counted(normal.graph)


def test_value_read_twice_leads_to_both_readers(nets: ModuleType) -> None:
    net = nets.Net(3)
    spikes = net.relu("x", name="relu")
    graph = net.graph(net.concat(net.relu(net.linear(spikes, 4)), net.linear(spikes, 5), spikes))
    assert assert_fan_out_is_counted(graph).fan_out["relu"].tolist() == [4 + 5 + 1] * 3


def test_output_that_others_read_counts_as_a_reader(nets: ModuleType) -> None:
    net = nets.Net(3)
    spikes = net.relu("x", name="relu")
    net.relu(net.linear(spikes, 4, name="fc"), name="unread")
    network = spiking(net.graph("relu"))
    assert network.fan_out["relu"].tolist() == [5, 5, 5]


@given(blocks=st.data(), seed=st.integers(0, 100))
@settings(max_examples=12, deadline=None)
def test_fan_out_of_any_network(nets: ModuleType, blocks: st.DataObject, seed: int) -> None:
    chosen = blocks.draw(st.lists(st.sampled_from(sorted(nets.BLOCKS)), min_size=1, max_size=2))
    assert_fan_out_is_counted(nets.recipe(chosen, seed=seed, size=5))
