"""What a neuron model is: a state, a step, and the rate that the steps tend to."""

import dataclasses
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import onnx
import torch
from onnx import helper
from torch import Tensor

from snnconvert.errors import UsageError
from snnconvert.neurons.events import Cost, event_count
from snnconvert.registry import Registry, did_you_mean

DOMAIN = "snnconvert"  # of the ONNX functions
State = tuple[Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Range:
    """What a parameter may be: finite, and within ends that are allowed unless open; ``unit`` is told to users."""

    unit: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        finite = abs(value) <= sys.float_info.max  # false for nan too, and exact for whole numbers of any size
        return finite and above and (value < self.high if self.high_open else value <= self.high)

    def __str__(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'over' if self.low_open else 'at least'} {_short(self.low)}")
        if self.high < math.inf:
            parts.append(f"{'under' if self.high_open else 'at most'} {_short(self.high)}")
        return f"{' and '.join(parts) or 'a finite number'} ({self.unit})"


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def parameter(default: Any, unit: str, low: float = -math.inf, high: float = math.inf, open_ends: str = "") -> Any:
    """Declare a parameter of a neuron; ``open_ends`` names the ends ("low", "high") that are not allowed themselves."""
    limits = Range(unit, low, high, "low" in open_ends, "high" in open_ends)
    return dataclasses.field(default=default, metadata={"range": limits})


def initial_potential() -> Any:
    """Declare the potential before the first step."""
    return parameter(0.5, "thresholds", 0, 1, "high")


@dataclasses.dataclass(frozen=True)
class Neuron(ABC):
    """A layer of neurons that share their parameters; potentials in thresholds, time in steps, rates in spikes a step.

    Subclasses are frozen dataclasses; their fields are the parameters. The state is a tuple of tensors of the layer's
    shape, named by ``states``; the first is the membrane potential.
    """

    name: ClassVar[str]
    spikes: ClassVar[Literal["binary", "signed", "graded"]] = "binary"  # what hardware must be able to send
    decodes: ClassVar[bool] = False  # synapses see the decoded rate so far, not the spikes of the step
    cost: ClassVar[Cost] = "absolute"  # how many events carry a spike

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            limits, value = each.metadata.get("range"), getattr(self, each.name)
            if limits is None or (value is None and "None" in str(each.type)):
                continue
            whole = isinstance(each.default, int)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or value not in limits:
                raise refusal(each.name, str(limits), value)

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the state's tensors."""
        return ("potential",)

    @property
    def keeps_charge(self) -> bool:
        """Whether what was sent and what is left is what came in, so that silence delays, and loses nothing."""
        return True

    @property
    def saturates(self) -> bool:
        """Whether a step sends ``most`` at most, so that a ceiling (ReLU6) is kept by a scale that is low enough."""
        return True

    @property
    def drain(self) -> float:
        """What a step in which the neuron may not fire takes from its potential, beside the current."""
        return 0.0

    def initial_state(self, like: Tensor) -> State:
        """Return the state before the first step, of the shape, type and device of ``like``."""
        return tuple(torch.full_like(like, value) for value in self.initial_values)

    @property
    def initial_values(self) -> tuple[float, ...]:
        """The initial states as one number each, for those who simulate the exported network."""
        return (getattr(self, "initial_potential", 0.0), *[0.0] * (len(self.states) - 1))

    @property
    def most(self) -> float:
        """The largest spike that one step can send, in thresholds."""
        return 1.0

    @property
    def levels(self) -> int:
        """How many values over zero one step tells apart."""
        return 1

    @property
    def bits(self) -> int:
        """How many powers of two a spike is made of."""
        return 1

    @abstractmethod
    def step(self, state: State, current: Tensor, t: int) -> tuple[State, Tensor]:
        """Take step ``t`` (from 0): return the new state and the spikes, without changing the arguments."""

    def silent(self, state: State, current: Tensor) -> State:
        """Take a step in which the neuron may not fire: it gathers its current (neurons that keep their charge)."""
        return (state[0] + current, *state[1:])

    def reached(self, state: State, current: Tensor, t: int) -> Tensor:
        """Return the potential that step ``t`` compares with the threshold."""
        return self.silent(state, current)[0]

    def sent(self, state: State, spikes: Tensor) -> Tensor:
        """Return what synapses see behind a step: the spikes, or what they decode to."""
        return spikes

    def events(self, spikes: Tensor) -> Tensor:
        """Return how many events carry these spikes: each costs one synaptic operation a connection."""
        return spikes if self.spikes == "binary" else event_count(spikes, self.cost, self.bits)

    @abstractmethod
    def rate(self, current: Tensor) -> Tensor:
        """Return the spikes a step, for ever, under a constant current."""

    @abstractmethod
    def onnx_nodes(self) -> Sequence[onnx.NodeProto]:
        """Return the step as ONNX nodes, from ``current``, the names of ``states`` and ``time`` (float, from 1) to
        ``spikes`` and ``next_<state>``.
        """

    def onnx_function(self) -> onnx.FunctionProto:
        """Return the step as an ONNX function ``(current, time, states...) -> (spikes, next states...)``."""
        numbers = "_".join(
            str(getattr(self, each.name)).replace(".", "p").replace("-", "m").replace("+", "")
            for each in dataclasses.fields(self)
            if each.name != "initial_potential"
        )
        return helper.make_function(
            DOMAIN,
            f"{type(self).__name__}_{numbers}".rstrip("_"),
            ["current", "time", *self.states],
            ["spikes", *(f"next_{name}" for name in self.states)],
            list(self.onnx_nodes()),
            [helper.make_opsetid("", 18)],
        )


def refusal(parameter: str, expected: str, got: object) -> UsageError:
    """Return the error for a parameter's value (E003), under the name that users give the parameter."""
    option = "--initial-potential" if parameter == "initial_potential" else f"neuron.{parameter}"
    shown = f"{got:g}" if isinstance(got, float) else repr(got)
    return UsageError("E003", f"{option}: expected {expected}, got {shown[:80]}")


def constant(name: str, value: float) -> onnx.NodeProto:
    """Write a number of a function."""
    return helper.make_node("Constant", [], [name], value_float=float(value))


NEURONS: Registry[Callable[..., Neuron]] = Registry("neuron")
EXAMPLES: Registry[Callable[[], Sequence[Neuron]]] = Registry("neuron examples")


def make_neuron(name: str, parameters: Mapping[str, object]) -> Neuron:
    """Build a neuron from parameters as users write them.

    Raises:
        UsageError: no such neuron, parameter (E003) or value.
    """
    model = NEURONS[name]
    fields = {each.name: each for each in dataclasses.fields(model)}  # type: ignore[arg-type]
    for given in parameters:
        if given not in fields:
            hint = did_you_mean(given, list(fields))
            raise UsageError("E003", f"neuron.{given}: the neuron '{name}' has no such parameter", hint)
    try:
        return model(**parameters)
    except TypeError as problem:
        raise UsageError("E003", f"neuron '{name}': {problem}") from None
