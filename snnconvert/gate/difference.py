"""A drop of accuracy with its uncertainty, and what may be said of it.

Everything is a fraction of the samples here; a drop is positive where the new network is worse.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from statistics import NormalDist

POWER = 0.8  # chance with which a number of samples is meant to decide
ROUNDING = 1e-12  # a drop is on the margin where it is nearer to it than this


class Verdict(IntEnum):
    """What a check comes to; the worst of several is the largest."""

    PASS = 0
    INCONCLUSIVE = 1
    FAIL = 2


def normal_quantile(probability: float) -> float:
    """Return the quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(probability)


@dataclass(frozen=True)
class Difference:
    """How much was lost on ``n`` samples: the estimate, and its limits at one-sided level ``alpha`` each.

    ``variance`` is that of one sample's share in the drop: ``variance / n`` is the variance of ``drop``. ``p`` is the
    one-sided probability of so large a drop where nothing was lost.
    """

    n: int
    drop: float
    low: float
    high: float
    p: float
    variance: float
    alpha: float

    def decide(self, margin: float, p: float | None = None) -> Verdict:
        """Say whether less than ``margin`` was lost; ``p`` is :attr:`p` after a correction for several tests.

        PASS is proof that the drop lies under the margin; FAIL says that the drop is over the margin as measured, and
        no accident. What was measured may well be under the margin without either.
        """
        if self.high < margin:
            return Verdict.PASS
        certain = self.low > 0 and (self.p if p is None else p) < self.alpha
        return Verdict.FAIL if self.drop > margin + ROUNDING and certain else Verdict.INCONCLUSIVE

    def needed(self, margin: float) -> int | None:
        """Return how many samples would decide, with a chance of :data:`POWER`, were the true drop the measured one.

        None where the drop lies on the margin itself: no number decides then.
        """
        side, power = normal_quantile(1 - self.alpha), normal_quantile(POWER)
        gap = margin - self.drop
        if abs(gap) <= ROUNDING:
            return None
        if gap > 0:
            enough = max(self.variance * ((side + power) / gap) ** 2, side**2 * (1 - margin) / margin)
        else:
            enough = self.variance * max((side + power) / self.drop, power / -gap) ** 2
        return max(math.ceil(enough), self.n + 1)

    @property
    def detectable(self) -> float:
        """Return the smallest true drop that is told from none with a chance of :data:`POWER`."""
        return (normal_quantile(1 - self.alpha) + normal_quantile(POWER)) * math.sqrt(self.variance / self.n)


def holm(p: list[float]) -> list[float]:
    """Return probabilities corrected for being several, in the same order (Holm 1979)."""
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted
