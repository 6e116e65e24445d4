"""The leaky integrate-and-fire neuron against the closed form of its equation."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snnconvert.neurons.leaky_integrate_and_fire import LeakyIntegrateAndFire
from snnconvert.neurons.run import simulate


def fired(neuron: LeakyIntegrateAndFire, current: float, steps: int) -> list[int]:
    return [step for step, spike in enumerate(simulate(neuron, current, steps).spikes) if spike]


def period(current: float, threshold: float, reset: float, tau: float) -> float:
    """Steps from the reset to the threshold, before they are rounded up."""
    return math.log((current - threshold) / (current - reset)) / math.log1p(-1 / tau)


def test_spikes_at_47_and_94() -> None:
    assert fired(LeakyIntegrateAndFire(tau=20, threshold=10), 11, 100) == [47, 94]
    assert math.ceil(period(11, 10, 0, 20)) == 47


@given(
    tau=st.floats(1.5, 50),
    threshold=st.floats(0.5, 10),
    reset=st.floats(-3, 0.4),
    over=st.floats(0.05, 5),
    resistance=st.sampled_from([1.0, 0.5, 3.0]),
    bias=st.sampled_from([0.0, 0.25, -1.0]),
)
@settings(deadline=None, max_examples=60)
def test_it_fires_with_the_period_of_the_closed_form(
    tau: float, threshold: float, reset: float, over: float, resistance: float, bias: float
) -> None:
    driven = threshold * (1 + over)
    exact = period(driven, threshold, reset, tau)
    assume(abs(exact - round(exact)) > 1e-6)  # where rounding decides
    neuron = LeakyIntegrateAndFire(tau, threshold, reset, resistance, bias, initial_potential=reset)
    current = driven / resistance - bias
    steps = math.ceil(exact)
    assert fired(neuron, current, 3 * steps + 1) == [steps, 2 * steps, 3 * steps]
    assert float(neuron.rate(torch.tensor(current, dtype=torch.float64))) == 1 / steps


@given(st.floats(2, 50), st.floats(-2, 0.999))
@settings(deadline=None, max_examples=40)
def test_it_is_silent_up_to_the_threshold(tau: float, current: float) -> None:
    neuron = LeakyIntegrateAndFire(tau)
    assert fired(neuron, current, 200) == []
    assert float(neuron.rate(torch.tensor(current, dtype=torch.float64))) == 0


@pytest.mark.parametrize(("current", "rate"), [(0.999, 0.0), (1.0, 1.0), (1.5, 1.0)])
def test_without_memory_it_is_a_comparator(current: float, rate: float) -> None:
    neuron = LeakyIntegrateAndFire(tau=1)
    assert fired(neuron, current, 10) == (list(range(1, 10)) if rate else [])
    assert float(neuron.rate(torch.tensor(current, dtype=torch.float64))) == rate


def test_a_current_at_the_threshold_is_approached_for_ever() -> None:
    neuron = LeakyIntegrateAndFire(tau=20)
    assert fired(neuron, 1.0, 2000) == []
    assert float(neuron.rate(torch.tensor(1.0, dtype=torch.float64))) == 0


def test_the_potential_is_that_of_the_differential_equation() -> None:
    neuron = LeakyIntegrateAndFire(tau=20, threshold=10, initial_potential=2)
    found = simulate(neuron, 8, 60).potentials
    assert found == pytest.approx([8 + (2 - 8) * (1 - 1 / 20) ** n for n in range(1, 61)], abs=1e-12)


def test_a_silent_step_leaks_and_gathers_but_does_not_fire() -> None:
    neuron = LeakyIntegrateAndFire(tau=4, bias=0.5)
    state = (torch.tensor([3.0, -1.0]),)
    (after,) = neuron.silent(state, torch.tensor([1.0, 1.0]))
    assert after.tolist() == [3 + (1.5 - 3) / 4, -1 + (1.5 + 1) / 4]
