"""One pass over counts is the step-by-step run with an onset delay of T, spike for spike in count."""

import dataclasses
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import Neuron, make_neuron
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.simulate import Simulator, sequential
from snnconvert.simulate.sequential import is_sequential, spike_count

SIXTEENTHS = st.integers(-100, 100).map(lambda number: number / 16)


@given(SIXTEENTHS, SIXTEENTHS, st.integers(1, 40))
def test_closed_form_is_what_the_steps_count(potential: float, current: float, steps: int) -> None:
    neuron, state, count = IntegrateAndFire(), (torch.tensor([potential]).double(),), torch.zeros(1).double()
    for t in range(steps):
        state, spikes = neuron.step(state, torch.tensor([current]).double(), t)
        count += spikes
    given_current = None if current == 0 else torch.tensor([current]).double()
    assert torch.equal(spike_count(torch.tensor([potential]).double(), given_current, steps), count)


def quarters(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-6, 7, shape, generator=torch.Generator().manual_seed(seed)) / 4


def network_of(nets: ModuleType, blocks: list[str], neuron: Neuron, schedule: Schedule, rows: int) -> SpikingNetwork:
    net = nets.Net(2, 9, 9, dyadic=True)
    x = net.relu(net.conv("x", 3))
    for block in blocks:
        x = nets.BLOCKS[block](net, x)
    graph = net.graph(net.linear(net.flatten(net.average(x)), 3))
    network = spiking_network(NormalForm(graph, {}), neuron, schedule=schedule)
    biases = {
        name: quarters(rows, graph.shapes[name][0], 1, 1, seed=seed) / 4 for seed, name in enumerate(network.neurons)
    }
    potentials = {name: quarters(*graph.shapes[name], seed=seed + 50) / 8 for seed, name in enumerate(network.neurons)}
    return dataclasses.replace(network, biases=biases if rows else {}, potentials=potentials)


NEURONS = [
    ("if", {}),
    ("if", {"refractory": 1}),
    ("if-signed", {}),
    ("if-multi", {"k": 3}),
    ("multi-threshold", {"n": 3}),
]


@pytest.mark.parametrize("rows", [0, 1, 6])
@pytest.mark.parametrize("blocks", [["chain", "residual"], ["projection", "inception", "chain"], ["maximum", "chain"]])
@pytest.mark.parametrize(("name", "settings"), NEURONS)
def test_counts_are_those_of_the_steps(
    nets: ModuleType, name: str, settings: dict[str, int], blocks: list[str], rows: int
) -> None:
    schedule = Schedule(6, onset_delay=6)
    network = network_of(nets, blocks, make_neuron(name, settings), schedule, rows)
    assert is_sequential(network) == (name == "if" or "maximum" not in blocks)
    x = quarters(3, 2, 9, 9, seed=9)
    steps = [1, 3, 6]
    runs = [Simulator(network).run(x, steps), Simulator(network, fused=False).run(x, steps)]
    runs += [Simulator(network, counting=False).run(x, steps)]
    for found, plain, expected in zip(*runs, strict=True):
        assert torch.equal(plain.output, expected.output)
        assert found.t == expected.t
        assert torch.equal(found.output, expected.output)
        for name_ in expected.counts:
            assert torch.equal(found.counts[name_], expected.counts[name_]), name_
            assert torch.equal(found.events[name_], expected.events[name_]), name_
            torch.testing.assert_close(found.rates[name_], expected.rates[name_])


@pytest.mark.parametrize("steps", [1, 7, 1000])
def test_synapses_are_evaluated_once_whatever_t_is(
    nets: ModuleType, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    network = network_of(nets, ["chain", "residual"], make_neuron("if", {}), Schedule(steps, onset_delay=steps), 1)
    calls: list[object] = []
    for node in network.graph.nodes:
        kind = type(node.operator)
        evaluate = kind.evaluate
        if not hasattr(evaluate, "counted"):

            def counted(self: object, inputs: object, evaluate: object = evaluate) -> object:
                calls.append(self)
                return evaluate(self, inputs)  # type: ignore[operator]

            counted.counted = True  # type: ignore[attr-defined]
            monkeypatch.setattr(kind, "evaluate", counted)
    simulator = Simulator(network, fused=False)
    calls.clear()
    (readout,) = simulator.run(quarters(2, 2, 9, 9), [steps])
    assert len(calls) == len(network.graph.nodes) - len(network.neurons)
    assert readout.t == steps


@pytest.mark.parametrize(
    ("name", "settings", "schedule"),
    [
        ("if", {"leak": 0.125}, Schedule(4, onset_delay=4)),
        ("if", {}, Schedule(4, onset_delay=3)),
        ("if", {}, Schedule(4)),
    ],
)
def test_network_whose_counts_do_not_say_all_takes_its_steps(
    nets: ModuleType, name: str, settings: dict[str, float], schedule: Schedule
) -> None:
    network = network_of(nets, ["chain"], make_neuron(name, settings), schedule, 1)
    assert not sequential.is_sequential(network)
    assert Simulator(network)._sequential is None
