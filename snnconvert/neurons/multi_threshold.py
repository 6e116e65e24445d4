"""Neurons with thresholds 1, 1/2, 1/4 ... 2^-(n-1): each power of two in a spike is an event of its own.

    v(t) <- v(t-1) + z(t);  s(t) = the largest sum of distinct thresholds that is at most v(t), its sign taken out
                            (at most 2 - 2^-(n-1));  s(t) >= -(sum of spikes so far);  v(t) <- v(t) - s(t)

The greedy cascade of comparators rounds to a multiple of the smallest threshold (H-MT, MTN). ``initial_potential`` is
in smallest thresholds. One step tells ``2^n`` values apart: 8-bit activations in spikes, for n = 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import onnx
import torch
from onnx import helper
from torch import Tensor

from snnconvert.neurons.events import Cost
from snnconvert.neurons.neuron import EXAMPLES, NEURONS, Neuron, State, constant, initial_potential, parameter


@NEURONS.register("multi-threshold")
@dataclass(frozen=True)
class MultiThreshold(Neuron):
    """A signed neuron with memory and ``n`` thresholds."""

    n: int = parameter(4, "thresholds", 1, 16)
    initial_potential: float = initial_potential()

    name = "multi-threshold"
    spikes: ClassVar[Literal["binary", "signed", "graded"]] = "graded"
    cost: ClassVar[Cost] = "bits"

    @property
    def states(self) -> tuple[str, ...]:
        return ("potential", "sent")

    @property
    def smallest(self) -> float:
        """The smallest threshold."""
        return 2.0 ** (1 - self.n)

    @property
    def initial_values(self) -> tuple[float, ...]:
        return (self.initial_potential * self.smallest, 0.0)

    @property
    def levels(self) -> int:
        return int(2**self.n) - 1

    @property
    def most(self) -> float:
        return self.levels * self.smallest

    @property
    def bits(self) -> int:
        return self.n

    def step(self, state: State, current: Tensor, t: int) -> tuple[State, Tensor]:
        potential = state[0] + current
        level = (potential * (1 / self.smallest)).floor().clamp(-self.levels, self.levels)
        spikes = torch.maximum(level * self.smallest, 0 - state[1])  # not -sent: its zero would have a sign
        return (potential - spikes, state[1] + spikes), spikes

    def rate(self, current: Tensor) -> Tensor:
        return current.clamp(0, self.most)

    def onnx_nodes(self) -> Sequence[onnx.NodeProto]:
        node = helper.make_node
        return [
            node("Add", ["potential", "current"], ["charged"]),
            constant("smallest", self.smallest),
            constant("inverse", 1 / self.smallest),
            constant("most", self.levels),
            constant("least", -self.levels),
            node("Mul", ["charged", "inverse"], ["scaled"]),
            node("Floor", ["scaled"], ["whole"]),
            node("Max", ["whole", "least"], ["over"]),
            node("Min", ["over", "most"], ["within"]),
            node("Mul", ["within", "smallest"], ["wanted"]),
            constant("zero", 0),
            node("Sub", ["zero", "sent"], ["all"]),
            node("Max", ["wanted", "all"], ["spikes"]),
            node("Sub", ["charged", "spikes"], ["next_potential"]),
            node("Add", ["sent", "spikes"], ["next_sent"]),
        ]


@EXAMPLES.register("multi-threshold")
def examples() -> Sequence[Neuron]:
    """Return neurons for the contract tests."""
    return [MultiThreshold(), MultiThreshold(1, 0.0), MultiThreshold(6, 0.25)]
