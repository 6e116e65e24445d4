"""The leaky integrate-and-fire neuron (LIF): ``tau dv/dt = -v + R (I_syn + I_bias)``, in Euler steps of ``dt = 1``.

At each step a potential at or over the threshold is first reset and recorded as a spike, then the step is taken:

    s(t) = 1 where v >= threshold, else 0;  v <- v_reset where s(t);  v <- v + (-v + R (z(t) + I_bias)) / tau

Under a constant current the potential behind n steps is ``R I + (v_reset - R I) (1 - 1/tau)^n``, so the neuron fires
every ``ceil(log((R I - threshold) / (R I - v_reset)) / log(1 - 1/tau))`` steps where ``R I`` is over the threshold, and
never where it is not: no rectifier. It is here for those whose hardware has nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import torch
from onnx import helper
from torch import Tensor

from snnconvert.neurons.neuron import EXAMPLES, NEURONS, Neuron, State, constant, parameter, refusal


@NEURONS.register("lif")
@dataclass(frozen=True)
class LeakyIntegrateAndFire(Neuron):
    """A LIF neuron; in a network the threshold is 1 and currents are in thresholds."""

    tau: float = parameter(20.0, "steps", 1)
    threshold: float = parameter(1.0, "units of potential", 0, open_ends="low")
    reset_potential: float = parameter(0.0, "units of potential")
    resistance: float = parameter(1.0, "units of potential a unit of current", 0, open_ends="low")
    bias: float = parameter(0.0, "units of current")
    initial_potential: float = parameter(0.0, "units of potential")

    name = "lif"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("reset_potential", "initial_potential"):
            if getattr(self, name) >= self.threshold:
                raise refusal(name, f"under the threshold {self.threshold:g}", getattr(self, name))

    @property
    def keeps_charge(self) -> bool:
        return False

    def step(self, state: State, current: Tensor, t: int) -> tuple[State, Tensor]:
        fires = state[0] >= self.threshold
        potential = torch.where(fires, self.reset_potential, state[0])
        return self.silent((potential,), current), fires.to(potential.dtype)

    def silent(self, state: State, current: Tensor) -> State:
        driven = current if self.bias == 0 else current + self.bias
        driven = driven if self.resistance == 1 else driven * self.resistance
        return (state[0] + (driven - state[0]) * (1 / self.tau),)

    def reached(self, state: State, current: Tensor, t: int) -> Tensor:
        return state[0]  # a spike comes before the step is taken

    def rate(self, current: Tensor) -> Tensor:
        driven = self.resistance * (current + self.bias)
        if self.tau == 1:  # the potential is what the current drives it to, at once
            return (driven >= self.threshold).to(current.dtype)
        fires = driven > self.threshold  # an equal one is approached for ever
        left = (driven - self.threshold) / (driven - self.reset_potential)
        period = torch.ceil(torch.log(torch.where(fires, left, 0.5)) / math.log1p(-1 / self.tau))
        return torch.where(fires, 1 / period.clamp(min=1), 0)

    def onnx_nodes(self) -> Sequence[onnx.NodeProto]:
        node = helper.make_node
        nodes = [
            constant("threshold", self.threshold),
            constant("reset", self.reset_potential),
            constant("share", 1 / self.tau),
            node("GreaterOrEqual", ["potential", "threshold"], ["fires"]),
            node("CastLike", ["fires", "potential"], ["spikes"]),
            node("Where", ["fires", "reset", "potential"], ["after"]),
        ]
        driven = "current"
        if self.bias:
            nodes += [constant("bias", self.bias), node("Add", [driven, "bias"], ["biased"])]
            driven = "biased"
        if self.resistance != 1:
            nodes += [constant("resistance", self.resistance), node("Mul", [driven, "resistance"], ["driven"])]
            driven = "driven"
        return [
            *nodes,
            node("Sub", [driven, "after"], ["distance"]),
            node("Mul", ["distance", "share"], ["change"]),
            node("Add", ["after", "change"], ["next_potential"]),
        ]


@EXAMPLES.register("lif")
def examples() -> Sequence[Neuron]:
    """Return neurons for the contract tests."""
    return [
        LeakyIntegrateAndFire(tau=5.0),
        LeakyIntegrateAndFire(tau=1.0),
        LeakyIntegrateAndFire(3.0, 0.5, -0.25, 2.0, 0.0, 0.25),
    ]
