"""One neuron under a constant current, in float64: its trace, its spikes, its transfer curve."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from snnconvert.neurons.neuron import Neuron


@dataclass(frozen=True)
class NeuronRun:
    """What a neuron did: potential behind each step, and spike of each step."""

    neuron: Neuron
    current: float
    potentials: Sequence[float]
    spikes: Sequence[float]

    @property
    def rate(self) -> float:
        """Spikes a step, as readers were told them."""
        if not self.neuron.decodes:
            return sum(self.spikes) / len(self.spikes)
        return sum(spike / t for t, spike in enumerate(self.spikes, start=1))

    @property
    def limit(self) -> float:
        """The rate that the steps tend to."""
        return float(self.neuron.rate(torch.tensor(self.current, dtype=torch.float64)))


def simulate(neuron: Neuron, current: float, steps: int) -> NeuronRun:
    """Present a constant current for so many steps."""
    z = torch.full((1,), current, dtype=torch.float64)
    state, potentials, spikes = neuron.initial_state(z), [], []
    for t in range(steps):
        state, spike = neuron.step(state, z, t)
        potentials.append(float(state[0]))
        spikes.append(float(spike))
    return NeuronRun(neuron, current, potentials, spikes)


def transfer(neuron: Neuron, currents: Sequence[float], steps: int) -> list[float]:
    """Return the rates that each of the currents gives after so many steps."""
    z = torch.tensor(currents, dtype=torch.float64)
    state, count = neuron.initial_state(z), torch.zeros_like(z)
    for t in range(steps):
        state, spikes = neuron.step(state, z, t)
        count += spikes
    found: list[float] = (neuron.sent(state, count) if neuron.decodes else count / steps).tolist()
    return found
