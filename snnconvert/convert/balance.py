"""Local threshold balancing (Bu et al. 2025): a saturation that grows with what lies above it.

From 0 on, ``c <- c + 2 eta E[max(a - c, 0)]``, 1,000 times with eta = 1. The original takes the mean of one batch after
the other, so that its result depends on their order; here it is the mean over all samples, from the histogram, so that
it does not. Activations are those of the ANN: the original clips the layers below while it learns. There is no term
that makes c fall, so that the number of turns is a hidden percentile: it is the original's.
"""

import numpy as np
from numpy.typing import NDArray

from snnconvert.calibrate import LayerStatistics
from snnconvert.convert.method import METHODS, Task, by_layer

TURNS, ETA = 1000, 1.0


@METHODS.register("balance")
@by_layer
def balance(task: Task, name: str, layer: LayerStatistics) -> NDArray[np.float64]:
    """Return the balanced saturation of each channel, or of the layer."""
    histogram = layer.histogram
    counts = histogram.counts.astype(np.float64)
    total = counts.sum(1) + histogram.zeros
    middles = histogram.middles
    # sums over all bins from one on: what lies above c is then a difference
    above, weight = _from_right(counts), _from_right(counts * middles)
    clips, rows = np.zeros(len(counts)), np.arange(len(counts))
    for _ in range(TURNS):
        index = np.array([np.searchsorted(middles[row], clips[row], side="right") for row in rows])
        clips = clips + 2 * ETA * (weight[rows, index] - clips * above[rows, index]) / total
    return np.minimum(clips, layer.maximum)


def _from_right(values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.cumsum(values[:, ::-1], 1)[:, ::-1]
    return np.concatenate([sums, np.zeros((len(values), 1))], 1)
