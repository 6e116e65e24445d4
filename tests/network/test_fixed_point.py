"""Sums on the grid are exact; the grid moves a weight by little."""

from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.network import NormalForm, Schedule, fixed_point, on_grid, spiking_network
from snnconvert.network.fixed_point import BITS, UNIT
from snnconvert.neurons import make_neuron


@given(seed=st.integers(0, 999), size=st.integers(1, 400))
def test_sum_on_the_grid_is_the_same_in_any_order(seed: int, size: int) -> None:
    make = torch.Generator().manual_seed(seed)
    weights = on_grid(torch.randn(size, generator=make))
    one = sum(weights.tolist())  # in float64: exact
    order = torch.randperm(size, generator=make)
    total = torch.zeros(())
    for weight in weights[order]:
        total = total + weight
    assert total.dtype == torch.float32
    assert float(total) == one


@given(st.floats(2.0**-40, 2.0**10, width=32))
def test_grid_is_a_small_move_and_stays(value: float) -> None:
    tensor = torch.tensor([value, value / 3])
    moved = on_grid(tensor)
    assert float((moved - tensor).abs().max()) <= max(UNIT, 0) / 2
    assert float((moved - tensor).abs().max()) <= value * 2.0**-BITS + value * 2.0**-24
    assert torch.equal(on_grid(moved), moved)


def test_nothing_and_zeros_stay() -> None:
    assert on_grid(torch.zeros(0)).shape == (0,)
    assert torch.equal(on_grid(torch.zeros(3)), torch.zeros(3))


@pytest.mark.parametrize("blocks", [["residual", "maximum"], ["inception", "option A"]], ids=str)
def test_all_between_neurons_is_on_the_grid_and_the_ends_are_not(nets: ModuleType, blocks: list[str]) -> None:
    network = spiking_network(NormalForm(nets.recipe(blocks), {}), make_neuron("if", {}), "exact", Schedule(4))
    found = fixed_point(network)
    moved = {
        node.name
        for node, old in zip(found.graph.nodes, network.graph.nodes, strict=True)
        if any(not torch.equal(a, b) for a, b in zip(parameters(node), parameters(old), strict=True))
    }
    behind = {value for node in network.graph.nodes if node.name in network.neurons for value in node.inputs}
    for node in found.graph.nodes:
        if node.name in behind:
            assert all(torch.equal(tensor, (tensor / UNIT).round() * UNIT) for tensor in parameters(node))
    assert moved
    assert network.graph.output not in moved


def parameters(node: object) -> list[torch.Tensor]:
    return [each for each in vars(node.operator).values() if isinstance(each, torch.Tensor)]  # type: ignore[attr-defined]


def test_small_weights_of_large_inputs_keep_their_bits(nets: ModuleType) -> None:
    net = nets.Net(3)
    net.add(nets.Linear(torch.tensor([[1.0, 1e-6, 0.25], [-0.5, 3e-6, 0.0]]), torch.zeros(2)), "x", name="l")
    network = spiking_network(NormalForm(net.graph(net.relu("l")), {}), make_neuron("if", {}))
    weight, found = (each.graph.by_name["l"].operator.weight for each in (network, fixed_point(network)))
    assert torch.equal(found[:, [0, 2]], on_grid(weight)[:, [0, 2]])
    assert float(((found - weight) / weight)[:, 1].abs().max()) < 2.0**-BITS
    behind = spiking_network(NormalForm(net.graph(net.linear(net.relu("l"), 2)), {}), make_neuron("if", {}))
    assert fixed_point(behind).graph.nodes[-1].operator is behind.graph.nodes[-1].operator
