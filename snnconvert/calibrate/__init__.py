"""From samples to activation statistics: exact maxima and percentiles with a stated error, in bounded memory."""

from snnconvert.calibrate.arrays import from_arrays, to_arrays
from snnconvert.calibrate.collect import collect
from snnconvert.calibrate.histogram import RELATIVE_ERROR, LogHistogram
from snnconvert.calibrate.statistics import ActivationStatistics, LayerStatistics, channel_axes, random_scales

__all__ = [
    "RELATIVE_ERROR",
    "ActivationStatistics",
    "LayerStatistics",
    "LogHistogram",
    "channel_axes",
    "collect",
    "from_arrays",
    "random_scales",
    "to_arrays",
]
