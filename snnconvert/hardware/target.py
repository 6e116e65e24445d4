"""What is compared with a chip: the layers of a network, in the terms that data sheets use."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from snnconvert.graph import Node
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.network.weights import units_of
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.registry import Registry


@dataclass(frozen=True)
class Row:
    """One property: what the chip allows, what the network has, and where the limit is written."""

    what: str
    limit: str
    found: str
    fits: bool
    source: str


@dataclass(frozen=True)
class Target:
    """A chip: its name, and what is to be compared."""

    title: str
    rows: Callable[[SpikingNetwork], Sequence[Row]]


TARGETS: Registry[Target] = Registry("target")


def weighted(network: SpikingNetwork) -> list[Node]:
    """Return the convolutions and fully connected layers."""
    return [node for node in network.graph.nodes if isinstance(node.operator, Convolution | Linear)]


def units_of_layers(network: SpikingNetwork) -> dict[str, Tensor] | None:
    """Return the unit of each output's 8-bit weights, ``(O,)`` in thresholds, by layer; None where some have none."""
    found = {}
    for node in weighted(network):
        unit = units_of(node.operator.weight)  # type: ignore[attr-defined]
        if unit is None:
            return None
        found[node.name] = unit
    return found


def neurons_of(network: SpikingNetwork) -> int:
    """Count the neurons."""
    return sum(math.prod(network.graph.shapes[name]) for name in network.neurons)


def parameters_of(network: SpikingNetwork) -> int:
    """Count weights and biases, shared ones once."""
    operators = (node.operator for node in network.graph.nodes)
    return sum(value.numel() for each in operators for value in each.tensors.values())


def connections_of(network: SpikingNetwork) -> int:
    """Count connections between neurons, each by itself."""
    return int(sum(float(fan_out.sum()) for fan_out in network.fan_out.values()))


def weight_bits(network: SpikingNetwork, source: str) -> Row:
    """Compare the weights with 8 bits."""
    fits = units_of_layers(network) is not None
    return Row("weights", "8 bits", "8 bits" if fits else "float32", fits, source)


def input_of_events(network: SpikingNetwork, source: str) -> Row:
    """Compare the input with events."""
    fits = network.traffic[network.graph.input] is not Traffic.CONSTANT
    return Row("input", "events", "events" if fits else "a constant current", fits, source)


def largest(values: Sequence[int]) -> int:
    """Return the largest of some numbers, 0 of none."""
    return max(values, default=0)
