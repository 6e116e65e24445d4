"""ReLU6 and its like: what a neuron may send ends at the ceiling, by whatever method its scale was found."""

import numpy as np
import pytest
import torch

from snnconvert.calibrate import collect
from snnconvert.convert import METHODS
from snnconvert.convert.recipe import Recipe
from snnconvert.fold import SplitCeilings
from snnconvert.graph import Graph, apply_passes
from snnconvert.network import Schedule
from snnconvert.neurons import make_neuron
from snnconvert.operators.activation import ceiling_of
from snnconvert.simulate import Simulator
from tests import nets

STEPS = 256
NEURONS = {
    "if": {},
    "if-signed": {},
    "if-multi": {"k": 3},
    "unlimited": {"k": None},
    "if-signed-multi": {"k": 2},
    "multi-threshold": {"n": 3},
    "differential": {"n": 6},
}


def clipped() -> Graph:
    net = nets.Net(6)
    return net.graph(net.linear(net.relu(net.linear("x", 16), ceiling=0.5), 4))


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("method", ["balance", "max", "mse", "percentile", "spike-norm"])
def test_rates_end_at_the_ceiling(method: str, name: str) -> None:
    assert method in METHODS
    neuron = make_neuron("if-multi" if name == "unlimited" else name, NEURONS[name])
    graph, x = clipped(), 3 * torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    expected = graph.run(x)
    if not neuron.saturates:
        graph, _ = apply_passes(graph, [SplitCeilings()], x)
        assert all(ceiling_of(node) is None for node in graph.activations)
    batches = [x.numpy()]
    statistics = collect(graph, batches, True, torch.device("cpu"))
    recipe = Recipe(method, neuron, Schedule(STEPS), percentile=100.0)
    depths = recipe.try_on(graph).depths
    normal = recipe.scaled(graph, statistics, depths, lambda: batches)
    network = recipe.spiking(normal, statistics, x[:0], lambda _: None)
    (readout,) = Simulator(network).run(x, [STEPS])
    error = float((readout.estimate - expected).abs().max() / expected.abs().max())
    # right up to a spike of the scale, which without a ceiling is the largest value
    assert error < (0.1 if name == "unlimited" else 0.02)


@pytest.mark.parametrize("name", NEURONS)
def test_a_neuron_that_saturates_sends_no_more_than_it_says(name: str) -> None:
    neuron = make_neuron("if-multi" if name == "unlimited" else name, NEURONS[name])
    most = float(neuron.rate(torch.tensor([1e6]))) <= neuron.most
    assert neuron.saturates is most


def test_a_dead_layer_keeps_its_ceiling() -> None:
    graph = clipped()
    statistics = collect(graph, [np.zeros((2, 6), np.float32)], False, torch.device("cpu"))
    recipe = Recipe("max", make_neuron("if", {}), Schedule(4))
    normal = recipe.scaled(graph, statistics, recipe.try_on(graph).depths, list)
    (node,) = graph.activations
    assert float(normal.scales[node.name].max()) <= 0.5
