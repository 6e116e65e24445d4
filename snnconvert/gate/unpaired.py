"""The drop of accuracy where only the counts of both networks are known: Newcombe's hybrid score interval.

That the samples are the same cannot be used then, so the limits are wider than those of :mod:`snnconvert.gate.paired`.

Source: R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine
17 (1998) 873-890, method 10.
"""

import math
from statistics import NormalDist

from snnconvert.gate.difference import Difference, normal_quantile


def unpaired(before: int, after: int, n: int, alpha: float) -> Difference:
    """Return the drop from ``before`` to ``after`` right answers of ``n``, with limits at one-sided ``alpha``."""
    from snnconvert.measure.outcomes import wilson  # late: its package needs torch

    old, new = before / n, after / n
    z = normal_quantile(1 - alpha)
    (old_low, old_high), (new_low, new_high) = wilson(before, n, z), wilson(after, n, z)
    low = old - new - math.hypot(old - old_low, new_high - new)
    high = old - new + math.hypot(old_high - old, new - new_low)
    pooled = (before + after) / (2 * n)
    spread = math.sqrt(2 * pooled * (1 - pooled) / n)
    p = NormalDist().cdf((new - old) / spread) if spread else 0.5
    return Difference(n, old - new, low, high, p, old * (1 - old) + new * (1 - new), alpha)
