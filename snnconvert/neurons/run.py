"""One neuron under a constant current, in float64: its trace, its spikes, its transfer curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from snnconvert.errors import UsageError
from snnconvert.neurons.neuron import Neuron


@dataclass(frozen=True)
class NeuronRun:
    """What a neuron did, with an entry for each step.

    ``reached`` is the potential that the step compared with the threshold, ``potentials`` the one behind the step, both
    in the neuron's own units; ``rate`` is in spikes a step, as those who read the spikes were told it.
    """

    neuron: Neuron
    current: float
    reached: Sequence[float]
    potentials: Sequence[float]
    spikes: Sequence[float]
    rate: float

    @property
    def analytic_rate(self) -> float:
        """The rate that the steps tend to, in spikes a step."""
        return float(self.neuron.rate(torch.tensor(self.current, dtype=torch.float64))) + 0.0  # not -0


def simulate(neuron: Neuron, current: float, steps: int) -> NeuronRun:
    """Present a constant current, in the neuron's own units, for so many steps.

    Raises:
        UsageError: the potential grows beyond the numbers of float64 (E003).
    """
    z = torch.tensor(current, dtype=torch.float64)
    state, count = neuron.initial_state(z), 0.0
    reached, potentials, spikes = [], [], []
    for t in range(steps):
        reached.append(float(neuron.reached(state, z, t)))
        state, spike = neuron.step(state, z, t)
        potentials.append(float(state[0]))
        spikes.append(float(spike))
        count += spikes[-1]
    if not all(map(math.isfinite, potentials)):
        raise UsageError("E003", f"--current: expected a smaller number, got {current:g}", "the potential overflows")
    rate = float(neuron.sent(state, z)) if neuron.decodes else count / steps
    return NeuronRun(neuron, current, reached, potentials, spikes, rate)


def transfer(neuron: Neuron, currents: Sequence[float], steps: int) -> list[float]:
    """Return the rates, in spikes a step, that each of the currents gives after so many steps."""
    z = torch.tensor(currents, dtype=torch.float64)
    state, count = neuron.initial_state(z), torch.zeros_like(z)
    for t in range(steps):
        state, spikes = neuron.step(state, z, t)
        count += spikes
    found: list[float] = (neuron.sent(state, count) if neuron.decodes else count / steps).tolist()
    return found
