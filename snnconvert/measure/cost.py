"""What a run costs, counted step by step in NeuroBench's terms (Yik et al. 2025); definitions in docs/measures.md.

The network is simulated with the neurons' own plain steps, each of which is watched: slower than the engine's loops,
and some samples are enough.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnconvert.measure.operations import graded_macs
from snnconvert.measure.watched import Watched, watching
from snnconvert.network import SpikingNetwork
from snnconvert.network.weights import units_before
from snnconvert.neurons import Neuron
from snnconvert.neurons.neuron import State

BYTES = 4  # of a parameter, in float32
LARGEST = "largest_potential_in_units"  # of a layer's 8-bit weights, whichever way; None where there is no such unit


class Costs(Watched):
    """A layer of neurons on a CPU: how often their potentials change, how large they get, and who sends something.

    ``unit`` is what potentials are told in, in thresholds; it broadcasts to a sample.
    """

    def __init__(self, neuron: Neuron, unit: Tensor | None) -> None:
        super().__init__(neuron)
        self._unit = unit
        self._began = False
        self.updates = 0
        self.largest = None if unit is None else 0.0  # potential, in units, before anything is taken off
        self._active: list[Tensor] = []  # by batch, the steps in which each element sent something

    def initial_state(self, like: Tensor) -> State:
        """Return the state before the first step of a batch; in that step NeuroBench counts every neuron."""
        self._began = False
        self._active.append(torch.zeros_like(like))
        return self._neuron.initial_state(like)

    def note(self, before: Tensor, reached: Tensor, after: Tensor, spikes: Tensor | None) -> None:
        if spikes is not None:
            self._active[-1] += spikes != 0
        if self._unit is not None:
            self.largest = max(self.largest or 0.0, float((reached / self._unit).abs().max()))
        self.updates += int(np.count_nonzero((after != before).numpy())) if self._began else after.numel()
        self._began = True

    def active(self) -> Tensor:
        """Return in how many steps each element sent something, over all samples, ``(...)`` of one."""
        return torch.stack([each.sum(0, dtype=torch.float64) for each in self._active]).sum(0)


def measure_cost(network: SpikingNetwork, batches: Iterable[Tensor]) -> dict[str, Any]:
    """Run batches, as the engine takes them, at the network's T; return what a sample costs, in NeuroBench's names.

    Connections are counted to the next neuron, pool or output, border included; only those whose weight is not zero
    are effective. The current that a constant input makes is computed once. Weights add up behind binary and signed
    spikes, and multiply behind graded ones.
    """
    schedule = network.schedule
    firing = [node.name for node in network.stateful if node.name in network.neurons]
    watched = {name: Costs(network.neurons[name], units_before(network, name)) for name in firing}
    simulator = watching(network, watched)
    effective, every = network.effective_fan_out, network.fan_out
    samples, analog, pools = 0, 0.0, dict[str, Tensor]()
    for x in batches:
        samples += len(x)
        analog += float(((x != 0) * effective[network.graph.input]).sum())
        (readout,) = simulator.run(x, [schedule.steps])
        for node in network.emitters:
            if node.name not in watched:
                pools[node.name] = pools.get(node.name, 0) + readout.events[node.name].sum(0, dtype=torch.float64)
    sent = {name: each.active() for name, each in watched.items()}
    layers = [_layer(name, network, float(sent[name].sum()) / samples, each, samples) for name, each in watched.items()]
    done = {name: float((times * effective[name]).sum()) / samples for name, times in (sent | pools).items()}
    multiplied = sum(each for name, each in done.items() if _is_graded(name, network))
    places = sum(each["neurons"] * each["firing_steps"] for each in layers)
    return {
        "samples": samples,
        "steps": schedule.steps,
        **_static(network),
        "activation_sparsity": 1 - sum(each["spikes"] for each in layers) / places,
        "synaptic_operations": {
            "Effective_MACs": analog / samples + graded_macs(network) * (schedule.steps + network.latency) + multiplied,
            "Effective_ACs": sum(done.values()) - multiplied,
            "Dense": (network.bins or 1) * float(every[network.graph.input].sum())
            + sum(schedule.firing_steps(network.depths[name]) * float(every[name].sum()) for name in done),
        },
        "membrane_updates": sum(each["membrane_updates"] for each in layers),
        "layers": layers,
    }


def _is_graded(name: str, network: SpikingNetwork) -> bool:
    """Tell whether what an emitter sends is a number: a pool sends what the neurons before it do."""
    neurons = [network.neurons[name]] if name in network.neurons else network.neurons.values()
    return any(each.spikes == "graded" for each in neurons)


def _layer(name: str, network: SpikingNetwork, spikes: float, watched: Watched, samples: int) -> dict[str, Any]:
    neurons = math.prod(network.graph.shapes[name])
    steps = network.schedule.firing_steps(network.depths[name])
    return {
        "name": name,
        "neurons": neurons,
        "firing_steps": steps,
        "spikes": spikes,
        "activation_sparsity": 1 - spikes / (neurons * steps),
        "membrane_updates": watched.updates / samples,
        LARGEST: watched.largest,
    }


def _static(network: SpikingNetwork) -> dict[str, Any]:
    """Return what does not depend on samples: bytes of parameters, and the share of weights that are zero."""
    operators = [node.operator for node in network.graph.nodes]
    weights = [getattr(each, name) for each in operators for name in each.weights]
    zero, connections = sum(int((each == 0).sum()) for each in weights), sum(each.numel() for each in weights)
    others = [*network.biases.values(), *network.potentials.values()]
    parameters = [value for each in operators for value in each.tensors.values()] + others
    return {
        "footprint": BYTES * sum(each.numel() for each in parameters),
        "connection_sparsity": zero / connections if connections else 0.0,
    }
