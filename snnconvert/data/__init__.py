"""Calibration and evaluation sets: reading, preprocessing, sample ids, batches and the split.

`preprocessing`, `formats` and `samples` (in this order) are also written into the evaluator of every bundle, byte for
byte: they import nothing but the standard library, numpy, Pillow (late), each other and `snnconvert.errors`.
"""

from snnconvert.data.formats import value_range
from snnconvert.data.preprocessing import IMAGENET_PREPROCESSING, Preprocessing, layout
from snnconvert.data.samples import Dataset, batches, folder_of, open_dataset, sample_id, sample_ids, split_half
from snnconvert.data.selection import Selection, select, shared

__all__ = [
    "IMAGENET_PREPROCESSING",
    "Dataset",
    "Preprocessing",
    "Selection",
    "batches",
    "folder_of",
    "layout",
    "open_dataset",
    "sample_id",
    "sample_ids",
    "select",
    "shared",
    "split_half",
    "value_range",
]
