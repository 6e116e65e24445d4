"""What neurons can say at best: the ANN, every activation limited and rounded to what its neurons tell in T steps.

Of an activation a in units of its scale, neurons that may fire in F of the N steps of the readout send, at most,

    limited(a) = min(R(a), R(oo) F / N)                  R: the neuron's rate under a constant current; R(a) = a of IF
    rounded(a) = floor(N limited(a) / u + v0 / u) u / N  u: the smallest spike; v0: the potential before the first step

in spikes a step. ``rounded`` is what they send where the whole charge is there at once: the quantisation bound (Deng &
Gu 2021; Bu et al. 2022), which no order of arrival enters. What really was sent differs from it by unevenness alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from snnconvert.graph import Graph
from snnconvert.network import SpikingNetwork
from snnconvert.neurons import Neuron

LARGE = 1e9  # a current that saturates every neuron that can be saturated
TOLERANCE = 1e-3  # smallest spikes, that a sum of currents may be off by rounding


def saturation(neuron: Neuron) -> float:
    """Return the rate under the largest of currents, in spikes a step."""
    return float(neuron.rate(torch.tensor([LARGE])))


def rectifies(neuron: Neuron) -> bool:
    """Tell whether the rate is the rectified current, up to the saturation."""
    currents = torch.linspace(-1.0, 1.0, 33) * min(saturation(neuron), 1.0)
    return torch.allclose(neuron.rate(currents), currents.clamp(min=0), atol=1e-6)


@dataclass(frozen=True)
class Reach:
    """What one layer can say: its neuron, ``counted`` steps that rates are over, ``firing`` of them it may fire in."""

    neuron: Neuron
    counted: int
    firing: int

    @property
    def largest(self) -> float:
        """The largest rate, in spikes a step of the readout."""
        return saturation(self.neuron) * self.firing / self.counted

    @property
    def unit(self) -> float:
        """The smallest spike, in thresholds."""
        return self.neuron.most / self.neuron.levels

    @property
    def values(self) -> int:
        """How many values over zero it tells apart."""
        return self.neuron.levels * self.firing

    @property
    def _offset(self) -> float:
        """The charge before the first step, in smallest spikes; who decodes rates rounds to the nearest."""
        return 0.5 if self.neuron.decodes else self.neuron.initial_values[0] / self.unit

    def limited(self, a: Tensor) -> Tensor:
        """Return activations ``(N, ...)`` in units of the scale, limited to the rates that there are."""
        return self.neuron.rate(a).clamp(0, self.largest)

    def rounded(self, a: Tensor) -> Tensor:
        """Return them rounded, too."""
        return self._spikes(self.limited(a) * (self.counted / self.unit) + self._offset)

    def due(self, z: Tensor, rates: Tensor, potential: Tensor | None = None) -> Tensor:
        """Return the rates that mean currents ``z (N, ...)`` ask for, where the charge is there at once.

        Where rounding errors of the charge leave a choice, it is the one next to ``rates``, those that were sent.
        ``potential`` is the one before the first step, in thresholds, ``(...)`` of a sample, where it was corrected.
        """
        driven = z if rectifies(self.neuron) else self.neuron.rate(z)
        offset = self._offset if potential is None else potential.to(z) / self.unit
        charge = driven * (self.counted / self.unit) + offset
        return torch.clamp(rates, self._spikes(charge - TOLERANCE), self._spikes(charge + TOLERANCE))

    def _spikes(self, charge: Tensor) -> Tensor:
        return (charge.floor() * (self.unit / self.counted)).clamp(0, self.largest)


def reach(network: SpikingNetwork, name: str, t: int | None = None) -> Reach:
    """Return what a layer can say behind ``t`` steps of the readout; None: all that the network was made for."""
    schedule, neuron = network.schedule, network.neurons[name]
    t = schedule.steps if t is None else t
    depth = network.depths[name]
    counted = schedule.fired(depth, t + network.latency)
    firing = counted if schedule.onset_delay else max(counted - schedule.start(depth), 0)
    return Reach(neuron, counted, firing)


def reaches(network: SpikingNetwork, t: int | None = None) -> dict[str, Reach]:
    """Return what each layer can say."""
    return {name: reach(network, name, t) for name in network.neurons}


def values_of(graph: Graph, x: Tensor, change: Callable[[str, Tensor], Tensor] | None = None) -> dict[str, Tensor]:
    """Evaluate a network as an ANN on ``x (N, ...)`` and return every value; ``change`` may exchange activations."""
    values = {graph.input: x}
    changed = {node.name for node in graph.activations} if change is not None else set()
    for node in graph.nodes:
        value = node.operator.evaluate([values[name] for name in node.inputs])
        values[node.name] = change(node.name, value) if change is not None and node.name in changed else value
    return values


def bounded(graph: Graph, x: Tensor, limits: dict[str, Reach], rounding: bool = True) -> Tensor:
    """Return the outputs ``(N, ...)`` of the ANN in normal form whose activations are limited, and rounded."""

    def told(name: str, a: Tensor) -> Tensor:
        return limits[name].rounded(a) if rounding else limits[name].limited(a)

    return values_of(graph, x, told)[graph.output]
