"""How near a network comes to its ANN behind so many steps: the quality that the three curves of a report show.

Of classes it is the agreement, the share of samples on which both choose the same; of dense outputs ``max(0, 1 - e)``,
with e the relative L2 distance of the outputs.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from snnconvert.graph import Graph
from snnconvert.measure.bound import bounded, reaches
from snnconvert.measure.outcomes import top1
from snnconvert.measure.totals import squared
from snnconvert.network import SpikingNetwork


class Nearness:
    """Sums over samples, at each of some numbers of steps; ``classes``: whether the outputs stand for classes.

    ``binary``: one output tells two of them.
    """

    def __init__(self, steps: Sequence[int], classes: bool, binary: bool = False) -> None:
        self.classes, self.binary = classes, binary
        self._same = dict.fromkeys(steps, 0)
        self._distance = dict.fromkeys(steps, 0.0)
        self._compared = dict.fromkeys(steps, 0)
        self._norm = dict.fromkeys(steps, 0.0)

    def add(self, t: int, output: Tensor, expected: Tensor) -> None:
        """Take the outputs ``(N, ...)`` behind ``t`` steps, and those of the ANN."""
        self._compared[t] += len(expected)
        if self.classes:
            chosen, right = (top1(each.cpu().numpy(), self.binary) for each in (output, expected))
            self._same[t] += int((chosen == right).sum())
        else:
            self._distance[t] += squared(output - expected)
            self._norm[t] += squared(expected)

    @property
    def curve(self) -> list[float | None]:
        """The quality at each of the steps, as a fraction; None where nothing was compared."""
        return [self._quality(t) for t in self._same]

    def _quality(self, t: int) -> float | None:
        if self.classes:
            return self._same[t] / self._compared[t] if self._compared[t] else None
        error = math.sqrt(self._distance[t] / self._norm[t]) if self._norm[t] else math.nan
        return max(0.0, 1 - error) if math.isfinite(error) else None


def add_bound(
    curve: Nearness, network: SpikingNetwork, normal: Graph, x: Tensor, expected: Tensor, steps: Sequence[int]
) -> None:
    """Add to a curve what the network could answer at best, see bound.py, beside the ANN's outputs ``expected``."""
    with torch.no_grad():
        for t in steps:
            curve.add(t, bounded(normal, x, reaches(network, t)), expected)
