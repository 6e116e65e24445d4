"""Sums of spike trains move behind weights, so that every synapse carries the spikes of one layer."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from snnconvert.calibrate import random_scales
from snnconvert.fold import PASSES, DistributeSum
from snnconvert.graph import Graph, Role, apply_passes
from snnconvert.network import Traffic, normal_form, spiking_network
from snnconvert.neurons import NEURONS
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.linear import Linear
from snnconvert.operators.sum import Sum


def folded(graph: Graph) -> Graph:
    probe = torch.randn((3, *graph.input_shape), generator=torch.Generator().manual_seed(1))
    return apply_passes(graph, PASSES, probe, limit=1e-5)[0]


def two_sided(net: object, x: str, slope: float) -> str:
    """``relu(x) - slope * relu(-x)``, node by node, as the reader of PRelu has it."""
    one = torch.ones((1,) * len(net.shapes[x]))
    negative = net.add(Affine.of(-slope * one), net.add(ReLU(), net.add(Affine.of(-one), x)))
    return net.sum(net.relu(x), negative)


def graded(graph: Graph) -> list[str]:
    normal = normal_form(graph, random_scales(graph, per_channel=True))
    return spiking_network(normal, NEURONS["if"]()).graded


def plain(net: object) -> str:
    return net.linear(net.mean(two_sided(net, net.conv("x", 4), 0.25)), 5)


def normed(net: object) -> str:
    return net.conv(two_sided(net, net.norm(net.conv("x", 4)), 0.1), 3)


def residual(net: object) -> str:
    first = two_sided(net, net.norm(net.conv("x", 4)), 0.25)
    second = two_sided(net, net.norm(net.sum(net.norm(net.conv(first, 4)), first)), 0.1)
    return net.linear(net.flatten(two_sided(net, net.conv(net.average(second), 6), -0.1)), 5)


def normed_between(net: object) -> str:
    return net.conv(net.norm(two_sided(net, net.conv("x", 4), 0.25)), 3)


@pytest.mark.parametrize("build", [plain, normed, residual, normed_between])
def test_two_sided_rectifiers_leave_no_graded_current(nets: ModuleType, build: Callable) -> None:
    net = nets.Net(3, 8, 8)
    graph = folded(net.graph(build(net)))
    assert graded(graph) == []
    readers = [node for node in graph.nodes if node.operator.role is Role.WEIGHTED]
    kinds = {value: type(graph.by_name[value].operator) for node in readers for value in node.inputs if value != "x"}
    assert Sum not in kinds.values()


def test_only_the_first_term_keeps_the_bias(nets: ModuleType) -> None:
    net = nets.Net(7)
    net.linear(net.sum(net.relu("x"), net.relu(net.linear("x", 7))), 3, name="y")
    graph = DistributeSum().run(net.graph("y"))
    first, second = (graph.by_name[value].operator for value in graph.by_name["y"].inputs)
    assert isinstance(first, Linear)
    assert isinstance(second, Linear)
    assert first.bias is not None
    assert second.bias is None or not bool(second.bias.any())


def test_sum_that_others_read_stays_for_them(nets: ModuleType) -> None:
    net = nets.Net(7)
    total = net.sum(net.relu("x"), net.relu(net.linear("x", 7)), name="total")
    net.concat(total, net.linear(total, 3), name="y")
    graph = DistributeSum().run(net.graph("y"))
    assert [type(graph.by_name[value].operator) for value in graph.by_name["y"].inputs] == [Sum, Sum]
    assert "total" in graph.by_name


def test_sum_of_currents_is_left_alone(nets: ModuleType) -> None:
    net = nets.Net(7)
    net.linear(net.sum(net.linear("x", 7), net.relu("x")), 3, name="y")
    graph = net.graph("y")
    assert DistributeSum().run(graph) is graph


def test_sum_of_many_spike_trains_is_left_alone(nets: ModuleType) -> None:
    net = nets.Net(7)
    net.linear(net.sum(*(net.relu(net.linear("x", 7)) for _ in range(5))), 3, name="y")
    graph = net.graph("y")
    assert DistributeSum().run(graph) is graph
    normal = normal_form(graph, random_scales(graph, per_channel=True))
    assert Traffic.GRADED in spiking_network(normal, NEURONS["if"]()).traffic.values()
