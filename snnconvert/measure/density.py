"""How the rates of a layer lie over the activations they stand for: a histogram of pairs, and their correlation."""

import math

import torch
from torch import Tensor

from snnconvert.measure.totals import total

BINS = 40  # as many a unit as T = 32 has levels
MOST = 1.25  # activations and rates, in units of the scale, that are told apart; larger ones count at the edge


class Density:
    """Pairs of (activation, rate) of a layer, in units of its scale, but those that are both 0."""

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS, BINS, dtype=torch.int64)  # by activation, by rate
        self._sums = torch.zeros(6, dtype=torch.float64)  # of 1, a, r, a a, r r, a r, over all pairs

    def add(self, activations: Tensor, rates: Tensor) -> None:
        """Take the activations and rates of a batch."""
        a, r = activations.flatten(), rates.flatten().to(activations)
        there = (a != 0) | (r != 0)
        places = [(each[there] * (BINS / MOST)).long().clamp(0, BINS - 1) for each in (a, r)]
        found = torch.bincount(places[0] * BINS + places[1], minlength=BINS * BINS)
        self.counts += found.reshape(BINS, BINS).cpu()
        a, r = a.double(), r.double()
        sums = [total(each) for each in (a, r, a * a, r * r, a * r)]
        self._sums += torch.tensor([len(a), *sums], dtype=torch.float64)

    @property
    def correlation(self) -> float | None:
        """Pearson's correlation of all pairs; None where one of the two does not vary."""
        n, a, r, aa, rr, ar = self._sums.tolist()
        if not n or not math.isfinite(aa + rr):
            return None
        over = (aa - a * a / n) * (rr - r * r / n)
        return max(-1.0, min(1.0, (ar - a * r / n) / math.sqrt(over))) if over > 0 else None
