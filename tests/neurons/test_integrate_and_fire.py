"""The integrate-and-fire neuron: charge is kept, and the number of spikes is a formula."""

import itertools
import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnconvert.errors import UsageError
from snnconvert.neurons import NEURONS
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire


def count_and_state(neuron: IntegrateAndFire, currents: Tensor) -> tuple[Tensor, Tensor]:
    state = neuron.initial_state(currents[0])
    count = torch.zeros_like(currents[0])
    for t, current in enumerate(currents):
        state, fired = neuron.step(state, current, t)
        count += fired
    return count, state[0]


@pytest.mark.parametrize("reset", ["soft", "Subtract", "", None, True])
def test_unknown_reset_is_refused(reset: Any) -> None:
    with pytest.raises(UsageError, match=r"E003.*--reset: expected 'subtract' or 'zero', got") as caught:
        IntegrateAndFire(reset)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("potential", [-1e-9, -1.0, 1.0, 1.5, math.inf, -math.inf, math.nan])
def test_initial_potential_outside_of_its_range_is_refused(potential: float) -> None:
    with pytest.raises(
        UsageError, match=r"E003.*--initial-potential: expected at least 0 and under 1 \(thresholds\), got"
    ):
        IntegrateAndFire(initial_potential=potential)


def test_it_is_registered_under_its_name() -> None:
    assert NEURONS["if"] is IntegrateAndFire
    assert IntegrateAndFire.name == "if"


def test_a_fortieth_of_the_threshold_for_a_hundred_steps_gives_two_spikes() -> None:
    currents = torch.full((100, 1), 0.025, dtype=torch.float64)
    count, _ = count_and_state(IntegrateAndFire("subtract", 0.0), currents)
    assert float(count) == math.floor(Fraction(25, 1000) * 100) == 2


@pytest.mark.parametrize("initial", [0.0, 0.25, 0.5])
def test_spikes_and_potential_hold_the_whole_charge_exactly(initial: float) -> None:
    make = torch.Generator().manual_seed(1)
    currents = torch.randint(-64, 129, (300, 1000), generator=make) / 64  # sums are exact in float32
    count, state = count_and_state(IntegrateAndFire("subtract", initial), currents)
    assert torch.equal(count + state, initial + currents.sum(0))


def test_spikes_and_potential_hold_the_whole_charge_up_to_rounding() -> None:
    make = torch.Generator().manual_seed(2)
    currents = torch.randn((500, 1000), generator=make, dtype=torch.float64)
    count, state = count_and_state(IntegrateAndFire(), currents)
    torch.testing.assert_close(count + state, 0.5 + currents.sum(0), rtol=0, atol=1e-9)


@given(st.integers(0, 64), st.integers(0, 63), st.integers(1, 200))
@settings(deadline=None)
def test_the_number_of_spikes_is_the_floored_charge(current: int, initial: int, steps: int) -> None:
    neuron = IntegrateAndFire("subtract", initial / 64)
    count, _ = count_and_state(neuron, torch.full((steps, 1), current / 64))
    assert int(count) == (initial + steps * current) // 64


@given(st.integers(0, 64), st.sampled_from([1, 2, 4, 8, 16, 32]))
@settings(deadline=None)
def test_half_a_threshold_at_the_start_rounds_the_activation(current: int, steps: int) -> None:
    count, _ = count_and_state(IntegrateAndFire("subtract", 0.5), torch.full((steps, 1), current / 64))
    assert int(count) == math.floor(Fraction(current * steps, 64) + Fraction(1, 2))


@given(st.integers(1, 128), st.integers(0, 63), st.integers(1, 200))
@settings(deadline=None)
def test_reset_to_zero_starts_each_period_anew(current: int, initial: int, steps: int) -> None:
    neuron = IntegrateAndFire("zero", initial / 64)
    count, _ = count_and_state(neuron, torch.full((steps, 1), current / 64))
    first, period = -(-(64 - initial) // current), -(-64 // current)
    assert int(count) == max(0, (steps - first) // period + 1)
    assert float(neuron.rate(torch.tensor(current / 64, dtype=torch.float64))) == 1 / period


def test_reset_to_zero_loses_charge_where_reset_by_subtraction_does_not() -> None:
    currents = torch.full((100, 1), 0.75)
    assert float(count_and_state(IntegrateAndFire("subtract", 0.0), currents)[0]) == 75
    assert float(count_and_state(IntegrateAndFire("zero", 0.0), currents)[0]) == 50


def test_rate_is_the_rectifier_that_saturates_at_one() -> None:
    current = torch.tensor([-3.0, -0.0, 0.0, 0.3, 1.0, 1.5], dtype=torch.float64)
    assert torch.equal(IntegrateAndFire().rate(current), current.clamp(0, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_leak_is_a_bias(dtype: torch.dtype) -> None:
    make = torch.Generator().manual_seed(6)
    currents = (torch.randint(-64, 129, (200, 300), generator=make) / 64).to(dtype)
    leaky = count_and_state(IntegrateAndFire("subtract", 0.5, leak=0.125), currents)
    biased = count_and_state(IntegrateAndFire("subtract", 0.5), currents - 0.125)
    assert all(torch.equal(left, right) for left, right in zip(leaky, biased, strict=True))
    assert IntegrateAndFire(leak=0.125).rate(torch.tensor([0.1, 0.5, 2.0])).tolist() == [0.0, 0.375, 1.0]


@given(st.integers(1, 128), st.integers(0, 6), st.sampled_from(["subtract", "zero"]))
@settings(deadline=None)
def test_a_neuron_is_refractory_for_its_steps(current: int, refractory: int, reset: str) -> None:
    neuron = IntegrateAndFire(reset, 0.0, refractory=refractory)  # type: ignore[arg-type]
    z = torch.tensor(current / 64, dtype=torch.float64)
    state, fired = neuron.initial_state(z), []
    for t in range(300):
        state, spike = neuron.step(state, z, t)
        fired += [t] if spike else []
    gaps = {later - earlier for earlier, later in itertools.pairwise(fired)}
    assert all(gap > refractory for gap in gaps)
    assert abs(len(fired) / 300 - float(neuron.rate(z))) <= 1 / 300 + 1e-9
    if current / 64 >= 1:
        assert gaps == {refractory + 1}


def test_refractory_steps_gather_the_current_that_comes() -> None:
    currents = torch.tensor([[1.0], [0.5], [0.5], [0.5], [0.0]])
    count, state = count_and_state(IntegrateAndFire("subtract", 0.0, refractory=2), currents)
    assert (float(count), float(state)) == (2.0, 0.5)


def test_a_silent_step_does_not_end_a_refractory_period() -> None:
    neuron = IntegrateAndFire("subtract", 0.0, refractory=2)
    state = (torch.tensor([0.5]), torch.tensor([2.0]))
    assert [each.tolist() for each in neuron.silent(state, torch.tensor([0.25]))] == [[0.75], [2.0]]
