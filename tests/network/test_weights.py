"""Weights of 8 bits: few numbers a channel, moved by at most half a unit, and sums that are whole."""

from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.graph import Role
from snnconvert.network import NormalForm, Schedule, fixed_point, quantised, spiking_network
from snnconvert.network.weights import LARGEST, eight_bits, units, units_before
from snnconvert.neurons import make_neuron
from snnconvert.operators.affine import Affine
from snnconvert.operators.convolution import Convolution
from snnconvert.simulate import Simulator
from snnconvert.simulate.synapses import EventSynapse
from snnconvert.simulate.vectors import WHOLE


@given(seed=st.integers(0, 999), scale=st.floats(2.0**-20, 2.0**20))
def test_each_channel_holds_8_bit_numbers_near_its_weights(seed: int, scale: float) -> None:
    weight = torch.randn((3, 5, 2, 2), generator=torch.Generator().manual_seed(seed)) * scale
    weight[1] /= 1000
    found = eight_bits(weight, 0)
    unit = units(weight.abs().amax((1, 2, 3), keepdim=True))
    numbers = found / unit
    assert torch.equal(numbers, numbers.round())
    assert 64 <= numbers.abs().amax((1, 2, 3)).min() <= numbers.abs().max() <= LARGEST
    assert bool(((found - weight).abs() <= unit / 2).all())
    assert torch.equal(eight_bits(found, 0), found)


def test_zeros_stay_and_elements_have_units_of_their_own() -> None:
    assert torch.equal(eight_bits(torch.zeros(2, 3), 0), torch.zeros(2, 3))
    weight = torch.tensor([1.0, 3.14159, -1e-3])
    assert torch.allclose(eight_bits(weight, None), weight, rtol=2**-7, atol=0)


@pytest.mark.parametrize("weights", ["int8", "bfloat16"])
@pytest.mark.parametrize("blocks", [["residual", "maximum"], ["inception", "option A"]], ids=str)
def test_all_weights_and_no_biases_are_rounded(nets: ModuleType, blocks: list[str], weights: str) -> None:
    network = spiking_network(NormalForm(nets.recipe(blocks), {}), make_neuron("if", {}), "exact", Schedule(4))
    found = quantised(network, weights)  # type: ignore[arg-type]
    weighted = 0
    for node, old in zip(found.graph.nodes, network.graph.nodes, strict=True):
        if old.operator.role is Role.WEIGHTED:
            assert node.operator.weights, type(node.operator)
            weighted += 1
        for name, tensor in vars(old.operator).items():
            if isinstance(tensor, torch.Tensor):
                changed = not torch.equal(tensor, getattr(node.operator, name))
                assert not changed or name in node.operator.weights
                if isinstance(old.operator, Convolution) and name == "weight":
                    assert changed
    assert weighted
    assert quantised(network, "float32") is network


def test_8_bit_convolutions_run_on_whole_numbers_with_the_same_answers(nets: ModuleType) -> None:
    network = spiking_network(
        NormalForm(nets.recipe(["chain", "residual"]), {}), make_neuron("if", {}), "exact", Schedule(9)
    )
    network = fixed_point(quantised(network, "int8"))
    kinds = [
        EventSynapse(node.operator, network.graph.shapes[node.inputs[0]], False).kind
        for node in network.graph.nodes
        if isinstance(node.operator, Convolution)
    ]
    assert set(kinds) == {WHOLE}
    x = torch.randint(-6, 7, (3, *network.graph.input_shape), generator=torch.Generator().manual_seed(0)) / 4
    (whole,) = Simulator(network).run(x, [9])
    (plain,) = Simulator(network, fused=False).run(x, [9])
    assert all(torch.equal(count, plain.counts[name]) for name, count in whole.counts.items())
    assert any(count.any() for count in whole.counts.values())


def test_units_in_front_of_neurons_are_those_of_what_meets_there(nets: Any) -> None:
    def whole(*units: float, channels: int = 2) -> Convolution:
        weight = torch.full((len(units), channels, 1, 1), 100.0) * torch.tensor(units).reshape(-1, 1, 1, 1)
        return Convolution(weight, None, nets.window(1))

    net = nets.Net(2, 4, 4)
    first = net.relu("x", name="first")
    net.relu(net.sum(net.add(whole(0.5, 0.25), first), net.add(whole(0.125, 1.0), first), first), name="met")
    moved = net.subsample(net.add(whole(0.5, 0.25), "met"), 2)
    net.relu(moved, name="moved")
    scaled = net.add(Affine(torch.tensor([64.0, 1 / 128]).reshape(2, 1, 1), torch.zeros(1, 1, 1)), net.average("met"))
    net.relu(net.add(whole(0.5, 0.5), scaled), name="scaled")
    net.relu(net.add(whole(1 / 3, 1.0, channels=6), "moved"), name="none")
    joined = net.concat(net.flatten("scaled"), net.flatten("none"))
    network = spiking_network(NormalForm(net.graph(joined), {}), make_neuron("if", {}))
    assert units_before(network, "first") is None
    met, other = units_before(network, "met"), units_before(network, "moved")
    assert met is not None
    assert other is not None
    assert met.flatten().tolist() == [0.125, 0.25]
    assert set(other.flatten().tolist()) == {0.25}
    # a mean of 4, times a whole number of 2^-13 (1/128 in 8 bits), times one of 0.5
    assert units_before(network, "scaled").flatten().tolist() == [2.0**-16] * 2
    assert (met + torch.zeros(2, 4, 4)).shape == (2, 4, 4)
    assert units_before(network, "none") is None
