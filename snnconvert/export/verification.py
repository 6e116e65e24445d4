"""Compares what another program made of a network with the engine: spike counts, neuron by neuron, and outputs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from snnconvert.errors import InternalError
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.operators.average_pooling import AveragePool, Mean
from snnconvert.simulate import Simulator

ROUNDED = 0.01  # of the counts may differ where sums cannot be exact: a last bit moves a spike by a step
REPORT = "please report it, with the bundle"
OUTPUT = 1e-4  # of the largest output, between outputs that were summed up in another order


@dataclass(frozen=True)
class Expected:
    """What the engine says: the estimate of the output ``(N, ...)``, and spike counts by node."""

    output: Tensor
    counts: Mapping[str, Tensor]
    steps: int


@dataclass(frozen=True)
class Agreement:
    """How another program compares: ``differing`` of ``neurons`` counts, and the largest distance of the outputs."""

    by: str
    neurons: int
    spikes: int
    differing: int
    output_error: float

    def __str__(self) -> str:
        same = "all equal" if not self.differing else f"{self.differing:,} differ, as rounded sums do"
        return f"{self.by}: {self.neurons:,} spike counts ({self.spikes:,} spikes), {same}"

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return vars(self)


def expected_of(network: SpikingNetwork, samples: Tensor, steps: int) -> Expected:
    """Run the engine for as many steps as a readout at ``steps`` takes."""
    (readout,) = Simulator(network).run(samples, [steps])
    counts = {name: count.clone() for name, count in readout.counts.items()}
    return Expected(readout.estimate.clone(), counts, steps)


def require_equal(
    network: SpikingNetwork, expected: Expected, by: str, output: Tensor, counts: Mapping[str, Tensor]
) -> Agreement:
    """Compare a program's spike counts by node, and its estimate of the output.

    Where all sums are exact any difference is one too many; where they are not, more than ROUNDED of them are.

    Raises:
        InternalError: they differ (E912).
    """
    shapes, known = ({name: each.shape for name, each in found.items()} for found in (counts, expected.counts))
    if shapes != known:
        raise InternalError("E912", f"{by}: counts spikes of other layers than the engine", REPORT)
    differing = neurons = spikes = 0
    for name, count in counts.items():
        differing += int((count != expected.counts[name]).sum())
        neurons += count.numel()
        spikes += int(expected.counts[name].abs().sum())
    size = float(expected.output.abs().max()) or 1.0
    error = float((output - expected.output).abs().max()) / size
    allowed = ROUNDED * neurons if inexact(network) else 0
    worst = OUTPUT if not differing else math.inf
    if differing > allowed or not error <= worst:
        raise InternalError(
            "E912",
            f"{by}: {differing:,} of {neurons:,} spike counts differ from the engine's, outputs by {error:.1g}",
            REPORT,
        )
    return Agreement(by, neurons, spikes, differing, error)


def inexact(network: SpikingNetwork) -> list[str]:
    """Return why sums that reach neurons are rounded in float32, even on samples made for exact ones; see probes.py."""
    wanted: set[str] = set()
    found = []
    for node in reversed(network.graph.nodes):
        if node.name not in wanted and node.name not in network.neurons:
            continue
        wanted.update(node.inputs)
        operator, size = node.operator, 1
        if isinstance(operator, AveragePool):
            size = math.prod(operator.window.kernel)
        elif isinstance(operator, Mean):
            (shape,) = network.graph.input_shapes(node)
            size = math.prod(shape[axis] for axis in operator.axes)
        if size & (size - 1):
            found.append(f"a mean of {size} in '{node.name}'")
        elif network.traffic[node.name] is Traffic.CONSTANT and _weighs_twice(network, node.inputs):
            found.append(f"weights upon weights of the analog input in '{node.name}'")
    found += [f"graded currents in '{name}'" for name in network.graded]
    return found


def _weighs_twice(network: SpikingNetwork, inputs: tuple[str, ...]) -> bool:
    nodes = network.graph.by_name
    return any(value in nodes and nodes[value].operator.weights for value in inputs)
