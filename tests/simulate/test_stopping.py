"""Samples that are decided leave the batch: what they said is what they would have said, and the others go on."""

import dataclasses
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import make_neuron
from snnconvert.simulate import Simulator, leads
from snnconvert.simulate.stopping import settled

STEPS = (2, 3, 5, 8, 11)
SCHEDULES = (Schedule(11), Schedule(11, onset_delay=2), Schedule(11, warm_up=0.5), Schedule(11, readout_from=2))
NEURONS = ("if", "if-signed", "if-signed-multi", "multi-threshold", "differential")
SAMPLES = 24


@given(arrays.arrays(np.float32, (3, 5), elements=st.floats(-100, 100, width=32)))
def test_lead_is_the_gap_between_the_two_largest(outputs: np.ndarray) -> None:
    ordered = np.sort(outputs, axis=1)
    assert np.array_equal(leads(outputs), ordered[:, -1] - ordered[:, -2])


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 1, 1)])
def test_a_logit_leads_by_its_distance_to_0(shape: tuple[int, ...]) -> None:
    assert leads(np.array([2.0, -3.0, 0.0]).reshape(shape)).tolist() == [2, 3, 0]


def test_nobody_is_settled_where_nobody_may_stop() -> None:
    assert not settled(np.full((4, 2), [9.0, 0.0]), None).any()
    assert settled(np.full((4, 2), [9.0, 0.0]), 9.0).all()


def network_of(nets: ModuleType, name: str, schedule: Schedule, pool: str) -> SpikingNetwork:
    net = nets.Net(2, 9, 9, dyadic=True)
    net.draw = lambda *shape: torch.randint(-6, 7, shape, generator=net.make) / 32  # around zero: nothing saturates
    x = net.relu(net.conv("x", 16))
    for block in ("residual", pool):
        x = nets.BLOCKS[block](net, x)
    graph = net.graph(net.linear(net.flatten(net.average(x)), 5))
    network = spiking_network(NormalForm(graph, {}), make_neuron(name, {}), schedule=schedule)
    bias = torch.randint(-2, 3, (9, 16, 1, 1), generator=torch.Generator().manual_seed(5)) / 16
    return dataclasses.replace(network, biases={next(iter(network.neurons)): bias})


def inputs() -> torch.Tensor:
    return torch.randint(-6, 7, (SAMPLES, 2, 9, 9), generator=torch.Generator().manual_seed(0)) / 4


@pytest.mark.parametrize("pool", ["average", "maximum"])
@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_what_a_sample_said_when_it_left_is_what_it_says_in_a_whole_run(
    nets: ModuleType, schedule: Schedule, name: str, pool: str
) -> None:
    if name == "differential" and (schedule.onset_delay or schedule.warm_up):
        schedule = dataclasses.replace(schedule, onset_delay=0, warm_up=0.0)
    network, x = network_of(nets, name, schedule, pool), inputs()
    whole = []
    for readout in Simulator(network).run(x, STEPS):
        counts = {each: count.clone() for each, count in readout.counts.items()}
        events = {each: count.clone() for each, count in readout.events.items()}
        rates = {each: rate.clone() for each, rate in readout.rates.items()}
        whole.append((readout.output.clone(), readout.total.numpy().copy(), counts, events, rates))
    lead = float(np.median(leads(whole[2][1])))
    running, left_at = np.arange(SAMPLES), {}
    for readout, (output, total, *told) in zip(Simulator(network).run(x, STEPS, lead), whole, strict=False):
        assert readout.samples.tolist() == running.tolist()
        assert torch.equal(readout.output, output[running])
        for found, expected in zip((readout.counts, readout.events, readout.rates), told, strict=True):
            assert all(torch.equal(found[each], expected[each][running]) for each in expected)
        assert readout.settled.tolist() == (leads(total[running]) >= lead).tolist()
        left_at |= dict.fromkeys(running[readout.settled].tolist(), readout.t)
        running = running[~readout.settled]
    assert len(set(left_at.values())) > 1  # some early, some late


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_is_over_when_nobody_is_left(nets: ModuleType, threads: int) -> None:
    network, x, before = network_of(nets, "if", Schedule(11), "average"), inputs(), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        (readout,) = Simulator(network).run(x, STEPS, 0.0)
        assert (readout.t, readout.samples.tolist()) == (STEPS[0], [*range(SAMPLES)])
        assert readout.settled.all()
        everyone = list(Simulator(network).run(x, STEPS, 1e9))
        assert [each.t for each in everyone] == [*STEPS]
        assert not any(each.settled.any() for each in everyone)
    finally:
        torch.set_num_threads(before)


def test_layers_that_run_one_after_the_other_run_to_the_end(nets: ModuleType) -> None:
    network = network_of(nets, "if", Schedule(11, onset_delay=11), "average")
    found = [
        (each.t, len(each.samples), bool(each.settled.any())) for each in Simulator(network).run(inputs(), STEPS, 0.0)
    ]
    assert found == [(t, SAMPLES, False) for t in STEPS]
