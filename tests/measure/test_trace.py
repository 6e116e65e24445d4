"""Traces of neurons: the spikes are those that the engine counts, and charge is neither made nor lost."""

from types import ModuleType

import pytest
import torch

from snnconvert.measure import record, telling
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import make_neuron
from snnconvert.simulate import Simulator

T = 9
SCHEDULES = {
    "synchronous": Schedule(T),
    "onset delay": Schedule(T, onset_delay=2),
    "one after the other": Schedule(T, onset_delay=T),
    "warm-up": Schedule(T, warm_up=1.5),
}


def network(nets: ModuleType, neuron: str, schedule: Schedule, encoding: str = "constant") -> SpikingNetwork:
    net = nets.Net(2, 5, 4, dyadic=True)
    first = net.relu(net.conv("x", 3), name="first")
    second = net.relu(net.conv(first, 4), name="second")
    third = net.relu(net.linear(net.flatten(second), 6), name="third")
    graph = net.graph(net.linear(third, 3))
    return spiking_network(NormalForm(graph, {}), make_neuron(neuron, {}), "exact", schedule, encoding)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("neuron", ["if", "if-signed", "if-signed-multi", "multi-threshold"])
def test_spikes_are_those_of_the_engine(nets: ModuleType, neuron: str, schedule: str) -> None:
    found = network(nets, neuron, SCHEDULES[schedule])
    x = torch.randint(0, 9, (1, 2, 5, 4), generator=torch.Generator().manual_seed(1)) / 4
    (readout,) = Simulator(found).run(x, [T])
    everyone = {name: range(each[0].numel()) for name, each in readout.counts.items()}
    traces = record(found, x, everyone, T)
    assert [*traces] == ["first", "second", "third"]
    for depth, (name, trace) in enumerate(traces.items()):
        assert torch.equal(trace.spikes.sum(0), readout.counts[name][0].flatten()), name
        assert torch.equal(trace.reached - trace.potentials, trace.spikes), name  # reset by subtraction
        assert trace.start == found.schedule.start(depth)
        assert not trace.spikes[: trace.start - trace.began].any()
        assert trace.end <= T + found.latency
    assert any(bool(trace.spikes.any()) for trace in traces.values())


def test_a_part_of_the_neurons_and_steps_is_a_part_of_the_whole(nets: ModuleType) -> None:
    found = network(nets, "if", Schedule(T))
    x = torch.randint(0, 9, (1, 2, 5, 4), generator=torch.Generator().manual_seed(3)) / 4
    every = record(found, x, {"second": range(80)}, T)["second"]
    some = record(found, x, {"second": (7, 3)}, 4)["second"]
    assert some.places == (7, 3)
    assert torch.equal(some.potentials, every.potentials[:4, [7, 3]])
    assert torch.equal(some.spikes, every.spikes[:4, [7, 3]])


def test_events_are_traced_as_they_come(nets: ModuleType) -> None:
    found = network(nets, "if", Schedule(T), "events")
    x = torch.randint(0, 3, (1, T, 2, 5, 4), generator=torch.Generator().manual_seed(5)) / 4
    (readout,) = Simulator(found).run(x, [T])
    trace = record(found, x, {"third": range(6)}, T)["third"]
    assert torch.equal(trace.spikes.sum(0), readout.counts["third"][0])


def test_telling_neurons() -> None:
    activations = torch.tensor([0.0, 0.5, 0.9, 0.1, 0.0, 0.7, 0.3])
    rates = torch.tensor([0.0, 0.5, 0.9, 0.1, 0.4, 0.7, 0.3])
    assert telling(activations, rates, 4) == (4, 2, 1, 3)  # the stray one, then high, middle, low
    assert telling(activations, activations, 99) == (0, 2, 5, 1, 6, 3)
    assert telling(torch.zeros(3), torch.zeros(3), 4) == (0,)
