"""Calibration and evaluation sets: reading, preprocessing, sample ids, batches and the split.

`preprocessing`, `formats`, `recordings` and `samples` (in this order) are also written into the evaluator of every
bundle, byte for byte: they import nothing but the standard library, numpy, Pillow and tonic (late), each other and
`snnconvert.errors`.
"""

from snnconvert.data.contents import file_digest, samples_digest
from snnconvert.data.natural import natural_shape
from snnconvert.data.preprocessing import IMAGENET_PREPROCESSING, Preprocessing, layout
from snnconvert.data.ranges import range_warning, value_range
from snnconvert.data.samples import Dataset, batches, folder_of, open_dataset, sample_id, sample_ids
from snnconvert.data.selection import DECODING, Selection, select, shared
from snnconvert.data.split import split_half

__all__ = [
    "DECODING",
    "IMAGENET_PREPROCESSING",
    "Dataset",
    "Preprocessing",
    "Selection",
    "batches",
    "file_digest",
    "folder_of",
    "layout",
    "natural_shape",
    "open_dataset",
    "range_warning",
    "sample_id",
    "sample_ids",
    "samples_digest",
    "select",
    "shared",
    "split_half",
    "value_range",
]
