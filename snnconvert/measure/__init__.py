"""Accuracy, agreement, spikes, synaptic operations, energy, and the error of each layer."""

from snnconvert.measure.fan_out import packed, packed_numbers, unpacked
from snnconvert.measure.layers import LayerErrors
from snnconvert.measure.operations import ann_macs, first_layer_macs, graded_macs
from snnconvert.measure.outcomes import Outcomes, top1, wilson

__all__ = [
    "LayerErrors",
    "Outcomes",
    "ann_macs",
    "first_layer_macs",
    "graded_macs",
    "packed",
    "packed_numbers",
    "top1",
    "unpacked",
    "wilson",
]
