"""Differential coding (Huang et al. 2025): a spike at step t corrects the decoded rate by 1/t, silence keeps it.

Synapses and neurons decode a rate ``m(t) = m(t-1) + s(t) / t`` from the spikes of each neuron. With ``c(t)`` the
current that the decoded rates of step t make, the charge so far is ``t c(t)``, and what was sent is ``sum of m``:

    v(t) <- v(t-1) + t c(t) - (t-1) c(t-1) - m(t-1)
    s(t) = the largest threshold of 1, 1/2 ... 2^-(n-1) with ``|v(t)| >= 3/4`` of it, with the sign of v(t)
    v(t) <- v(t) - s(t);  m(t) = m(t-1) + s(t) / t

That is their update by currents (eq. 9), summed up. A spike may be followed in the same step by ones of smaller
thresholds, ``events`` of them in all (1 is the original's), each an event of its own: what is left of v(t) is rounded
in the same way. Negative spikes take back at most what was sent. A rate that is right costs nothing more, so
operations fall with t; but each synapse needs a gain of 1/t, and each neuron two more states.
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

    n: int = parameter(6, "thresholds", 1, 16)
    events_a_step: int = parameter(2, "events", 1, 16)

    name = "differential"
    spikes: ClassVar[Literal["binary", "signed", "graded"]] = "graded"
    decodes = True
    cost: ClassVar[Cost] = "signed-bits"

    @property
    def states(self) -> tuple[str, ...]:
        return ("potential", "before", "decoded")

    @property
    def keeps_charge(self) -> bool:
        return False  # a step without spikes says that the rate is right

    @property
    def saturates(self) -> bool:
        return False  # the decoded rate grows with time

    @property
    def bits(self) -> int:
        return self.n

    @property
    def levels(self) -> int:
        return int(2**self.n) - 1

    def step(self, state: State, current: Tensor, t: int) -> tuple[State, Tensor]:
        decoded, time = state[2], t + 1
        potential = self.reached(state, current, t)
        left, room = potential, decoded * time
        sent = torch.zeros_like(potential)
        for power in range(self.n):
            threshold, free = 2.0**-power, sent < self.events_a_step
            up = (left >= NEAREST * threshold) & free
            down = (left <= -NEAREST * threshold) & (room >= threshold) & free
            sign = up.to(left.dtype) - down.to(left.dtype)
            left, room, sent = left - sign * threshold, room + sign * threshold, sent + sign.abs()
        spikes = potential - left
        # taking back all that was sent may round to just under 0
        return (left, current.clone(), (decoded + spikes / time).clamp(min=0)), spikes

    def reached(self, state: State, current: Tensor, t: int) -> Tensor:
        potential, before, decoded = state
        return potential + ((t + 1) * current - t * before) - decoded

    def sent(self, state: State, spikes: Tensor) -> Tensor:
        return state[2]

    def rate(self, current: Tensor) -> Tensor:
        return current.clamp(min=0)

    def onnx_nodes(self) -> Sequence[onnx.NodeProto]:
        node = helper.make_node
        nodes = [
            constant("one", 1),
            node("Sub", ["time", "one"], ["earlier"]),
            node("Mul", ["time", "current"], ["total"]),
            node("Mul", ["earlier", "before"], ["total_before"]),
            node("Sub", ["total", "total_before"], ["charge"]),
            node("Add", ["potential", "charge"], ["charged"]),
            node("Sub", ["charged", "decoded"], ["left_0"]),
            node("Mul", ["decoded", "time"], ["room_0"]),
            node("Sub", ["left_0", "left_0"], ["sent_0"]),
            constant("limit", self.events_a_step),
        ]
        for power in range(self.n):
            own, after = f"_{power}", f"_{power + 1}"
            up, down = f"up{own}", f"down{own}"
            nodes += [
                constant(f"threshold{own}", 2.0**-power),
                constant(f"high{own}", NEAREST * 2.0**-power),
                constant(f"low{own}", -NEAREST * 2.0**-power),
                node("GreaterOrEqual", [f"left{own}", f"high{own}"], [f"over{own}"]),
                node("LessOrEqual", [f"left{own}", f"low{own}"], [f"under{own}"]),
                node("GreaterOrEqual", [f"room{own}", f"threshold{own}"], [f"there{own}"]),
                node("Less", [f"sent{own}", "limit"], [f"free{own}"]),
                node("And", [f"over{own}", f"free{own}"], [f"fires{own}"]),
                node("And", [f"under{own}", f"there{own}"], [f"takes{own}"]),
                node("And", [f"takes{own}", f"free{own}"], [f"returns{own}"]),
                node("CastLike", [f"fires{own}", "current"], [up]),
                node("CastLike", [f"returns{own}", "current"], [down]),
                node("Sub", [up, down], [f"sign{own}"]),
                node("Mul", [f"sign{own}", f"threshold{own}"], [f"spike{own}"]),
                node("Sub", [f"left{own}", f"spike{own}"], [f"left{after}"]),
                node("Add", [f"room{own}", f"spike{own}"], [f"room{after}"]),
                node("Abs", [f"sign{own}"], [f"event{own}"]),
                node("Add", [f"sent{own}", f"event{own}"], [f"sent{after}"]),
            ]
        return [
            *nodes,
            node("Identity", [f"left_{self.n}"], ["next_potential"]),
            node("Sub", ["left_0", f"left_{self.n}"], ["spikes"]),
            node("Identity", ["current"], ["next_before"]),
            node("Div", ["spikes", "time"], ["correction"]),
            constant("zero", 0),
            node("Add", ["decoded", "correction"], ["corrected"]),
            node("Max", ["corrected", "zero"], ["next_decoded"]),
        ]


@EXAMPLES.register("differential")
def examples() -> Sequence[Neuron]:
    """Return neurons for the contract tests."""
    return [Differential(), Differential(4, 1), Differential(3, 3)]
