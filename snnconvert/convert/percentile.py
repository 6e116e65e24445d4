"""Percentile normalisation: the scale of an activation is a high percentile of it (Rueckauer et al. 2017).

The maximum (Diehl et al. 2015) is the percentile 100. A scale a channel: Kim et al. 2020 (Spiking-YOLO).
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from snnconvert.calibrate import ActivationStatistics
from snnconvert.graph import scale_of

FLOOR = 1e-3  # of the layer's maximum: a channel that hardly ever speaks must not be blown up without bound


def percentile_scales(
    statistics: ActivationStatistics, percent: float, nonzero: bool
) -> tuple[Mapping[str, Tensor], list[str]]:
    """Return the scale of every activation, and the names of those that are zero on every sample.

    No scale is under 1e-3 of its layer's maximum; a dead channel takes the layer's scale, a dead layer the scale 1.
    """
    scales, dead = {}, []
    for name, layer in statistics.layers.items():
        maximum = float(layer.maximum.max())
        if maximum <= 0:
            dead.append(name)
            scales[name] = scale_of(torch.ones(1), layer.axis, layer.rank)
            continue
        values = layer.percentile(percent, nonzero)
        whole = layer.layer_percentile(percent, nonzero)
        values = np.where(layer.maximum > 0, values, whole)
        scales[name] = scale_of(torch.from_numpy(np.maximum(values, FLOOR * maximum)), layer.axis, layer.rank)
    return scales, dead
