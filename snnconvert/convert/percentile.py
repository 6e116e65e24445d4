"""Percentile normalisation: a neuron saturates at a high percentile of its activation (Rueckauer et al. 2017).

The maximum (Diehl et al. 2015) is the percentile 100. A value a channel: Kim et al. 2020 (Spiking-YOLO).
"""

import numpy as np
from numpy.typing import NDArray

from snnconvert.calibrate import LayerStatistics
from snnconvert.convert.method import METHODS, Task, by_layer


@METHODS.register("percentile")
@by_layer
def percentile(task: Task, name: str, layer: LayerStatistics) -> NDArray[np.float64]:
    """Return the percentile of each channel, or of the layer."""
    return layer.percentile(task.percentile, task.nonzero)


@METHODS.register("max")
@by_layer
def maximum(task: Task, name: str, layer: LayerStatistics) -> NDArray[np.float64]:
    """Return the largest activation of each channel, or of the layer."""
    return layer.maximum
