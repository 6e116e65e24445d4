"""What is compared with a chip: the layers of a network, in the terms that data sheets use."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from snnconvert.graph import Node, Operator, Role
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.network.weights import units_before, units_of
from snnconvert.operators.average_pooling import AveragePool
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.reshape import Reshape
from snnconvert.registry import Registry

NONE = "none"  # there is nothing to compare
NO_UNIT = "not 8 bits"  # of 8-bit weights, that a threshold or a potential is
SPIKING = (Convolution, Linear, AveragePool, Reshape)  # operators that chips for spiking networks have
ROLES = (Role.SUM, Role.IDENTITY, Role.ACTIVATION)


@dataclass(frozen=True)
class Row:
    """One property: what the chip allows, what the network has, and where the limit is written."""

    what: str
    limit: str
    found: str
    fits: bool
    source: str


@dataclass(frozen=True)
class Subject:
    """A network; ``potentials`` are the largest that its layers reached, in units of 8-bit weights, if measured."""

    network: SpikingNetwork
    potentials: Mapping[str, float]


@dataclass(frozen=True)
class Target:
    """A chip: its name, and what is to be compared."""

    title: str
    rows: Callable[[Subject], Sequence[Row]]


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


def most(what: str, limit: int, values: Sequence[int] | int, source: str) -> Row:
    """Compare the largest of some numbers with the largest there may be."""
    listed = [values] if isinstance(values, int) else values
    found = max(listed, default=0)
    return Row(what, f"at most {limit:,}", f"{found:,}" if listed else NONE, found <= limit, source)


def among(what: str, allowed: Sequence[int], values: Sequence[int], source: str) -> Row:
    """Compare numbers with those that there are."""
    found = ", ".join(map(str, sorted({*values}))) or NONE
    return Row(what, ", ".join(map(str, allowed)), found, {*values} <= {*allowed}, source)


def operators(network: SpikingNetwork, limit: str, source: str, others: tuple[type[Operator], ...] = ()) -> Row:
    """Compare the operators with convolutions, fully connected layers, pools by averages, sums, and some others."""
    found = sorted(
        {
            type(node.operator).__name__
            for node in network.graph.nodes
            if not isinstance(node.operator, (*SPIKING, *others)) and node.operator.role not in ROLES
        }
    )
    return Row("operators", limit, ", ".join(found) or "these", not found, source)


def weight_bits(network: SpikingNetwork, source: str) -> Row:
    """Compare the weights with 8 bits."""
    fits = units_of_layers(network) is not None
    return Row("weights", "8 bits", "8 bits" if fits else "more than 8 bits", fits, source)


def threshold(network: SpikingNetwork, limit: int, source: str) -> Row:
    """Compare the largest threshold, in units of 8-bit weights, with a limit."""
    units = [units_before(network, name) for name in network.neurons]
    known = [unit for unit in units if unit is not None]
    if len(known) < len(units):
        return Row("threshold", f"at most {limit:,}", NO_UNIT, False, source)
    return most("threshold", limit, [math.ceil(1 / float(unit.min())) for unit in known], source)


def potentials(subject: Subject, limit: int, source: str) -> list[Row]:
    """Compare the largest potential that was measured with a limit, in units of 8-bit weights; nothing if none was."""
    if not subject.potentials:
        return []
    return [most("potentials, as measured", limit, [math.ceil(max(subject.potentials.values()))], source)]


def shared_scale(network: SpikingNetwork, source: str) -> Row:
    """Compare the units of a layer's 8-bit weights with one."""
    units = units_of_layers(network)
    mixed = [] if units is None else [name for name, unit in units.items() if bool((unit != unit[0]).any())]
    found = NO_UNIT if units is None else f"more in {len(mixed)} layers" if mixed else "one"
    return Row("scales of a layer", "one", found, units is not None and not mixed, source)


def input_of_events(network: SpikingNetwork, source: str) -> Row:
    """Compare the input with events."""
    fits = network.traffic[network.graph.input] is not Traffic.CONSTANT
    return Row("input", "events", "events" if fits else "a constant current", fits, source)
