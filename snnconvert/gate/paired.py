"""The drop of accuracy from one network to another on the same samples: Tango's score interval.

Of n samples, ``worse`` were right before and are wrong now, ``better`` the other way round; the others tell nothing of
the drop D = (worse - better) / n. Under the hypothesis D = d the likelihood is largest where the share q of ``better``
is the positive root of

    2n q^2 + ((2n - worse + better) d - worse - better) q - better d (1 - d) = 0,

and the score statistic

    T(d) = (worse - better - n d) / sqrt(n (2q + d (1 - d)))

is near to normal. It falls with d, so that the limits of D are where T = +z and T = -z.

Source: T. Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample
design, Statistics in Medicine 17 (1998) 891-908. T(0) is McNemar's statistic.
"""

import math
from statistics import NormalDist

from snnconvert.gate.difference import Difference, normal_quantile

_HALVINGS = 60  # of an interval of length 2: to 2e-18


def paired(worse: int, better: int, n: int, alpha: float) -> Difference:
    """Return the drop with limits at one-sided level ``alpha``; ``worse + better <= n``, ``n > 0``."""
    drop, changed = (worse - better) / n, worse + better
    z = normal_quantile(1 - alpha)
    low = _where_score_is(z, worse, better, n, -1.0, drop)
    high = _where_score_is(-z, worse, better, n, drop, 1.0)
    mcnemar = (worse - better) / math.sqrt(changed) if changed else 0.0
    return Difference(n, drop, low, high, NormalDist().cdf(-mcnemar), changed / n - drop**2, alpha)


def score(d: float, worse: int, better: int, n: int) -> float:
    """Return T(d), -1 <= d <= 1; 0 where the counts are exactly what ``d`` says."""
    distance = worse - better - n * d
    if distance == 0:
        return 0.0
    linear, constant = (2 * n - worse + better) * d - worse - better, better * d * (1 - d)
    root = math.sqrt(max(linear**2 + 8 * n * constant, 0.0))
    # of two equal forms of the root, the one that subtracts nothing
    q = (root - linear) / (4 * n) if linear <= 0 else 2 * constant / (root + linear)
    variance = n * (2 * q + d * (1 - d))
    return math.copysign(math.inf, distance) if variance <= 0 else distance / math.sqrt(variance)


def _where_score_is(value: float, worse: int, better: int, n: int, left: float, right: float) -> float:
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        if score(middle, worse, better, n) > value:
            left = middle
        else:
            right = middle
    return (left + right) / 2
