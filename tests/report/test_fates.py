"""What the report says of every node, and of max pools in each of their forms."""

from types import ModuleType
from typing import Any

import pytest
import torch

from snnconvert.calibrate import random_scales
from snnconvert.fold import PASSES
from snnconvert.fold.max_pool import MovePoolBeforeActivation, Pooling, pools_averaged
from snnconvert.graph import Graph, Node, Origin, apply_passes
from snnconvert.network import normal_form, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.operators.affine import Affine
from snnconvert.report.fates import fates


def network_with_pools(nets: ModuleType) -> Graph:
    """A pool over the input, one over spikes, and one over spikes of two layers."""
    net = nets.Net(2, 16, 16)
    net.conv(net.maximum("x", name="input pool"), 3, name="conv1")
    net.relu("conv1", name="relu1")
    net.relu(net.conv("relu1", 3, name="conv2"), name="relu2")
    net.maximum("relu2", name="pool")
    net.relu(net.conv("pool", 3, name="conv3"), name="relu3")
    net.maximum(net.concat("relu3", "pool", name="both"), name="joint pool")
    output = net.linear(net.flatten("joint pool"), 4, name="fc")
    nodes = tuple(Node(each.name, each.operator, each.inputs, (each.name,)) for each in net.nodes)
    origins = tuple(Origin(each.name, type(each.operator).__name__) for each in nodes)
    return Graph("net", "x", (2, 16, 16), nodes, output, origins)


def rows(graph: Graph, pooling: Pooling) -> dict[str, dict[str, Any]]:
    normal = normal_form(graph, random_scales(graph, per_channel=False))
    return {row["name"]: row for row in fates(graph.origins, spiking_network(normal, IntegrateAndFire(), pooling))}


def told(row: dict[str, Any]) -> tuple[str, str]:
    return row["fate"], row["detail"]


COUNTED = ("spiking", "exact, by counting spikes")
GATE = ("spiking", "approximated by the gate of the leading input")
MEAN = ("linear", "approximated by the mean of the window")
ACCUMULATED = ("graded current", "the maximum of accumulated currents")


def test_fates_of_a_network(nets: ModuleType) -> None:
    found = rows(network_with_pools(nets), "exact")
    assert list(found) == [origin.name for origin in network_with_pools(nets).origins]
    assert told(found["conv1"]) == ("weighted synapse", "on the constant input: computed once")
    assert told(found["relu1"]) == ("spiking", "192 neurons")
    assert told(found["conv2"]) == ("weighted synapse", "")
    assert found["relu2"]["operator"] == "ReLU"
    assert 0.5 < found["relu2"]["scale"] < 1.5
    assert all(row["scale"] is not None for row in found.values())


@pytest.mark.parametrize(
    ("pooling", "alone", "joint"),
    [
        ("exact", COUNTED, COUNTED),
        ("gate", GATE, GATE),
        ("average", MEAN, MEAN),
        ("before", ("graded current", "approximated by the maximum of the currents, step by step"), COUNTED),
    ],
)
def test_fate_of_a_pool_tells_its_form(
    nets: ModuleType, pooling: Pooling, alone: tuple[str, str], joint: tuple[str, str]
) -> None:
    graph = network_with_pools(nets)
    if pooling == "average":
        graph = pools_averaged(graph)
    elif pooling == "before":
        graph = MovePoolBeforeActivation().run(graph)
    found = rows(graph, pooling)
    assert told(found["input pool"]) == ("linear", "the plain maximum: its input is constant")
    assert told(found["pool"]) == alone
    assert told(found["joint pool"]) == joint


def test_pool_over_accumulated_currents_is_graded(nets: ModuleType) -> None:
    net = nets.Net(2, 8, 8)
    net.maximum(net.conv(net.relu("x"), 3), name="pool")
    nodes = tuple(Node(each.name, each.operator, each.inputs, (each.name,)) for each in net.nodes)
    graph = Graph("net", "x", (2, 8, 8), nodes, "pool", (Origin("pool", "MaxPool"),))
    assert told(rows(graph, "exact")["pool"]) == ACCUMULATED


def test_fates_of_a_rectifier_with_two_signs(nets: ModuleType) -> None:
    """One layer a sign; the weights before and behind it are synapses of both."""
    net = nets.Net(2, 8, 8)
    net.conv("x", 3, name="before")
    one = torch.ones((1, 1, 1))
    parts = [net.relu("before", name="prelu.0"), net.add(Affine.of(-one), "before", name="prelu.1.0.0")]
    parts[1] = net.add(Affine.of(-one / 4), net.relu(parts[1], name="prelu.1.0"), name="prelu.1")
    net.sum(*parts, name="prelu")
    net.conv("prelu", 4, name="behind")
    nodes = tuple(Node(each.name, each.operator, each.inputs, (each.name.partition(".")[0],)) for each in net.nodes)
    origins = tuple(Origin(name, "") for name in ("before", "prelu", "behind"))
    graph = Graph("net", "x", (2, 8, 8), nodes, "behind", origins)
    folded, _ = apply_passes(graph, PASSES, torch.randn((2, 2, 8, 8), generator=torch.Generator().manual_seed(0)))
    found = rows(folded, "exact")
    assert told(found["before"]) == ("weighted synapse", "on the constant input: computed once")
    assert told(found["prelu"]) == ("spiking", "384 neurons in 2 layers")
    assert told(found["behind"]) == ("weighted synapse", "")
