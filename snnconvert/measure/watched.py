"""Neurons that are watched step by step: their own plain steps are taken, not the loops of the engine."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from snnconvert.network import SpikingNetwork
from snnconvert.neurons import Neuron
from snnconvert.neurons.neuron import State
from snnconvert.simulate import Simulator


class Watched(ABC):
    """A layer of neurons that tells of each step; it stands in the place of its model."""

    def __init__(self, neuron: Neuron) -> None:
        self._neuron = neuron

    def __getattr__(self, name: str) -> Any:
        return getattr(self._neuron, name)

    def step(self, state: State, current: Tensor, t: int) -> tuple[State, Tensor]:
        """Take a step."""
        after, spikes = self._neuron.step(state, current, t)
        self.note(state[0], self._neuron.reached(state, current, t), after[0], spikes)
        return after, spikes

    def silent(self, state: State, current: Tensor) -> State:
        """Take a step in which none may fire."""
        after = self._neuron.silent(state, current)
        self.note(state[0], after[0], after[0], None)
        return after

    @abstractmethod
    def note(self, before: Tensor, reached: Tensor, after: Tensor, spikes: Tensor | None) -> None:
        """Hear of a step: potentials ``before`` it, as compared with the threshold, and ``after`` it.

        ``spikes`` is None where none may fire.
        """


def watching(network: SpikingNetwork, watched: Mapping[str, Watched], device: torch.device | str = "cpu") -> Simulator:
    """Return a simulator of the network that takes the steps of these layers one by one, so that they can tell."""
    neurons = {**network.neurons, **cast(Mapping[str, Neuron], watched)}
    return Simulator(dataclasses.replace(network, neurons=neurons), device, fused=False, counting=False)
