"""The engine against a simulator that does the obvious: one step, one node, one operation at a time, in float64.

Weights and inputs are multiples of powers of two, so that every sum is exact in float32: equal means equal.
"""

from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnconvert.graph import Graph, Role
from snnconvert.network import NormalForm, SpikingNetwork, spiking_network
from snnconvert.neurons import Neuron, State
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.simulate import Simulator

Trace = list[tuple[Tensor, dict[str, Tensor]]]  # after each step: accumulated output, cumulative output of each emitter


def step_by_step(network: SpikingNetwork, x: Tensor, steps: int) -> Trace:
    graph = network.graph.mapped(lambda tensor: tensor.double())
    state: dict[str, Tensor] = {}
    neurons: dict[str, State] = {}
    totals: dict[str, Tensor] = {}
    output, trace = torch.zeros(()), []
    for t in range(steps):
        values = {graph.input: x.double()}
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            if node.name in network.neurons:
                neuron = network.neurons[node.name]
                before = neurons[node.name] if node.name in neurons else neuron.initial_state(inputs[0])
                neurons[node.name], values[node.name] = neuron.step(before, inputs[0], t)
            elif node.operator.role is Role.MAXIMUM:
                seen = state.get(node.name, torch.zeros_like(inputs[0]))
                state[node.name] = seen + inputs[0]
                earlier, now = (node.operator.evaluate([each]) for each in (seen, state[node.name]))
                values[node.name] = now - earlier
            else:
                values[node.name] = node.operator.evaluate(inputs)
        for emitter in network.emitters:
            totals[emitter.name] = totals.get(emitter.name, 0) + values[emitter.name]
        output = output + values[graph.output]
        trace.append((output, dict(totals)))
    return trace


def quarters(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(-6, 7, shape, generator=torch.Generator().manual_seed(seed)) / 4


def assert_engine_is_right(graph: Graph, neuron: Neuron, block: int, seed: int = 0) -> None:
    network = spiking_network(NormalForm(graph, {}), neuron)
    x, steps = quarters(3, *graph.input_shape, seed=seed), 11
    expected = step_by_step(network, x, steps)
    assert any(count.any() for count in expected[-1][1].values())
    for fused in (True, False):
        for readout in Simulator(network, block=block, fused=fused).run(x, range(1, steps + 1)):
            output, counts = expected[readout.t - 1]
            assert torch.equal(readout.output.double(), output)
            assert readout.counts.keys() == counts.keys()
            for name, count in counts.items():
                assert torch.equal(readout.counts[name].double(), count), name


BLOCKS = (
    "chain",
    "clipped",
    "residual",
    "projection",
    "option A",
    "inception",
    "average",
    "maximum",
    "joined maximum",
    "shared current",
    "bottleneck",
    "preactivation",
    "shuffle",
    "per pixel",
    "read twice",
    "neurons on spikes",
)


@pytest.mark.parametrize("neuron", [IntegrateAndFire(), IntegrateAndFire("zero", 0.25)], ids=repr)
@pytest.mark.parametrize("block", BLOCKS)
def test_engine_equals_the_obvious_simulator(nets: ModuleType, block: str, neuron: IntegrateAndFire) -> None:
    assert_engine_is_right(nets.recipe(["chain", block], dyadic=True, size=6), neuron, block=4)


def test_every_block_is_tried(nets: ModuleType) -> None:
    assert set(nets.BLOCKS) == set(BLOCKS)


@given(
    blocks=st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=2),
    seed=st.integers(0, 1000),
    initial=st.sampled_from([0.0, 0.25, 0.5]),
    length=st.integers(1, 6),
)
@settings(max_examples=25, deadline=None)
def test_engine_equals_the_obvious_simulator_on_any_network(
    nets: ModuleType, blocks: list[str], seed: int, initial: float, length: int
) -> None:
    graph = nets.recipe(blocks, dyadic=True, seed=seed, size=6)
    assert_engine_is_right(graph, IntegrateAndFire("subtract", initial), length, seed)


def test_constant_and_varying_values_meet_in_sums_and_concatenations(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6, dyadic=True)
    constant = net.conv("x", 2)
    spikes = net.relu(constant)
    added = net.relu(net.sum(constant, net.conv(spikes, 2), "x"))
    joined = net.concat("x", added, constant, net.maximum("x", nets.window(3, 1, 1)))
    pooled = net.maximum(joined, nets.window(3, 2, 1))
    assert_engine_is_right(net.graph(net.linear(net.flatten(pooled), 3)), IntegrateAndFire(), block=3)


@pytest.mark.parametrize("kind", ["relu", "conv", "maximum", "mean", "sum", "concat", "x again"])
def test_output_of_any_kind(nets: ModuleType, kind: str) -> None:
    net = nets.Net(2, 6, 6, dyadic=True)
    x = net.relu(net.conv("x", 4), name="relu")
    if kind == "conv":
        x = net.conv(x, 3)
    elif kind == "maximum":
        x = net.maximum(x)
    elif kind == "mean":
        x = net.average(x)
    elif kind == "sum":
        x = net.sum(net.conv("x", 4), x)
    elif kind == "concat":
        x = net.concat("x", x)
    elif kind == "x again":
        x = net.sum(x, x)
    assert_engine_is_right(net.graph(x), IntegrateAndFire(), block=4)


def test_rows_and_sequences(nets: ModuleType) -> None:
    net = nets.Net(4, 6, dyadic=True)
    rows = net.relu(net.linear(net.relu(net.linear("x", 5)), 3))
    columns = net.relu(net.conv(net.relu(net.transpose(rows, 1, 0)), 4, nets.window((3,), 1, 1)))
    pooled = net.maximum(columns, nets.window((2,), 2))
    assert_engine_is_right(net.graph(net.linear(net.flatten(pooled), 3)), IntegrateAndFire(), block=4)


def test_activation_right_behind_a_transpose_of_four_axes(nets: ModuleType) -> None:
    net = nets.Net(6, 3, 4, dyadic=True)
    moved = net.transpose(net.reshape(net.relu(net.conv("x", 6)), 2, 3, 3, 4), 1, 0, 3, 2)
    graph = net.graph(net.linear(net.flatten(net.relu(moved)), 3))
    assert_engine_is_right(graph, IntegrateAndFire(), block=4)
