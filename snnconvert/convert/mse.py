"""The saturation with the least squared error of what neurons can say in the time that they have (Li et al. 2021).

With L levels the neuron says ``q(a) = c/L clip(round(a L/c), 0, L)``; c minimises the sum of ``(q(a) - a)^2`` over all
activations of a channel: less of them are clipped where L is large, and the levels lie closer where it is small. The
sum is taken over the bins of the histogram, whose middles stand for their contents (relative error at most 1/256).
"""

import numpy as np
from numpy.typing import NDArray

from snnconvert.calibrate import LayerStatistics
from snnconvert.convert.method import METHODS, Task, by_layer

FRACTIONS = np.arange(0.01, 1.2, 0.01)  # of the maximum, that are tried


@METHODS.register("mse")
@by_layer
def mse(task: Task, name: str, layer: LayerStatistics) -> NDArray[np.float64]:
    """Return the best of 119 fractions of the maximum, per channel or layer."""
    levels, middles = task.levels(name), layer.histogram.middles
    counts, maximum = layer.histogram.counts, layer.maximum
    best = np.array(maximum)
    for channel, largest in enumerate(maximum):
        filled = np.flatnonzero(counts[channel])
        if not len(filled):
            continue
        a, n = middles[channel][filled], counts[channel][filled]
        clips = (FRACTIONS * largest)[:, None]
        said = clips / levels * np.clip(np.rint(a * (levels / clips)), 0, levels)
        best[channel] = clips[int((n * (said - a) ** 2).sum(1).argmin()), 0]
    return best
