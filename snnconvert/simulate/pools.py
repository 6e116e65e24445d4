"""Max pools over spikes: each keeps what it has seen, and sends spikes of its own."""

import torch
from torch import Tensor

from snnconvert.graph import Operator
from snnconvert.network import SpikingNetwork
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.simulate.layers import Layer, as_bytes, as_floats, empty_like_block, flat, memory_order, ordered


def pool_layer(network: SpikingNetwork, name: str, operator: Operator, block: Tensor, samples: int) -> Layer:
    """Return a max pool of a network before its first step; ``block`` is the first that it will see, of ``samples``."""
    like = as_floats(block[:samples])
    if network.decodes:
        return DecodedPoolLayer(operator, like)
    gate = network.pools[name] == "gate"
    if block.dtype == torch.bool and block.ndim == 4 and isinstance(operator, MaxPool):
        return SpikePoolLayer(operator, like, gate)
    return GateLayer(operator, like) if gate else PoolLayer(operator, like)


class PoolLayer(Layer):
    """Max pooling in the exact counter form: ``y(t) = max N(t) - max N(t-1)``, N the cumulative input."""

    def __init__(self, operator: Operator, like: Tensor) -> None:
        self.operator = operator
        self.seen = ordered(torch.zeros_like(like))
        self.count = operator.evaluate([self.seen])
        self.events = torch.zeros_like(self.count)

    def keep(self, samples: Tensor) -> None:
        super().keep(samples)
        self.seen = ordered(self.seen[samples])

    def advance(self, block: Tensor, steps: int, varying: bool, at: int = 0) -> Tensor:
        samples = self.seen.shape[0]
        pooled = self.operator.evaluate([self._accumulated(block, steps)])
        before = torch.cat([self.count, pooled[:-samples]])
        self.count = pooled[-samples:].clone(memory_format=memory_order(pooled))
        sent = pooled - before
        self.events = self.events + sent.abs().view(steps, *self.count.shape).sum(0)
        return sent

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

    def advance(self, block: Tensor, steps: int, varying: bool, at: int = 0) -> Tensor:
        leading = self.operator.evaluate([self._accumulated(block, steps).mul_(2).add_(block)])
        spikes = leading.remainder_(2)
        self.count = self.count + spikes.view(steps, *self.count.shape).sum(0)
        self.events = self.count
        return spikes


class DecodedPoolLayer(Layer):
    """Max pooling of decoded rates: the plain maximum, an event wherever it changes."""

    def __init__(self, operator: Operator, like: Tensor) -> None:
        self.operator = operator
        self.count = operator.evaluate([ordered(torch.zeros_like(like))])
        self.events = torch.zeros_like(self.count)

    def rate(self, steps: int) -> Tensor:
        return self.count

    def advance(self, block: Tensor, steps: int, varying: bool, at: int = 0) -> Tensor:
        pooled = self.operator.evaluate([block])
        for now in pooled.view(steps, *self.count.shape):
            self.events = self.events + (now != self.count)
            self.count = now
        return pooled


class SpikePoolLayer(Layer):
    """Both forms over binary spikes on a CPU, in one pass over memory.

    What they send is binary: the largest count grows by at most 1.
    """

    def __init__(self, operator: MaxPool, like: Tensor, gate: bool) -> None:
        self.operator, self.gate = operator, gate
        self.seen = ordered(torch.zeros_like(like))
        self.count = ordered(operator.evaluate([self.seen]))
        self.events = self.count

    def keep(self, samples: Tensor) -> None:
        super().keep(samples)
        self.seen = ordered(self.seen[samples])

    def advance(self, block: Tensor, steps: int, varying: bool, at: int = 0) -> Tensor:
        from snnconvert.simulate.pooled_spikes import pool_spikes  # numba: slow to import, and not needed on a GPU

        sent = empty_like_block(self.count, steps, torch.bool)
        window = self.operator.window
        spikes = as_bytes(ordered(block if block.dtype == torch.bool else block != 0))
        places = (*window.kernel, *window.stride, *window.dilation, *window.before)
        samples, channels, *space = self.seen.shape
        arrays = spikes, as_bytes(sent), flat(self.seen, 1)[0], flat(self.count, 1)[0]
        pool_spikes(*arrays, (samples, *space, channels), (*self.count.shape[2:],), places, steps, self.gate)
        return sent
