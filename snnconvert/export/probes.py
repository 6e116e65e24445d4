"""Samples on which all sums of a network are exact, so that any difference between two programs is a fault of one.

Weights are multiples of a unit u (see network/fixed_point.py). Where samples are multiples of a step e, sums over the
analog input are whole numbers of ``u e``; under 2^24 of them float32 holds every one, in whatever order they are added.
So the samples are coarse: as many levels as that leaves, smooth in space as pictures are, and as large as moves the
first neurons by half a threshold a step.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own documentation calls it so
from torch import Tensor

from snnconvert.errors import ModelError
from snnconvert.graph import Role, Shape
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.network.fixed_point import BITS, UNIT

HELD = 2**24  # whole numbers that float32 holds
BUSY = 0.5  # thresholds a step
LEVELS = (64, 32, 16, 8, 4, 2, 1)  # on either side of zero
SHARES = (0.5, 0.25, 0.125, 0.0625, 0.03125)  # of the input that is not 0


def exact_samples(network: SpikingNetwork, count: int, seed: int = 0) -> Tensor:
    """Return samples ``(count, ...)`` that make neurons fire, with exact sums up to the first of them.

    Where sums are so long that one level is too much, part of the input is 0.
    """
    pattern = _pattern(network.graph.input_shape, count, seed)
    chance = torch.rand(pattern.shape, generator=torch.Generator().manual_seed(seed + 1))
    for levels, share in (*((levels, 1.0) for levels in LEVELS), *((1, share) for share in SHARES)):
        thinned = torch.where(chance < share, pattern, 0.0)
        size = _size(network, thinned)
        step = 2.0 ** round(math.log2(size / levels))
        samples = (thinned * size / step).round().clamp(-levels, levels) * step
        if bool(samples.any()) and _is_exact(network, samples, step):
            return samples
    raise ModelError(
        "E128", f"{network.graph.name}: no samples were found whose sums are exact", "export without --verify"
    )


def _pattern(shape: Shape, count: int, seed: int) -> Tensor:
    """Return noise between -1 and 1, with an offset of each sample's own; smooth where there is space."""
    make = torch.Generator().manual_seed(seed)
    noise = torch.randn((count, *shape), generator=make)
    if len(shape) == 3 and min(shape[1:]) >= 4:
        noise = 3 * F.avg_pool2d(F.pad(noise, (1, 1, 1, 1), mode="replicate"), 3, 1)
    offset = torch.randn((count, *[1] * len(shape)), generator=make)
    return ((noise + offset) / 2).clamp(-1, 1)


def _size(network: SpikingNetwork, pattern: Tensor) -> float:
    """Return what the samples are multiplied by, so that they move the first neurons' currents by BUSY, in the mean."""
    silent = _currents(network, torch.zeros_like(pattern))
    moved = torch.cat([(each - silent[name]).flatten() for name, each in _currents(network, pattern).items()])
    mean = float(moved.abs().mean())
    return BUSY / mean if 0 < mean < math.inf else 1.0


def _constant(network: SpikingNetwork) -> list[str]:
    """Return the values that depend on the input alone."""
    return [node.name for node in network.graph.nodes if network.traffic[node.name] is Traffic.CONSTANT]


@torch.no_grad()
def _values(network: SpikingNetwork, x: Tensor, absolute: bool = False) -> dict[str, Tensor]:
    graph = network.graph.mapped(torch.abs) if absolute else network.graph
    values, known = {graph.input: x}, set(_constant(network))
    for node in graph.nodes:
        if node.name in known:
            values[node.name] = node.operator.evaluate([values[value] for value in node.inputs])
    return values


def _currents(network: SpikingNetwork, x: Tensor) -> dict[str, Tensor]:
    """Return what arrives, constant in time, at the first neurons."""
    values = _values(network, x)
    read = {value for node in network.graph.nodes if node.name in network.neurons for value in node.inputs}
    found = {name: value for name, value in values.items() if name in read}
    return found or {name: value for name, value in values.items() if name != network.graph.input}


def _is_exact(network: SpikingNetwork, samples: Tensor, step: float) -> bool:
    """Tell whether no sum over the samples can be rounded: whether all are under 2^24 of what they are multiples of."""
    unit = math.inf
    for name in _constant(network):
        operator = network.graph.by_name[name].operator
        for field, tensor in vars(operator).items():
            if operator.role is Role.WEIGHTED and isinstance(tensor, Tensor) and bool(tensor.any()):
                unit = min(unit, _unit(tensor) * (step if field in operator.weights else 1.0))
    values = _values(network, samples.abs(), absolute=True)
    most = max((float(value.max()) for name, value in values.items() if name != network.graph.input), default=0.0)
    return most <= HELD * (step if unit == math.inf else unit)


def _unit(tensor: Tensor) -> float:
    """Return what parameters on the grid are multiples of; on a grid for each input, of the finest."""
    unit = min(UNIT, 2.0 ** (math.floor(math.log2(float(tensor.abs().max()))) + 1 - BITS))
    while bool((tensor.double() / unit).frac().any()):
        unit /= 2
    return unit
