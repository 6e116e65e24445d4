"""Weights as hardware holds them: 8-bit numbers times a power of two for each output channel, or bfloat16.

    int8      w = q * 2^e, -127 <= q <= 127 whole, e the least that fits the largest weight of the channel

A sum of 8-bit weights is a whole number of units: with it every potential, threshold and bias is one, too, as on chips.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from snnconvert.graph import Graph, Node, Operator, Role, Shape
from snnconvert.network.spiking import SpikingNetwork
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import AveragePool, Mean
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
    """Return a unit of which currents into a layer of neurons are multiples, in thresholds; it broadcasts to a sample.

    That of the 8-bit weights, where nothing else weighs: the finest of those that meet in a channel. None where some
    weight has none.
    """
    graph, known = network.graph, dict[str, Tensor | None]()
    (current,) = graph.by_name[name].inputs
    for node in graph.nodes:
        inputs = [known.get(value, torch.ones([1] * len(shape))) for value, shape in _inputs(graph, node)]
        stops = node.name in network.neurons  # a spike is one unit, as a value of the analog input is
        known[node.name] = torch.ones([1] * len(graph.shapes[node.name])) if stops else _unit(node, graph, inputs)
        if node.name == current:
            return known[current]
    return None


def _inputs(graph: Graph, node: Node) -> Iterable[tuple[str, Shape]]:
    return zip(node.inputs, graph.input_shapes(node), strict=True)


def _unit(node: Node, graph: Graph, inputs: Sequence[Tensor | None]) -> Tensor | None:
    """Return the unit of a value, given those of what it is made from; None where there is none."""
    found = [unit for unit in inputs if unit is not None]
    operator, rank = node.operator, len(graph.shapes[node.name])
    if len(found) < len(inputs) or not found:
        return None
    if operator.role is Role.SUM:
        return functools.reduce(torch.minimum, found)
    finest = torch.stack([unit.min() for unit in found]).min()
    if isinstance(operator, Affine):
        own = units(operator.scale.abs())
        return own * found[0] if bool((operator.scale / own == (operator.scale / own).round()).all()) else None
    if isinstance(operator, Convolution | Linear):
        of_outputs = units_of(operator.weight)
        if of_outputs is None:
            return None
        apart = [1] * (rank - 1)
        last = isinstance(operator, Linear)  # the axis of its outputs
        return finest * (of_outputs.reshape(*apart, -1) if last else of_outputs.reshape(-1, *apart))
    if isinstance(operator, AveragePool):
        padded = any((*operator.window.before, *operator.window.after, *operator.extension))
        if padded and not operator.count_padding:  # windows of several sizes
            return None
        size = math.prod(operator.window.kernel)
        return None if size & (size - 1) else (finest / size).expand([1] * rank)
    if isinstance(operator, Mean):
        size = math.prod(graph.input_shapes(node)[0][axis] for axis in operator.axes)
        return None if size & (size - 1) else (finest / size).expand([1] * rank)
    moves = operator.keeps_spikes or operator.role is Role.MAXIMUM  # elements may have moved: the finest holds for all
    return finest.expand([1] * rank) if moves else None
