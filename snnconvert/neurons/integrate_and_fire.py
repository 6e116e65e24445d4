"""The integrate-and-fire neuron (IAF), without leak.

    v(t) <- v(t-1) + z(t);  s(t) = 1 where v(t) >= 1, else 0;  v(t) <- v(t) - s(t)   (reset by subtraction)
                                                               v(t) <- 0 where s(t)  (reset to zero)

Reset by subtraction loses no charge: ``sum of spikes + v(T) = v(0) + sum of z``. Hence, under a constant current, the
rate is ``min(max(z, 0), 1)`` up to 1/T: a rectifier (Rueckauer et al. 2017, eq. 6). Reset to zero throws away what is
over the threshold, and the rate is ``1 / ceil(1 / z)``: less than the rectifier wherever 1/z is no integer.
With v(0) = 1/2 the number of spikes is the rounded, not the floored, activation (Bu et al. 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import onnx
import torch
from onnx import helper
from torch import Tensor

from snnconvert.errors import UsageError
from snnconvert.neurons.neuron import DOMAIN, EXAMPLES, NEURONS, Neuron


@NEURONS.register("if")
@dataclass(frozen=True)
class IntegrateAndFire(Neuron):
    """An IAF neuron with threshold 1; ``initial_potential`` in thresholds, at least 0 and under 1."""

    reset: Literal["subtract", "zero"] = "subtract"
    initial_potential: float = 0.5

    name = "if"

    def __post_init__(self) -> None:
        if self.reset not in ("subtract", "zero"):
            raise UsageError("E003", f"--reset: expected 'subtract' or 'zero', got '{self.reset}'")
        if not 0 <= self.initial_potential < 1:
            raise UsageError(
                "E003",
                f"--initial-potential: expected at least 0 and under 1 threshold, got {self.initial_potential:g}",
            )

    def initial_state(self, like: Tensor) -> Tensor:
        return torch.full_like(like, self.initial_potential)

    @property
    def initial_value(self) -> float:
        return self.initial_potential

    def step(self, state: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
        potential = state + current
        spikes = (potential >= 1).to(potential.dtype)
        if self.reset == "subtract":
            return potential - spikes, spikes
        return potential * (1 - spikes), spikes

    def rate(self, current: Tensor) -> Tensor:
        limited = current.clamp(0, 1)
        if self.reset == "subtract":
            return limited
        return torch.where(limited > 0, 1 / torch.ceil(1 / limited.clamp(min=1e-300)), limited)

    def onnx_function(self) -> onnx.FunctionProto:
        nodes = [
            helper.make_node("Add", ["state", "current"], ["potential"]),
            helper.make_node("Constant", [], ["threshold"], value_float=1.0),
            helper.make_node("GreaterOrEqual", ["potential", "threshold"], ["fires"]),
            helper.make_node("CastLike", ["fires", "potential"], ["spikes"]),
        ]
        if self.reset == "subtract":
            nodes.append(helper.make_node("Sub", ["potential", "spikes"], ["next"]))
        else:
            nodes += [
                helper.make_node("Sub", ["threshold", "spikes"], ["silent"]),
                helper.make_node("Mul", ["potential", "silent"], ["next"]),
            ]
        return helper.make_function(
            DOMAIN,
            f"IntegrateAndFire_{self.reset}",
            ["current", "state"],
            ["spikes", "next"],
            nodes,
            [helper.make_opsetid("", 18)],
        )


@EXAMPLES.register("if")
def examples() -> Sequence[Neuron]:
    """Return neurons for the contract tests."""
    return [
        IntegrateAndFire(),
        IntegrateAndFire("subtract", 0.0),
        IntegrateAndFire("zero", 0.0),
        IntegrateAndFire("zero", 0.5),
    ]
