"""Differential coding (Huang et al. 2025): a spike at step t corrects the decoded rate by 1/t, silence keeps it.

Synapses and neurons decode a rate ``m(t) = m(t-1) + s(t) / t`` from the spikes of each neuron. With ``c(t)`` the current
that the decoded rates of step t make, the charge so far is ``t c(t)``, and what was sent is ``sum of m``:

    v(t) <- v(t-1) + t c(t) - (t-1) c(t-1) - m(t-1)
    s(t) = the largest threshold of 1, 1/2 ... 2^-(n-1) with ``|v(t)| >= 3/4`` of it, with the sign of v(t);
           a negative one takes back at most what was sent: ``m(t-1) >= |s(t)|``
    v(t) <- v(t) - s(t);  m(t) = m(t-1) + s(t) / t

That is their update by currents (eq. 9), summed up. A rate that is right costs nothing more, so operations fall with t;
but each synapse needs a gain of 1/t, and each neuron two more states.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import onnx
import torch
from onnx import helper
from torch import Tensor

from snnconvert.neurons.events import Cost
from snnconvert.neurons.neuron import EXAMPLES, NEURONS, Neuron, State, constant, parameter

NEAREST = 0.75  # of a threshold: the middle between it and the next


@NEURONS.register("differential")
@dataclass(frozen=True)
class Differential(Neuron):
    """A neuron of the differential code with ``n`` thresholds."""

    n: int = parameter(4, "thresholds", 1, 16)

    name = "differential"
    spikes: ClassVar[Literal["binary", "signed", "graded"]] = "graded"
    decodes = True
    cost: ClassVar[Cost] = "single"

    @property
    def states(self) -> tuple[str, ...]:
        return ("potential", "before", "decoded")

    @property
    def keeps_charge(self) -> bool:
        return False  # a step without spikes says that the rate is right

    @property
    def levels(self) -> int:
        return int(2**self.n) - 1

    def step(self, state: State, current: Tensor, t: int) -> tuple[State, Tensor]:
        potential, before, decoded = state
        time = t + 1
        potential = potential + (time * current - t * before) - decoded
        size, spikes = potential.abs(), torch.zeros_like(potential)
        for power in reversed(range(self.n)):
            threshold = 2.0**-power
            allowed = (potential >= 0) | (decoded >= threshold)
            spikes = torch.where((size >= NEAREST * threshold) & allowed, threshold, spikes)
        spikes = torch.where(potential < 0, -spikes, spikes)
        return (potential - spikes, current.clone(), decoded + spikes / time), spikes

    def sent(self, state: State, spikes: Tensor) -> Tensor:
        return state[2]

    def rate(self, current: Tensor) -> Tensor:
        return current.clamp(min=0)

    def onnx_nodes(self) -> Sequence[onnx.NodeProto]:
        node = helper.make_node
        nodes = [
            constant("one", 1),
            constant("zero", 0),
            node("Sub", ["time", "one"], ["earlier"]),
            node("Mul", ["time", "current"], ["total"]),
            node("Mul", ["earlier", "before"], ["total_before"]),
            node("Sub", ["total", "total_before"], ["charge"]),
            node("Add", ["potential", "charge"], ["charged"]),
            node("Sub", ["charged", "decoded"], ["reached"]),
            node("Abs", ["reached"], ["size"]),
            node("GreaterOrEqual", ["reached", "zero"], ["upward"]),
        ]
        last = "zero"
        for power in reversed(range(self.n)):
            own = f"_{power}"
            nodes += [
                constant(f"threshold{own}", 2.0**-power),
                constant(f"nearest{own}", NEAREST * 2.0**-power),
                node("GreaterOrEqual", ["size", f"nearest{own}"], [f"near{own}"]),
                node("GreaterOrEqual", ["decoded", f"threshold{own}"], [f"there{own}"]),
                node("Or", ["upward", f"there{own}"], [f"allowed{own}"]),
                node("And", [f"near{own}", f"allowed{own}"], [f"fires{own}"]),
                node("Where", [f"fires{own}", f"threshold{own}", last], [f"spikes{own}"]),
            ]
            last = f"spikes{own}"
        return [
            *nodes,
            node("Neg", [last], ["taken"]),
            node("Where", ["upward", last, "taken"], ["spikes"]),
            node("Sub", ["reached", "spikes"], ["next_potential"]),
            node("Identity", ["current"], ["next_before"]),
            node("Div", ["spikes", "time"], ["correction"]),
            node("Add", ["decoded", "correction"], ["next_decoded"]),
        ]


@EXAMPLES.register("differential")
def examples() -> Sequence[Neuron]:
    """Return neurons for the contract tests."""
    return [Differential(), Differential(6)]
