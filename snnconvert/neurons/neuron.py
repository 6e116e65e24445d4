"""What a neuron model is: a state, a step, and the rate that the steps tend to."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import onnx
from torch import Tensor

from snnconvert.registry import Registry

DOMAIN = "snnconvert"  # of the ONNX functions


class Neuron(ABC):
    """A layer of neurons that share their parameters; potentials in thresholds, time in steps, rates in spikes a step.

    Subclasses are frozen dataclasses. The state is one tensor of the layer's shape.
    """

    name: ClassVar[str]

    @abstractmethod
    def initial_state(self, like: Tensor) -> Tensor:
        """Return the state before the first step, of the shape, type and device of ``like``."""

    @abstractmethod
    def step(self, state: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step: return the new state and the spikes (0 or 1), without changing the arguments."""

    @abstractmethod
    def rate(self, current: Tensor) -> Tensor:
        """Return the spikes a step, for ever, under a constant current."""

    @abstractmethod
    def onnx_function(self) -> onnx.FunctionProto:
        """Return the step as an ONNX function ``(current, state) -> (spikes, next)`` of the domain DOMAIN."""

    @property
    @abstractmethod
    def initial_value(self) -> float:
        """The initial state as one number, for those who simulate the exported network."""


NEURONS: Registry[Callable[..., Neuron]] = Registry("neuron")
EXAMPLES: Registry[Callable[[], Sequence[Neuron]]] = Registry("neuron examples")
