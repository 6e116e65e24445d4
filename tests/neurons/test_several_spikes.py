"""Neurons of several spikes a step, and neurons that take spikes back, against what their equations say."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.neurons import Neuron, make_neuron
from snnconvert.neurons.run import simulate, transfer


def count(neuron: Neuron, currents: list[float]) -> float:
    state, total = neuron.initial_state(torch.zeros(1, dtype=torch.float64)), 0.0
    for t, current in enumerate(currents):
        state, spikes = neuron.step(state, torch.tensor([current], dtype=torch.float64), t)
        total += float(spikes)
    return total


@pytest.mark.parametrize("initial", [0.0, 0.5])
def test_transfer_curve_without_limit_is_the_rectifier_within_one_spike(initial: float) -> None:
    neuron = make_neuron("if-multi", {"k": None, "initial_potential": initial})
    currents = [step / 5 for step in range(-25, 26)]
    counts = [100 * rate for rate in transfer(neuron, currents, 100)]
    assert (currents[0], currents[-1], len(currents)) == (-5.0, 5.0, 51)
    for current, found in zip(currents, counts, strict=True):
        assert abs(found - 100 * max(current, 0)) <= 1
    assert max(counts) >= 499


@given(st.integers(-40, 400), st.integers(0, 7), st.integers(1, 60), st.integers(1, 9))
@settings(deadline=None)
def test_bursts_send_what_came_in_up_to_the_limit(current: int, initial: int, steps: int, k: int) -> None:
    neuron = make_neuron("if-multi", {"k": k, "initial_potential": initial / 8})
    expected = min(max((initial + steps * current) // 8, 0), k * steps)
    assert count(neuron, [current / 8] * steps) == expected


@given(st.lists(st.integers(-24, 24), min_size=1, max_size=40))
@settings(deadline=None)
def test_what_arrives_unevenly_is_put_right(eighths: list[int]) -> None:
    """Once the neuron has had time to answer, its count is that of the whole current, in whatever order it came."""
    rest = [0.0] * 200
    currents = [each / 8 for each in eighths]
    expected = max(math.floor(sum(eighths) / 8), 0)
    assert count(make_neuron("if-signed", {"initial_potential": 0.0}), currents + rest) == expected
    assert count(make_neuron("if-signed-multi", {"k": 3, "initial_potential": 0.0}), currents + rest) == expected


def test_an_unsigned_neuron_cannot_take_back_what_a_signed_one_can() -> None:
    currents = [3.0, -3.0, 0.0, 0.0, 0.0]
    assert count(make_neuron("if-multi", {"initial_potential": 0.0}), currents) == 3
    assert count(make_neuron("if-signed-multi", {"initial_potential": 0.0}), currents) == 0
    assert count(make_neuron("if-signed", {"initial_potential": 0.0}), currents) == 0


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_one_step_of_several_thresholds_rounds_to_the_smallest(n: int) -> None:
    neuron = make_neuron("multi-threshold", {"n": n, "initial_potential": 0.5})
    smallest, most = 2.0 ** (1 - n), 2 - 2.0 ** (1 - n)
    for current in torch.linspace(-1, 3, 401, dtype=torch.float64).tolist():
        expected = min(max(math.floor(current / smallest + 0.5) * smallest, 0), most)
        assert simulate(neuron, current, 1).spikes == [expected]


def test_one_threshold_is_the_signed_neuron() -> None:
    make = torch.Generator().manual_seed(4)
    currents = (torch.rand(200, generator=make, dtype=torch.float64) * 3 - 1.2).tolist()
    one, signed = (make_neuron(name, {"initial_potential": 0.25}) for name in ("multi-threshold", "if-signed"))
    one = make_neuron("multi-threshold", {"n": 1, "initial_potential": 0.25})
    assert [count(one, currents[:t]) for t in range(200)] == [count(signed, currents[:t]) for t in range(200)]


@pytest.mark.parametrize("parameters", [{}, {"n": 4, "events_a_step": 1}, {"n": 3, "events_a_step": 3}])
@pytest.mark.parametrize("current", [0.003, 0.01, 0.05, 0.3, 0.7, 1.0, 1.4])
def test_the_decoded_rate_is_right_up_to_what_is_left_in_the_potential(parameters: dict, current: float) -> None:
    """``m(t) = c - v(t) / t``: the rate that readers decode is off by the potential over the time."""
    neuron = make_neuron("differential", parameters)
    for steps in (10, 100, 3000):
        found = simulate(neuron, current, steps)
        assert found.rate == pytest.approx(current - found.potentials[-1] / steps, abs=1e-9)
    assert abs(found.potentials[-1]) < 0.75 * 2.0 ** (1 - neuron.bits)


def test_a_decoded_rate_that_is_right_needs_no_more_spikes() -> None:
    found = simulate(make_neuron("differential", {}), 0.375, 1000)
    assert found.spikes == [0.375, *[0.0] * 999]
    assert found.rate == 0.375


def test_the_decoded_rate_follows_a_current_down_to_nothing() -> None:
    neuron = make_neuron("differential", {})
    state = neuron.initial_state(torch.zeros(1, dtype=torch.float64))
    rates = []
    for t in range(400):
        current = torch.tensor([0.8 if t < 20 else -0.5], dtype=torch.float64)
        state, spikes = neuron.step(state, current, t)
        rates.append(float(neuron.sent(state, spikes)))
    assert rates[19] == pytest.approx(0.8, abs=0.01)
    assert 0 <= rates[-1] < 0.001
