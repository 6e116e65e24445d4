"""Errors of layers and counts of operations, computed by hand."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from snnconvert.fold import PASSES
from snnconvert.graph import Graph, Node, apply_passes
from snnconvert.load import load_model
from snnconvert.measure import LayerErrors, ann_macs, first_layer_macs, graded_macs
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import make_neuron
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.linear import Linear
from snnconvert.operators.sum import Sum
from snnconvert.simulate import Simulator

MODELS = Path(__file__).parents[2] / "models"


def folded(path: Path) -> Graph:
    graph = load_model(path).graph
    probe = torch.from_numpy(np.random.default_rng(0).random((2, *graph.input_shape), np.float32))
    return apply_passes(graph, PASSES, probe)[0]


def spiking(graph: Graph) -> SpikingNetwork:
    return spiking_network(NormalForm(graph, {}), IntegrateAndFire())


def rectifier(*shape: int) -> Graph:
    return Graph("net", "x", shape, (Node("r", ReLU(), ("x",)),), "r")


def test_errors_of_a_layer() -> None:
    graph = rectifier(3)
    network = spiking_network(NormalForm(graph, {"r": torch.tensor([2.0, 1.0, 1.0])}), IntegrateAndFire())
    errors = LayerErrors(network, {"r": 0})
    # scale * rate = 2, 0, 0 and 1, 0.25, 0; activations 2.5, 0, 0 and 1, 0.5, 0
    errors.add(graph, torch.tensor([[2.5, -1.0, -1.0]]), {"r": torch.tensor([[1.0, 0.0, 0.0]])})
    errors.add(graph, torch.tensor([[1.0, 0.5, 0.0]]), {"r": torch.tensor([[0.5, 0.25, 0.0]])})
    assert errors.rows() == [
        {
            "name": "r",
            "neurons": 3,
            "scale": pytest.approx(4 / 3),
            "rate": pytest.approx(7 / (6 * 4)),
            "rate_error": pytest.approx(0.75 / 4.0),
            "clipped": pytest.approx(1 / 6),
            "dead": pytest.approx(1 / 3),
        }
    ]


@pytest.mark.parametrize(
    ("name", "parameters", "schedule", "share"),
    [
        ("if", {}, Schedule(8), 0.5),
        ("if-multi", {"k": 3}, Schedule(8), 0.25),
        ("if-multi", {}, Schedule(8), 0.0),
        ("if", {}, Schedule(8, warm_up=4.0), 0.75),
        ("if", {}, Schedule(8, onset_delay=3), 0.5),
    ],
)
def test_clipped_is_what_lies_over_the_largest_rate_of_the_neuron(
    name: str, parameters: dict[str, int], schedule: Schedule, share: float
) -> None:
    """Of a layer behind another: 0.5, 1, 2 and 4 times the scale."""
    nodes = Node("r", ReLU(), ("x",)), Node("w", Linear(torch.eye(4), None), ("r",)), Node("s", ReLU(), ("w",))
    graph = Graph("net", "x", (4,), nodes, "s")
    scales = {"r": torch.ones(1), "s": torch.full((1,), 2.0)}
    network = spiking_network(NormalForm(graph, scales), make_neuron(name, parameters), schedule=schedule)
    errors = LayerErrors(network, {"r": 0, "s": 0})
    rates = {each: torch.zeros(1, 4) for each in ("r", "s")}
    errors.add(graph, torch.tensor([[1.0, 2.0, 4.0, 8.0]]), rates)
    assert errors.rows()[1]["clipped"] == share


def test_dead_share_is_of_channels() -> None:
    graph = rectifier(2, 2, 2)
    network = spiking_network(NormalForm(graph, {"r": torch.ones(1, 1, 1)}), IntegrateAndFire())
    counts = torch.zeros(1, 2, 2, 2)
    counts[0, 1, 0, 1] = 1
    for axis, dead in ((0, 0.5), (1, 0.5), (2, 0.5)):
        errors = LayerErrors(network, {"r": axis})
        errors.add(graph, torch.ones(1, 2, 2, 2), {"r": counts})
        assert errors.rows()[0]["dead"] == dead


def test_layer_that_is_always_zero_has_no_rate_error() -> None:
    graph = rectifier(2)
    network = spiking_network(NormalForm(graph, {"r": torch.ones(1)}), IntegrateAndFire())
    errors = LayerErrors(network, {"r": 0})
    errors.add(graph, -torch.ones(1, 2), {"r": torch.zeros(1, 2)})
    assert errors.rows()[0]["rate_error"] is None
    assert errors.rows()[0]["dead"] == 1.0


def test_macs_of_the_small_convolutional_network() -> None:
    graph = folded(MODELS / "digits_cnn.onnx")
    first = 8 * 8 * 16 * (9 * 1)
    assert first_layer_macs(spiking(graph)) == first
    rest = 8 * 8 * 16 * (9 * 16), 4 * 4 * 32 * (9 * 16), 128 * 64, 64 * 10
    assert ann_macs(graph) == first + sum(rest) == 239_232


def test_macs_of_resnet20(shared_data: Path) -> None:
    graph = folded(shared_data / "models" / "cifar10_akamaster_resnet20.onnx")
    assert ann_macs(graph) == 40_551_040
    assert first_layer_macs(spiking(graph)) == 32 * 32 * 16 * (9 * 3) == 442_368


def test_multiplication_of_the_input_by_one_weight_each_is_a_mac_of_the_first_layer() -> None:
    nodes = (
        Node("a", Affine(torch.full((3, 1, 1), 2.0), torch.zeros(1, 1, 1)), ("x",)),
        Node("r", ReLU(), ("a",)),
        Node("s", Sum(), ("r", "r")),
    )
    graph = Graph("net", "x", (3, 4, 4), nodes, "s")
    assert ann_macs(graph) == 0  # no convolution, no linear layer
    assert first_layer_macs(spiking(graph)) == nodes[0].operator.macs([(3, 4, 4)])


def test_weights_behind_a_graded_current_multiply_at_each_step(nets: ModuleType) -> None:
    net = nets.Net(2, 4, 4)
    narrow = net.conv(net.relu(net.conv("x", 8), name="relu"), 2, nets.window(1), name="bottleneck")
    network = spiking(net.graph(net.linear(net.flatten(net.relu(net.conv(narrow, 8, nets.window(1)))), 3)))
    assert network.graded == ["bottleneck"]
    assert graded_macs(network) == 8 * 2 * 16
    assert network.fan_out["relu"].unique().tolist() == [2]  # a spike is added to two sums, and ends there


def test_network_of_spikes_alone_multiplies_at_no_step(nets: ModuleType) -> None:
    net = nets.Net(2, 4, 4)
    pooled = net.average(net.relu(net.conv("x", 8)), nets.window(2, stride=2))
    assert graded_macs(spiking(net.graph(net.relu(net.conv(pooled, 4))))) == 0


def test_maximum_over_a_current_sends_no_spikes_that_count(nets: ModuleType) -> None:
    net = nets.Net(2, 4, 4)
    pool = net.maximum(net.conv(net.relu(net.conv("x", 4)), 4), nets.window(2, stride=2), name="pool")
    network = spiking(net.graph(net.relu(net.conv(pool, 4))))
    assert graded_macs(network) > 0
    (readout,) = Simulator(network).run(torch.rand(3, 2, 4, 4), [8])
    assert "pool" not in readout.counts
    assert all(bool((count >= 0).all()) for count in readout.counts.values())
