"""Compares what another program made of a network with the engine: spike counts, neuron by neuron, and outputs.

A wrong weight need not move a spike in a few steps. So the potentials that neurons are left with are compared, too,
with those of the step model, where the program tells them: they hold every weight that any spike has come over.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from snnconvert.errors import InternalError
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.operators.average_pooling import AveragePool, Mean
from snnconvert.simulate import Simulator

ROUNDED = 0.01  # of the counts may differ where sums cannot be exact: a last bit moves a spike by a step
NONE: Mapping[str, Tensor] = {}
REPORT = "please report it, with the bundle"
POTENTIAL = 1e-5  # thresholds, or of the potential where that is larger: sums that are not held exactly any more
OUTPUT = 1e-4  # of the largest output, between outputs that were summed up in another order
MOVED = 0.5  # of it, where a few spikes have moved: one of a step among few is a large part of an output


@dataclass(frozen=True)
class Expected:
    """What the engine says: the estimate of the output ``(N, ...)``, and spike counts by node."""

    output: Tensor
    counts: Mapping[str, Tensor]
    steps: int
    potentials: Mapping[str, Tensor] = field(default_factory=dict)  # behind the last step, of the step model


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
    network: SpikingNetwork,
    expected: Expected,
    by: str,
    output: Tensor,
    counts: Mapping[str, Tensor],
    potentials: Mapping[str, Tensor] = NONE,
) -> Agreement:
    """Compare a program's spike counts by node, its estimate of the output, and the potentials that it tells.

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
    largest = float(expected.output.abs().max()) or 1.0
    error = float((output - expected.output).abs().max()) / largest
    allowed = ROUNDED * neurons if inexact(network) else 0
    worst = MOVED if differing else OUTPUT
    if differing > allowed or not error <= worst:
        raise InternalError(
            "E912",
            f"{by}: {differing:,} of {neurons:,} spike counts differ from the engine's, outputs by {error:.1g}",
            REPORT,
        )
    for name in potentials.keys() & expected.potentials.keys() if not inexact(network) else ():
        size = expected.potentials[name].abs().clamp(min=1)
        off = (potentials[name] - expected.potentials[name]).abs() / size
        if not bool((off <= POTENTIAL).all()):
            told = f"{by}: potentials of '{name}' differ from those of the step model by {float(off.max()):.1g}"
            raise InternalError("E912", told, REPORT)
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
