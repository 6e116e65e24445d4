"""Accuracy, agreement, spikes, synaptic operations, energy, the error of each layer, and where it comes from."""

from snnconvert.measure.answers import Answers
from snnconvert.measure.curves import Nearness, add_bound
from snnconvert.measure.density import Density
from snnconvert.measure.diagnosis import Diagnosis
from snnconvert.measure.fan_out import packed, packed_numbers, unpacked
from snnconvert.measure.layers import LayerErrors
from snnconvert.measure.operations import ann_macs, first_layer_macs, graded_macs, step_work
from snnconvert.measure.outcomes import Outcomes, top1, wilson
from snnconvert.measure.trace import Trace, Traced, record, telling

__all__ = [
    "Answers",
    "Density",
    "Diagnosis",
    "LayerErrors",
    "Nearness",
    "Outcomes",
    "Trace",
    "Traced",
    "add_bound",
    "ann_macs",
    "first_layer_macs",
    "graded_macs",
    "packed",
    "packed_numbers",
    "record",
    "step_work",
    "telling",
    "top1",
    "unpacked",
    "wilson",
]
