"""Passes: one graph in, an equivalent graph out, and the proof of it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from snnconvert.errors import InternalError
from snnconvert.graph.graph import Graph

ROUNDS = 100
PROBE, PROBE_ELEMENTS, PROBE_WORK = 8, 2**26, 2**35  # samples to compare stages on, of large networks fewer


@dataclass(frozen=True)
class Equivalence:
    """A measured comparison of two stages: the largest difference, relative to the largest output."""

    stage: str
    compared: str
    max_error: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within its limit (never for NaN)."""
        return self.max_error <= self.limit

    def require(self) -> "Equivalence":
        """Return itself, or raise InternalError: one of our own guarantees does not hold."""
        if not self.holds:
            raise InternalError(
                "E910",
                f"{self.stage} differs from {self.compared} by {self.max_error:.2e} of the output, "
                f"more than {self.limit:.0e}",
                "this is a bug in snnconvert: please report it with the model",
            )
        return self


def relative_error(got: Tensor, expected: Tensor) -> float:
    """Largest absolute difference over the largest absolute expected value (NaN where either has one)."""
    if got.shape != expected.shape:
        return math.inf
    scale = float(expected.abs().max())
    error = float((got.double() - expected.double()).abs().max())
    return error / scale if scale > 0 else error


def probe_samples(graph: Graph) -> int:
    """Return how many samples the stages of a network are compared on."""
    largest = max(math.prod(shape) for shape in graph.shapes.values())
    return max(1, min(PROBE, PROBE_ELEMENTS // largest, PROBE_WORK // max(graph.work, 1)))


class Pass(ABC):
    """A rewriting of the graph that keeps the function. The first line of its docstring says what it does.

    Rules for authors: work by data flow, never by order of definition; decline where exactness is not certain.
    """

    name: ClassVar[str]

    @abstractmethod
    def run(self, graph: Graph) -> Graph:
        """Return the rewritten graph, or the same one."""


def apply_passes(
    graph: Graph, passes: Sequence[Pass], probe: Tensor, limit: float = 1e-4
) -> tuple[Graph, list[Equivalence]]:
    """Run the passes in order until none changes anything; each must leave the function as it was on the probe.

    ``probe`` is a batch ``(N, ...)``; of a pass that ran more than once, the largest difference is returned.

    Raises:
        InternalError: a pass changed the function (E910), or they never end (E912).
    """
    checks: dict[str, Equivalence] = {}
    with torch.no_grad():
        expected = graph.run(probe)
        for _ in range(ROUNDS):
            before = graph
            for each in passes:
                changed = each.run(graph)
                if changed is graph:
                    continue
                error = relative_error(changed.run(probe), expected)
                if each.name in checks:
                    error = max(error, checks[each.name].max_error)
                checks[each.name] = Equivalence(each.name, "loaded network", error, limit).require()
                graph = changed
            if graph is before:
                return graph, list(checks.values())
    raise InternalError("E912", f"the passes do not come to rest within {ROUNDS} rounds")
