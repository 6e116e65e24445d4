"""Integrate-and-fire neurons that send several spikes in a step, and neurons that can take spikes back.

    v(t) <- v(t-1) + z(t);  s(t) = min(max(floor(v(t)), low), k);  v(t) <- v(t) - s(t)

Several spikes (bursts, Li & Zeng 2022): ``low = 0``; under a constant current the rate is ``min(max(z, 0), k)``.
Signed spikes with memory (Wang et al. 2022, SNM; ST-BIF): ``low = max(-k, -n(t-1))`` with n the sum of all spikes so
far: a negative spike only takes back a positive one. A neuron that fired early on and whose current then turns out
negative so ends at the count that the whole current asks for: what arrives unevenly is put right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import onnx
import torch
from onnx import helper
from torch import Tensor

from snnconvert.neurons.neuron import EXAMPLES, NEURONS, Neuron, State, constant, initial_potential, parameter


class Burst(Neuron):
    """What neurons of several spikes a step share; ``k`` None is no limit."""

    k: ClassVar[int | None]

    @property
    def most(self) -> float:
        return float(self.k or 1)

    @property
    def saturates(self) -> bool:
        return self.k is not None

    @property
    def levels(self) -> int:
        return self.k or 1

    def rate(self, current: Tensor) -> Tensor:
        return current.clamp(min=0, max=self.k)


@NEURONS.register("if-multi")
@dataclass(frozen=True)
class MultiSpike(Burst):
    """An IAF neuron that sends up to ``k`` spikes a step."""

    k: int | None = parameter(15, "spikes a step", 1, 2**20)  # type: ignore[misc]
    initial_potential: float = initial_potential()

    name = "if-multi"
    spikes: ClassVar[Literal["binary", "signed", "graded"]] = "graded"

    def step(self, state: State, current: Tensor, t: int) -> tuple[State, Tensor]:
        potential = state[0] + current
        spikes = potential.floor().clamp(min=0, max=self.k)
        return (potential - spikes,), spikes

    def onnx_nodes(self) -> Sequence[onnx.NodeProto]:
        node = helper.make_node
        limited = [] if self.k is None else [constant("k", self.k), node("Min", ["positive", "k"], ["spikes"])]
        return [
            node("Add", ["potential", "current"], ["charged"]),
            constant("zero", 0),
            node("Floor", ["charged"], ["whole"]),
            node("Max", ["whole", "zero"], ["positive" if limited else "spikes"]),
            *limited,
            node("Sub", ["charged", "spikes"], ["next_potential"]),
        ]


class SignedBurst(Burst):
    """What signed neurons with memory share."""

    @property
    def states(self) -> tuple[str, ...]:
        return ("potential", "sent")

    def step(self, state: State, current: Tensor, t: int) -> tuple[State, Tensor]:
        potential, k = state[0] + current, self.levels
        spikes = torch.maximum(potential.floor().clamp(-k, k), 0 - state[1])  # not -sent: its zero would have a sign
        return (potential - spikes, state[1] + spikes), spikes

    def onnx_nodes(self) -> Sequence[onnx.NodeProto]:
        node = helper.make_node
        return [
            node("Add", ["potential", "current"], ["charged"]),
            constant("most", self.levels),
            constant("least", -self.levels),
            node("Floor", ["charged"], ["whole"]),
            node("Max", ["whole", "least"], ["over"]),
            node("Min", ["over", "most"], ["within"]),
            constant("zero", 0),
            node("Sub", ["zero", "sent"], ["all"]),
            node("Max", ["within", "all"], ["spikes"]),
            node("Sub", ["charged", "spikes"], ["next_potential"]),
            node("Add", ["sent", "spikes"], ["next_sent"]),
        ]


@NEURONS.register("if-signed")
@dataclass(frozen=True)
class Signed(SignedBurst):
    """An IAF neuron with spikes of -1, 0 and 1; -1 where the potential is under 0 and there is a spike to take back."""

    initial_potential: float = initial_potential()

    name = "if-signed"
    spikes: ClassVar[Literal["binary", "signed", "graded"]] = "signed"
    k = 1


@NEURONS.register("if-signed-multi")
@dataclass(frozen=True)
class SignedMultiSpike(SignedBurst):
    """An IAF neuron that sends, or takes back, up to ``k`` spikes a step."""

    k: int = parameter(15, "spikes a step", 1, 2**20)  # type: ignore[misc]
    initial_potential: float = initial_potential()

    name = "if-signed-multi"
    spikes: ClassVar[Literal["binary", "signed", "graded"]] = "graded"


@EXAMPLES.register("if-multi")
def multi_examples() -> Sequence[Neuron]:
    """Return neurons for the contract tests."""
    return [MultiSpike(), MultiSpike(2, 0.0), MultiSpike(None, 0.25)]


@EXAMPLES.register("if-signed")
def signed_examples() -> Sequence[Neuron]:
    """Return neurons for the contract tests."""
    return [Signed(), Signed(0.0)]


@EXAMPLES.register("if-signed-multi")
def signed_multi_examples() -> Sequence[Neuron]:
    """Return neurons for the contract tests."""
    return [SignedMultiSpike(), SignedMultiSpike(3, 0.25)]
