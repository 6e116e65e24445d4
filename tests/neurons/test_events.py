"""How many events carry a spike, against counts by brute force."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.neurons.events import Cost, event_count
from snnconvert.neurons.neuron import EXAMPLES

COSTS: tuple[Cost, ...] = ("absolute", "single", "bits", "signed-bits")


@pytest.mark.parametrize("bits", [1, 2, 3, 6, 8, 16])
def test_bits_are_a_population_count(bits: int) -> None:
    whole = np.arange(0, 2**bits)
    spikes = (whole / 2 ** (bits - 1)).astype(np.float32)
    expected = [int(each).bit_count() for each in whole]
    assert event_count(spikes, "bits", bits).tolist() == expected
    assert event_count(-spikes, "bits", bits).tolist() == expected


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_signed_bits_are_the_fewest_powers_that_make_a_spike(bits: int) -> None:
    fewest: dict[float, int] = {}
    for signs in itertools.product((-1, 0, 1), repeat=bits):
        spike = sum(sign * 2.0**-power for power, sign in enumerate(signs))
        fewest[spike] = min(sum(map(abs, signs)), fewest.get(spike, bits))
    spikes = np.array(list(fewest), np.float32)
    assert event_count(spikes, "signed-bits", bits).tolist() == list(fewest.values())


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1))
def test_unit_events_and_single_events(whole: list[int]) -> None:
    spikes = np.array(whole, np.float32)
    assert event_count(spikes, "absolute").tolist() == [abs(each) for each in whole]
    assert event_count(spikes, "single").tolist() == [each != 0 for each in whole]


@given(st.lists(st.integers(-127, 127), min_size=1), st.sampled_from(COSTS))
def test_numpy_and_torch_count_alike(whole: list[int], cost: Cost) -> None:
    spikes = np.array(whole, np.float32) / 64
    own = event_count(spikes, cost, 7)
    of_torch = event_count(torch.from_numpy(spikes), cost, 7)
    assert own.dtype == np.float32
    assert of_torch.dtype == torch.float32
    assert own.tolist() == of_torch.tolist()


@pytest.mark.parametrize("neuron", [each for name in EXAMPLES for each in EXAMPLES[name]()], ids=repr)
def test_a_neuron_counts_no_event_where_it_is_silent_and_some_where_it_fires(neuron) -> None:
    currents = torch.rand((50, 200), generator=torch.Generator().manual_seed(3)) * 4 - 1.5
    state, fired = neuron.initial_state(currents[0]), 0
    for t, current in enumerate(currents):
        state, spikes = neuron.step(state, current, t)
        events = neuron.events(spikes)
        assert torch.equal(events > 0, spikes != 0)
        assert torch.equal(events, events.round())
        fired += int((spikes != 0).sum())
        if neuron.cost == "absolute":
            assert torch.equal(events, spikes.abs())
        else:
            assert float(events.max()) <= getattr(neuron, "events_a_step", neuron.bits)
    assert fired > 0
