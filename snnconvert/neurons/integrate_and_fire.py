"""The integrate-and-fire neuron (IAF).

    v(t) <- v(t-1) + z(t) - leak;  s(t) = 1 where v(t) >= 1, else 0;  v(t) <- v(t) - s(t)   (reset by subtraction)
                                                                      v(t) <- 0 where s(t)  (reset to zero)

Reset by subtraction loses no charge: ``sum of spikes + v(T) = v(0) + sum of z``. Hence, under a constant current, the
rate is ``min(max(z, 0), 1)`` up to 1/T: a rectifier (Rueckauer et al. 2017, eq. 6). Reset to zero throws away what is
over the threshold, and the rate is ``1 / ceil(1 / z)``: less than the rectifier wherever 1/z is no integer.
With v(0) = 1/2 the number of spikes is the rounded, not the floored, activation (Bu et al. 2022).

A constant leak, ``tau dv/dt = -v_leak + R (I_syn + I_bias)``, is a bias: in units of the threshold and of steps,
``z = R (I_syn + I_bias) / tau`` and ``leak = v_leak / tau``. After a spike the neuron is refractory for some steps: it
gathers current, but does not fire, so its rate is at most ``1 / (1 + refractory)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

import onnx
import torch
from onnx import helper
from torch import Tensor

from snnconvert.errors import UsageError
from snnconvert.neurons.neuron import EXAMPLES, NEURONS, Neuron, State, constant, initial_potential, parameter


@NEURONS.register("if")
@dataclass(frozen=True)
class IntegrateAndFire(Neuron):
    """An IAF neuron with threshold 1, a constant leak and a refractory period."""

    reset: Literal["subtract", "zero"] = "subtract"
    initial_potential: float = initial_potential()
    leak: float = parameter(0.0, "thresholds a step", 0)
    refractory: int = parameter(0, "steps", 0, 10_000)

    name = "if"

    def __post_init__(self) -> None:
        if self.reset not in ("subtract", "zero"):
            raise UsageError("E003", f"--reset: expected 'subtract' or 'zero', got '{self.reset}'")
        super().__post_init__()

    @property
    def states(self) -> tuple[str, ...]:
        return ("potential", "refractory") if self.refractory else ("potential",)

    @property
    def keeps_charge(self) -> bool:
        return self.reset == "subtract"

    @property
    def drain(self) -> float:
        return self.leak

    def step(self, state: State, current: Tensor, t: int) -> tuple[State, Tensor]:
        potential = self.silent(state, current)[0]
        fires = potential >= 1
        if self.refractory:
            fires = fires & (state[1] <= 0)
        spikes = fires.to(potential.dtype)
        after = potential - spikes if self.reset == "subtract" else potential * (1 - spikes)
        if not self.refractory:
            return (after,), spikes
        waiting = (state[1] - 1).clamp(min=0)
        return (after, torch.where(fires, self.refractory, waiting).to(potential.dtype)), spikes

    def silent(self, state: State, current: Tensor) -> State:
        potential = state[0] + current
        return (potential - self.leak if self.leak else potential, *state[1:])

    def rate(self, current: Tensor) -> Tensor:
        limited = (current - self.leak).clamp(0, 1)
        if self.reset == "zero":
            limited = torch.where(limited > 0, 1 / torch.ceil(1 / limited.clamp(min=1e-300)), limited)
        return limited.clamp(max=1 / (1 + self.refractory))

    def onnx_nodes(self) -> Sequence[onnx.NodeProto]:
        node = helper.make_node
        nodes = [node("Add", ["potential", "current"], ["charged"]), constant("threshold", 1)]
        if self.leak:
            nodes += [constant("leak", self.leak), node("Sub", ["charged", "leak"], ["leaked"])]
        potential, fires = "leaked" if self.leak else "charged", "reached"
        nodes.append(node("GreaterOrEqual", [potential, "threshold"], ["reached"]))
        if self.refractory:
            nodes += [
                constant("zero", 0),
                constant("period", self.refractory),
                node("LessOrEqual", ["refractory", "zero"], ["ready"]),
                node("And", ["reached", "ready"], ["fires"]),
                node("Sub", ["refractory", "threshold"], ["later"]),
                node("Max", ["later", "zero"], ["waiting"]),
                node("Where", ["fires", "period", "waiting"], ["next_refractory"]),
            ]
            fires = "fires"
        nodes.append(node("CastLike", [fires, potential], ["spikes"]))
        if self.reset == "subtract":
            return [*nodes, node("Sub", [potential, "spikes"], ["next_potential"])]
        return [
            *nodes,
            node("Sub", ["threshold", "spikes"], ["silent"]),
            node("Mul", [potential, "silent"], ["next_potential"]),
        ]


def is_plain(neuron: Neuron) -> TypeGuard[IntegrateAndFire]:
    """Tell whether neurons are integrate-and-fire ones without leak and refractory period, whose loops are compiled."""
    return isinstance(neuron, IntegrateAndFire) and not neuron.leak and not neuron.refractory


@EXAMPLES.register("if")
def examples() -> Sequence[Neuron]:
    """Return neurons for the contract tests."""
    return [
        IntegrateAndFire(),
        IntegrateAndFire("subtract", 0.0),
        IntegrateAndFire("zero", 0.0),
        IntegrateAndFire("zero", 0.5),
        IntegrateAndFire("subtract", 0.5, leak=0.125),
        IntegrateAndFire("subtract", 0.5, refractory=2),
        IntegrateAndFire("zero", 0.0, refractory=1),
    ]
