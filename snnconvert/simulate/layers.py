"""What keeps a state over time: layers of neurons here, max pools in pools.py. Each advances by a block of steps.

A block of ``T`` steps of ``N`` samples is one tensor ``(T * N, ...)``, time first; a value that is the same at every
step is ``(N, ...)``.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.neurons import Neuron
from snnconvert.neurons.integrate_and_fire import is_plain
from snnconvert.simulate import on_gpu
from snnconvert.simulate.buffers import Buffers


def memory_order(tensor: Tensor) -> torch.memory_format:
    """Return the engine's memory order: images with their channels last, everything else row by row."""
    return torch.channels_last if tensor.ndim == 4 else torch.contiguous_format


def ordered(tensor: Tensor) -> Tensor:
    """Lay a tensor out in the engine's memory order, whatever order its operator left it in (a transpose, say)."""
    return tensor.contiguous(memory_format=memory_order(tensor))


def empty_like_block(like: Tensor, steps: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return room for a block of steps of values like ``(N, ...)``, in the same memory order."""
    shape = (steps * like.shape[0], *like.shape[1:])
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device, memory_format=memory_order(like))


def flat(tensor: Tensor, rows: int) -> NDArray[np.float32]:
    """View a CPU tensor in the engine's memory order as ``(rows, elements)``, sharing its memory."""
    if tensor.ndim == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.view(rows, -1).numpy()


def as_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """View a CPU tensor in the engine's memory order as bytes, sharing its memory: a spike is one, a float four."""
    found: NDArray[np.uint8] = flat(tensor, 1)[0].view(np.uint8)
    return found


def as_floats(value: Tensor) -> Tensor:
    """Return spikes of fused steps as numbers that can be weighted, and anything else as it is."""
    return value.float() if value.dtype == torch.bool else value


class Layer(ABC):
    """A layer's state for one batch of samples, every tensor ``(N, ...)``.

    ``count`` is the sum of all spikes of each element, ``events`` how many events carried them.
    """

    count: Tensor
    events: Tensor

    @abstractmethod
    def advance(self, block: Tensor, steps: int, varying: bool, at: int = 0) -> Tensor:
        """Take ``steps`` steps, the first of them step ``at`` since the layer may fire (before that it is negative).

        Returns what synapses see, as a block.
        """

    def rate(self, steps: int) -> Tensor:
        """Return the rate that ``steps`` steps tell the layer's readers, in spikes a step."""
        return self.count / steps

    def keep(self, samples: Tensor) -> None:
        """Go on with these samples only."""
        same = self.events is self.count
        self.count = ordered(self.count[samples])
        self.events = self.count if same else ordered(self.events[samples])


class FusedSteps(NamedTuple):
    """What the loops know of integrate-and-fire neurons that are about to take steps; arrays are flat.

    In the first ``silent`` steps there is neither bias nor spike; see :func:`~snnconvert.simulate.fused.advance`.
    """

    bias: NDArray[np.float32]
    potential: NDArray[np.float32]
    counts: NDArray[np.float32]
    steps: int
    silent: int
    subtract: bool


class Flow(NamedTuple):
    """When the biases of synapses flow in a block: from step ``first`` to ``last``; in others ``rest`` is taken off.

    ``rest``, flat, is what arrives at a sample's neurons while nothing fires. Where there is none, biases always flow.
    """

    rest: NDArray[np.float32] = np.zeros(0, np.float32)
    first: int = 0
    last: int = 0


class Arriving(Protocol):
    """The synapses of a layer of neurons, which let it fire; see simulate/evaluations.py."""

    def fire(self, inputs: Sequence[Tensor], spikes: NDArray[np.uint8], neurons: FusedSteps, flow: Flow) -> None:
        """Let the neurons take their steps under what is weighted of ``inputs``, and fill ``spikes``, flat."""


ALWAYS = Flow()


class NeuronLayer(Layer):
    """A layer of neurons; on a CPU in float32 the integrate-and-fire step is fused, and spikes are bools.

    On a GPU a block of steps is one kernel (on_gpu.py). ``bias`` is ``(rows, ...)`` and ``potential`` ``(...)`` of one
    sample, or None: see SpikingNetwork. Spikes of fused steps are put into ``buffers``, if there are any.
    """

    def __init__(
        self,
        neuron: Neuron,
        like: Tensor,
        fused: bool,
        bias: Tensor | None = None,
        potential: Tensor | None = None,
        buffers: Buffers | None = None,
    ) -> None:
        self.neuron = neuron
        self.state = tuple(ordered(each) for each in neuron.initial_state(like))
        if potential is not None:
            own = potential.to(like).expand_as(self.state[0])
            self.state = (ordered(own.clone()), *self.state[1:])
        self.count = torch.zeros_like(self.state[0])
        self.events = self.count if neuron.spikes == "binary" else torch.zeros_like(self.count)
        self.bias = None if bias is None else bias.to(like)
        self._one_bias: Tensor | None = None
        self._buffers = buffers
        self.fused = fused and is_plain(neuron) and like.device.type == "cpu" and like.dtype == torch.float32
        self._rule = on_gpu.rule_of(neuron) if fused and on_gpu.takes(neuron, like) else None

    def keep(self, samples: Tensor) -> None:
        super().keep(samples)
        self.state = tuple(ordered(each[samples]) for each in self.state)

    def rate(self, steps: int) -> Tensor:
        return self.neuron.sent(self.state, self.count) if self.neuron.decodes else self.count / steps

    def advance(self, block: Tensor, steps: int, varying: bool, at: int = 0) -> Tensor:
        if self.fused:
            return self._advance_fused(ordered(as_floats(block)), steps, at)
        if self._rule is not None:
            return self._advance_on_gpu(self._rule, ordered(block), steps, at)
        sent = empty_like_block(self.state[0], steps)
        by_step = sent.view(steps, *self.state[0].shape)
        currents = block.view(steps, *self.state[0].shape) if varying else block.expand(steps, *self.state[0].shape)
        for step in range(steps):
            t = at + step
            if t < 0:
                self.state = self.neuron.silent(self.state, currents[step])
                by_step[step] = 0
                continue
            current = currents[step]
            if self.bias is not None:
                current = current + self.bias[min(t, len(self.bias) - 1)]
            self.state, spikes = self.neuron.step(self.state, current, t)
            by_step[step] = self.neuron.sent(self.state, spikes)
            self.count += spikes
            if self.events is not self.count:
                self.events += self.neuron.events(spikes)
        return sent

    def _advance_fused(self, block: Tensor, steps: int, at: int) -> Tensor:
        from snnconvert.simulate.fused import integrate_and_fire  # numba: slow to import, and not needed on a GPU

        out = self._room(steps)
        integrate_and_fire(flat(block, 1)[0], as_bytes(out), self.count[0].numel(), *self._steps(steps, at))
        return out

    def _advance_on_gpu(self, rule: on_gpu.Rule, block: Tensor, steps: int, at: int) -> Tensor:
        from snnconvert.simulate.kernels import take_steps  # Triton: only there where there is a GPU

        sent, out = (self.state[1] if rule.signed else None), empty_like_block(self.state[0], steps)
        events = None if self.events is self.count else self.events
        states = on_gpu.States(self.state[0], self.count, sent, events)
        take_steps(rule, states, block, self._bias_rows(steps, at), out, steps, _silent(steps, at))
        return out

    def advance_by_events(
        self, current: "Arriving", inputs: Sequence[Tensor], steps: int, at: int = 0, flow: Flow = ALWAYS
    ) -> Tensor:
        """Take steps (see :meth:`advance`) under what the synapses of a fused layer bring, without keeping it."""
        out = self._room(steps)
        current.fire(inputs, as_bytes(out), self._steps(steps, at), flow)
        return out

    def _room(self, steps: int) -> Tensor:
        """Return where the spikes of a block of steps are put."""
        if self._buffers is None:
            return empty_like_block(self.state[0], steps, torch.bool)
        return self._buffers.take((steps * len(self.count), *self.count.shape[1:]))

    def _steps(self, steps: int, at: int) -> FusedSteps:
        subtract = is_plain(self.neuron) and self.neuron.reset == "subtract"
        potential, counts = (flat(each, 1)[0] for each in (self.state[0], self.count))
        return FusedSteps(self.flat_bias(steps, at), potential, counts, steps, _silent(steps, at), subtract)

    def flat_bias(self, steps: int, at: int) -> NDArray[np.float32]:
        """Return :meth:`_bias_rows`, flat, and nothing for none."""
        rows = self._bias_rows(steps, at)
        return np.zeros(0, np.float32) if rows is None else flat(rows, 1)[0]

    def _bias_rows(self, steps: int, at: int) -> Tensor | None:
        """Return the bias of each step ``(steps, ...)`` of a sample; once ``(1, ...)`` if it is always the same."""
        if self.bias is None:
            return None
        shape = self.state[0].shape[1:]
        if len(self.bias) == 1:
            if self._one_bias is None:
                self._one_bias = ordered(self.bias.expand(1, *shape))
            return self._one_bias
        rows = self.bias[[min(max(at + step, 0), len(self.bias) - 1) for step in range(steps)]]
        return ordered(rows.expand(steps, *shape))


def _silent(steps: int, at: int) -> int:
    """Return how many of the steps from step ``at`` on are before the layer may fire."""
    return max(0, min(-at, steps))
