"""What keeps a state over time: layers of neurons, and max pools over spikes. Each advances by a block of steps.

A block of ``T`` steps of ``N`` samples is one tensor ``(T * N, ...)``, time first; a value that is the same at every
step is ``(N, ...)``.
"""

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.graph import Operator
from snnconvert.neurons import Neuron
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire


def memory_order(tensor: Tensor) -> torch.memory_format:
    """Return the engine's memory order: images with their channels last, everything else row by row."""
    return torch.channels_last if tensor.ndim == 4 else torch.contiguous_format


def ordered(tensor: Tensor) -> Tensor:
    """Lay a tensor out in the engine's memory order, whatever order its operator left it in (a transpose, say)."""
    return tensor.contiguous(memory_format=memory_order(tensor))


def empty_like_block(like: Tensor, steps: int) -> Tensor:
    """Return room for a block of steps of values like ``(N, ...)``, in the same memory order."""
    shape = (steps * like.shape[0], *like.shape[1:])
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_order(like))


def flat(tensor: Tensor, rows: int) -> NDArray[np.float32]:
    """View a CPU tensor in the engine's memory order as ``(rows, elements)``, sharing its memory."""
    if tensor.ndim == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.view(rows, -1).numpy()


class Layer(ABC):
    """A layer's state for one batch of samples; ``count`` is the cumulative output of each element, ``(N, ...)``."""

    count: Tensor

    @abstractmethod
    def advance(self, block: Tensor, steps: int, varying: bool) -> Tensor:
        """Take ``steps`` steps and return the spikes as a block."""


class NeuronLayer(Layer):
    """A layer of neurons; on a CPU in float32 the integrate-and-fire step is fused."""

    def __init__(self, neuron: Neuron, like: Tensor, fused: bool) -> None:
        self.neuron = neuron
        self.state = ordered(neuron.initial_state(like))
        self.count = torch.zeros_like(self.state)
        self.fused = (
            fused and isinstance(neuron, IntegrateAndFire) and like.device.type == "cpu" and like.dtype == torch.float32
        )

    def advance(self, block: Tensor, steps: int, varying: bool) -> Tensor:
        if self.fused and isinstance(self.neuron, IntegrateAndFire):
            return self._advance_fused(self.neuron, ordered(block), steps, varying)
        spikes = empty_like_block(self.state, steps)
        by_step = spikes.view(steps, *self.state.shape)
        currents = block.view(steps, *self.state.shape) if varying else block.expand(steps, *self.state.shape)
        for step in range(steps):
            self.state, by_step[step] = self.neuron.step(self.state, currents[step])
            self.count += by_step[step]
        return spikes

    def _advance_fused(self, neuron: IntegrateAndFire, block: Tensor, steps: int, varying: bool) -> Tensor:
        from snnconvert.simulate.fused import integrate_and_fire  # numba: slow to import, and not needed on a GPU

        spikes = empty_like_block(self.state, steps)
        integrate_and_fire(
            flat(block, steps if varying else 1),
            flat(self.state, 1)[0],
            flat(self.count, 1)[0],
            flat(spikes, steps),
            neuron.reset == "subtract",
        )
        return spikes


class PoolLayer(Layer):
    """Max pooling in the exact counter form: ``y(t) = max N(t) - max N(t-1)``, N the cumulative input."""

    def __init__(self, operator: Operator, like: Tensor) -> None:
        self.operator = operator
        self.seen = ordered(torch.zeros_like(like))
        self.count = operator.evaluate([self.seen])

    def advance(self, block: Tensor, steps: int, varying: bool) -> Tensor:
        samples = self.seen.shape[0]
        pooled = self.operator.evaluate([self._accumulated(block, steps)])
        before = torch.cat([self.count, pooled[:-samples]])
        self.count = pooled[-samples:].clone(memory_format=memory_order(pooled))
        return pooled - before

    def _accumulated(self, block: Tensor, steps: int) -> Tensor:
        """Add a block to what was seen and return N after each of its steps, as a block."""
        totals = empty_like_block(self.seen, steps)
        by_step = totals.view(steps, *self.seen.shape)
        inputs = block.view(steps, *self.seen.shape)
        for step in range(steps):
            self.seen = torch.add(self.seen, inputs[step], out=by_step[step])
        self.seen = self.seen.clone(memory_format=memory_order(self.seen))
        return totals


class GateLayer(PoolLayer):
    """Max pooling by a gate for the input that has fired most so far (after Rueckauer et al. 2017).

    With s the spikes of this step and N the counts including it, ``y = (max of 2 N + s) mod 2``: of the inputs with
    the largest N, one with s = 1 wins. It sends every spike of the exact form, and one more whenever an input draws
    level with the leader.
    """

    def advance(self, block: Tensor, steps: int, varying: bool) -> Tensor:
        leading = self.operator.evaluate([self._accumulated(block, steps).mul_(2).add_(block)])
        spikes = leading.remainder_(2)
        self.count = self.count + spikes.view(steps, *self.count.shape).sum(0)
        return spikes
