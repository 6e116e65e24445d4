"""The layer-sequential schedule, exactly, in one pass of the network whatever T is.

Under an onset delay of T or more, a layer begins to fire when the last spike for it has arrived. So it does not matter
when they came: with N their counts, the layer's potential is ``v0 + W N + T b`` before its first step, and no current
flows while it fires but its corrections. One evaluation on counts takes the place of T on spikes.

How often an integrate-and-fire neuron then fires in T steps has a closed form, also under a constant current z (the
first layer; a bias that is corrected), from the potential V:

    z < 0        clip(floor(V / (1 - z)), 0, T)               it fires at once, while it can
    0 <= z <= 1  clip(floor(V + T z), 0, T)                   all charge is sent, but at most one spike a step
    z > 1        T - clip(ceil((1 - V) / z) - 1, 0, T)        from when it reaches the threshold on, in each step

Other neurons, and corrections that differ from step to step, take their T steps, without synapses.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.graph import Node
from snnconvert.network import SpikingNetwork
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.simulate.layers import NeuronLayer, flat, ordered

CHUNK = 8  # steps of a layer whose spikes are in memory together


def is_sequential(network: SpikingNetwork) -> bool:
    """Tell whether counts say all that a network does: layers run one after the other, and lose and forget nothing."""
    signed = any(neuron.spikes != "binary" for neuron in network.neurons.values())
    return (
        network.schedule.onset_delay >= network.schedule.steps
        and network.bins is None
        and not any(neuron.drain for neuron in network.neurons.values())
        and all(form == "average" or (form == "exact" and not signed) for form in network.pools.values())
    )


def spike_count(potential: Tensor, current: Tensor | None, steps: int) -> Tensor:
    """Return how often integrate-and-fire neurons fire in so many steps, from ``potential (N, ...)``, in its place."""
    if current is None:
        return potential.floor_().clamp_(0, steps)
    always = current > 1  # no bias is that large, and few inputs are
    silent = torch.ceil((1 - potential) / current.clamp(min=1)).sub_(1).clamp_(0, steps) if bool(always.any()) else None
    potential.div_(1 - current.clamp(max=0)).add_(steps * current.clamp(0, 1))
    count = potential.floor_().clamp_(0, steps)
    return count if silent is None else torch.where(always, steps - silent, count)


class Drive:
    """What a layer of integrate-and-fire neurons has beside its input, each ``(1, ...)`` of a sample.

    ``start`` is its potential before the first step without that input, ``bias`` the current of each step or None.
    """

    def __init__(self, start: Tensor, bias: Tensor | None) -> None:
        self.start, self.bias = start, bias
        self._limited = bias is None or not bool((bias > 1).any())
        self._flat: dict[int, tuple[NDArray[np.float32], ...]] = {}  # by T, what the fused loop reads

    def count(self, charge: Tensor, steps: int, fused: bool) -> Tensor:
        """Return how often neurons with this input ``(N, ...)`` fire in so many steps."""
        quick = fused and self._limited and charge.device.type == "cpu" and charge.dtype == torch.float32
        if not quick:
            return spike_count(charge + self.start, self.bias, steps)
        from snnconvert.simulate.fused import count_spikes  # numba: slow to import, and not needed on a GPU

        charge = ordered(charge)
        count = torch.empty_like(charge)
        start, divisor, rising = self._constants(charge, steps)
        samples = len(charge)
        count_spikes(flat(charge, samples), start, divisor, rising, np.float32(steps), flat(count, samples))
        return count

    def _constants(self, charge: Tensor, steps: int) -> tuple[NDArray[np.float32], ...]:
        if steps not in self._flat:
            bias = torch.zeros(1) if self.bias is None else self.bias
            parts = (self.start, 1 - bias.clamp(max=0), steps * bias.clamp(0, 1))
            self._flat[steps] = tuple(flat(ordered(each.expand(1, *charge.shape[1:])), 1)[0] for each in parts)
        return self._flat[steps]


class Counts:
    """The sums over time of all values of a network on one batch, with the biases of one step."""

    def __init__(self, plan: "SequentialPlan", constants: Mapping[str, Tensor]) -> None:
        self.spikes: dict[str, Tensor] = {}
        self.events: dict[str, Tensor] = {}
        self._plan, self._constants = plan, constants
        self._sums: dict[str, Tensor] = {}
        self._layers: dict[str, tuple[NeuronLayer, int]] = {}  # that take their steps, and how many they took

    def run(self, steps: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Yield each of ``steps`` with the sum of the outputs up to it; only the last layers differ between them."""
        network = self._plan.network
        last = network.depths[network.graph.output]
        late = [node for node in self._plan.nodes if network.depths[node.name] == last]
        for node in self._plan.nodes:
            if network.depths[node.name] < last:
                self._evaluate(node, network.schedule.steps)
        for stop in steps:
            for node in late:
                self._evaluate(node, stop)
            yield stop, self._sums[network.graph.output] + (stop - 1) * self._plan.rest

    def _evaluate(self, node: Node, steps: int) -> None:
        network = self._plan.network
        if node.name in network.neurons:
            self.spikes[node.name], self.events[node.name] = self._fire(node, steps)
            self._sums[node.name] = self.spikes[node.name]
            return
        found = node.operator.evaluate([self._sums[value] for value in node.inputs])
        if network.pools.get(node.name) == "exact":
            self.spikes[node.name] = self.events[node.name] = found
        self._sums[node.name] = found

    def _fire(self, node: Node, steps: int) -> tuple[Tensor, Tensor]:
        """Return spikes and events in the first ``steps`` steps of a layer."""
        plan, (value,) = self._plan, node.inputs
        drive, constant = plan.drives[node.name], self._constants.get(value)
        if not plan.closed[node.name]:
            return self._stepped(node, constant, steps)
        if constant is None:
            count = drive.count(self._sums[value], steps, plan.fused)
        else:
            current = constant if drive.bias is None else constant + drive.bias
            count = spike_count(drive.start.expand_as(current).clone(), current, steps)
        return count, count

    def _stepped(self, node: Node, constant: Tensor | None, steps: int) -> tuple[Tensor, Tensor]:
        plan, network = self._plan, self._plan.network
        start = plan.drives[node.name].start
        if node.name not in self._layers:
            like = self._sums[node.inputs[0]] if constant is None else constant
            layer = NeuronLayer(network.neurons[node.name], like, plan.fused, network.biases.get(node.name))
            potential = start.expand_as(like).clone() if constant is not None else like + start
            layer.state = (ordered(potential), *layer.state[1:])
            self._layers[node.name] = layer, 0
        layer, now = self._layers[node.name]
        block = torch.zeros_like(layer.state[0]) if constant is None else constant
        while now < steps:
            taken = min(CHUNK, steps - now)
            layer.advance(block, taken, False, now)
            now += taken
        self._layers[node.name] = layer, now
        return layer.count.clone(), layer.events.clone()


