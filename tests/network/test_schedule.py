"""When layers fire: starts, stops, what it costs, and what cannot wait."""

import pytest

from snnconvert.errors import ModelError, UsageError
from snnconvert.network import NormalForm, Schedule, spiking_network
from snnconvert.neurons import make_neuron
from tests import nets


@pytest.mark.parametrize("other", [{"warm_up": 0.5}, {"readout_from": 3}])
def test_onset_delay_and_another_way_to_wait_is_refused(other: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"E003.*--onset-delay and --.*one of the two"):
        Schedule(8, onset_delay=1, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["lif", "differential"])
@pytest.mark.parametrize("schedule", [Schedule(8, 1), Schedule(8, warm_up=1.0)])
def test_neuron_that_loses_charge_while_it_waits_is_refused(name: str, schedule: Schedule) -> None:
    graph = nets.recipe(["chain"])
    with pytest.raises(UsageError, match=f"E003.*a neuron '{name}' that may not fire loses"):
        spiking_network(NormalForm(graph, {}), make_neuron(name, {}), schedule=schedule)


def test_analog_input_that_meets_spikes_cannot_be_delayed() -> None:
    net = nets.Net(3, 6, 6, dyadic=True)
    first = net.conv("x", 3)
    graph = net.graph(net.linear(net.flatten(net.relu(net.sum(net.conv(net.relu(first), 3), first))), 3))
    with pytest.raises(ModelError, match=r"E118.*the analog input meets spikes there"):
        spiking_network(NormalForm(graph, {}), make_neuron("if", {}), schedule=Schedule(8, 1))
    assert spiking_network(NormalForm(graph, {}), make_neuron("if", {}), schedule=Schedule(8, warm_up=1.0)).latency == 0


def test_maximum_of_currents_cannot_be_delayed() -> None:
    net = nets.Net(2, 6, 6, dyadic=True)
    pooled = net.maximum(net.conv(net.relu(net.conv("x", 3)), 2), name="pool")
    graph = net.graph(net.linear(net.flatten(net.relu(pooled)), 3))
    with pytest.raises(ModelError, match=r"E118.*'pool' \(MaxPool\): a maximum of currents cannot be delayed"):
        spiking_network(NormalForm(graph, {}), make_neuron("if", {}), schedule=Schedule(8, 1))


@pytest.mark.parametrize("name", ["if-signed", "if-multi", "differential"])
def test_gate_passes_binary_spikes_only(name: str) -> None:
    graph = nets.recipe(["maximum"])
    with pytest.raises(ModelError, match=r"E118.*a gate passes binary spikes"):
        spiking_network(NormalForm(graph, {}), make_neuron(name, {}), "gate")


def test_onset_delay_shifts_each_layer_and_adds_its_delays_to_the_latency() -> None:
    schedule = Schedule(8, onset_delay=3)
    assert [schedule.start(depth) for depth in range(4)] == [0, 3, 6, 9]
    assert [schedule.stop(depth) for depth in range(4)] == [8, 11, 14, 17]
    assert [schedule.bias_start(depth) for depth in range(4)] == [0, 0, 3, 6]
    assert [schedule.firing_steps(depth) for depth in range(4)] == [8] * 4
    assert schedule.latency(3) == 9
    assert schedule.document(3) == {"T": 8, "onset_delay": 3, "latency": 9}


def test_warm_up_shortens_the_time_of_later_layers_and_adds_no_step() -> None:
    schedule = Schedule(8, warm_up=0.75)
    assert [schedule.start(depth) for depth in range(5)] == [0, 0, 1, 2, 3]
    assert [schedule.stop(depth) for depth in range(5)] == [None] * 5
    assert [schedule.firing_steps(depth) for depth in range(5)] == [8, 8, 7, 6, 5]
    assert schedule.latency(4) == 0


def test_readout_that_begins_late_takes_so_many_steps_more() -> None:
    schedule = Schedule(8, readout_from=5)
    assert (schedule.latency(7), schedule.firing_steps(7)) == (5, 13)


def test_depth_is_the_longest_path_in_layers_of_neurons() -> None:
    network = spiking_network(NormalForm(nets.recipe(["chain", "residual"]), {}), make_neuron("if", {}))
    depths = [network.depths[name] for name in network.neurons]
    assert depths == [0, 1, 2]
    assert network.depths[network.graph.output] == 2
    assert not any(network.resting[name].any() for name in network.neurons)
