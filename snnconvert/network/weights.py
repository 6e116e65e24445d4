"""Weights as hardware holds them: 8-bit numbers times a power of two for each output channel, or bfloat16.

    int8      w = q * 2^e, -127 <= q <= 127 whole, e the least that fits the largest weight of the channel

A sum of 8-bit weights is a whole number of units: with it every potential, threshold and bias is one, too, as on chips.
"""

import dataclasses
import functools
from typing import Literal

import torch
from torch import Tensor

from snnconvert.graph import Operator
from snnconvert.network.spiking import SpikingNetwork
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear

Weights = Literal["float32", "bfloat16", "int8"]
LARGEST = 127
SMALLEST_UNIT, LARGEST_UNIT = 2.0**-100, 2.0**60


def quantised(network: SpikingNetwork, weights: Weights) -> SpikingNetwork:
    """Return the network with its weights, but no biases, rounded to a type."""
    if weights == "float32":
        return network
    nodes = [dataclasses.replace(node, operator=_rounded(node.operator, weights)) for node in network.graph.nodes]
    return dataclasses.replace(network, graph=network.graph.replace(nodes=tuple(nodes)))


def _rounded(operator: Operator, weights: Weights) -> Operator:
    changed = {}
    for name, axis in operator.weights.items():
        tensor: Tensor = getattr(operator, name)
        changed[name] = tensor.bfloat16().float() if weights == "bfloat16" else eight_bits(tensor, axis)
    return dataclasses.replace(operator, **changed) if changed else operator  # type: ignore[type-var]


def eight_bits(tensor: Tensor, axis: int | None) -> Tensor:
    """Round to 8-bit numbers in units of a power of two for each index of an axis, or for each element (None)."""
    others = [each for each in range(tensor.ndim) if each != axis]
    largest = tensor.abs() if axis is None or not others else tensor.abs().amax(others, keepdim=True)
    unit = units(largest)
    return (tensor / unit).round().clamp(-LARGEST, LARGEST) * unit


def units(largest: Tensor) -> Tensor:
    """Return the least power of two of which 127 reach each number; 1 for 0."""
    exponent = torch.where(largest > 0, torch.ceil(torch.log2(largest.double() / LARGEST)), 0)
    return torch.exp2(exponent).float()


def units_of(weight: Tensor) -> Tensor | None:
    """Return a power of two for each output, ``(O,)``, of which all its weights are multiples by -127 to 127.

    None where there is none: then a sum of weights may be rounded, and one of 8-bit numbers would not equal it.
    """
    largest = weight.flatten(1).abs().amax(1)
    found = units(largest)
    if bool((found < SMALLEST_UNIT).any() or (found > LARGEST_UNIT).any()):
        return None
    whole = weight / found.reshape(-1, *[1] * (weight.ndim - 1))
    return found if bool((whole == whole.round()).all()) else None


def units_before(network: SpikingNetwork, name: str) -> Tensor | None:
    """Return the unit of the 8-bit weights in front of a layer of neurons, in thresholds; it broadcasts to a sample.

    The finest of those that meet in a channel; None where some weight has none, or there are no weights.
    """
    graph, shape = network.graph, network.graph.shapes[name]
    found: list[Tensor] = []
    waiting = list(graph.by_name[name].inputs)
    while waiting:
        node = graph.by_name.get(waiting.pop())
        if node is None or node.name in network.neurons:
            continue
        if not isinstance(node.operator, Convolution | Linear):
            waiting += node.inputs
            continue
        unit = units_of(node.operator.weight)
        if unit is None:
            return None
        if graph.shapes[node.name] != shape:  # channels have moved on the way: the finest holds for all
            unit = unit.min()
        elif isinstance(node.operator, Convolution):
            unit = unit.reshape(-1, *[1] * (len(shape) - 1))
        found.append(unit.expand(*[1] * len(shape)) if unit.ndim == 0 else unit)
    return functools.reduce(torch.minimum, found) if found else None