class SequentialPlan:
    """A network that is simulated by its counts: ``nodes`` change with time, ``rest`` is what they are in silence."""

    def __init__(self, network: SpikingNetwork, nodes: Sequence[Node], rest: Mapping[str, Tensor], fused: bool) -> None:
        self.network, self.nodes, self.fused = network, nodes, fused
        self.rest = rest[network.graph.output]
        self.drives: dict[str, Drive] = {}
        self.closed: dict[str, bool] = {}  # whether the counts of a layer have a closed form
        for node in nodes:
            if node.name in network.neurons:
                self._add(node, rest)

    def _add(self, node: Node, rest: Mapping[str, Tensor]) -> None:
        (value,), neuron = node.inputs, self.network.neurons[node.name]
        rows = self.network.biases.get(node.name)
        start = self.network.potentials.get(node.name, torch.tensor(neuron.initial_values[0])).to(self.rest)
        start = start.expand(1, *self.network.graph.shapes[node.name])
        if value in rest:  # one evaluation holds the biases of one step; those of the others
            start = start + (self.network.schedule.steps - 1) * rest[value]
        fires_by_count = isinstance(neuron, IntegrateAndFire) and neuron.reset == "subtract" and not neuron.refractory
        self.closed[node.name] = fires_by_count and (rows is None or len(rows) == 1)
        bias = rows.to(start)[:1] if rows is not None and self.closed[node.name] else None
        self.drives[node.name] = Drive(ordered(start), bias)
