"""Tells the input shape that samples suggest, for model files that do not tell their own."""

import numpy as np

from snnconvert.data.preprocessing import Preprocessing, is_channels_last
from snnconvert.data.samples import Dataset, open_dataset
from snnconvert.errors import DataError


def natural_shape(path: str, preprocessing: Preprocessing) -> tuple[int, ...]:
    """Return the shape that the first sample of a set has after preprocessing, as a network would take it.

    Images are (C, H, W): those of image files, of uint8 (H, W), and arrays whose last axis is 1 or 3 and whose first
    is not; grey ones have three channels where the preprocessing speaks of three. All else keeps its shape: features
    (F,), series (C, L), arrays that have their channels first. Images that cannot be read are passed over: whether
    they may be is asked when samples are chosen. Raises what opening the set, reading and preprocessing raise.
    """
    dataset = open_dataset(path)
    where, sample = _first(dataset)
    try:
        shape = _after(sample, preprocessing)
        preprocessing(sample, shape)
    except DataError as error:
        raise error.at(where) from error
    return shape


def _first(dataset: Dataset) -> tuple[str, np.ndarray]:
    broken: DataError | None = None
    for i in range(len(dataset)):
        try:
            return dataset.origin(i), dataset.sample(i)
        except DataError as error:
            broken = broken or error
    raise broken or DataError("E201", f"{dataset.path}: holds no samples")


def _after(sample: np.ndarray, preprocessing: Preprocessing) -> tuple[int, ...]:
    spatial = preprocessing.resize is not None or preprocessing.crop is not None
    shape = tuple(sample.shape)
    if len(shape) == 2 and (sample.dtype == np.uint8 or spatial):
        shape = (1, *shape)
    elif is_channels_last(shape):
        shape = (shape[2], *shape[:2])
    if len(shape) != 3:
        return shape or (1,)
    channels, height, width = shape
    if channels == 1 and (preprocessing.bgr or 3 in (len(preprocessing.mean), len(preprocessing.std))):
        channels = 3
    height, width = preprocessing.resized(height, width)
    return (channels, preprocessing.crop or height, preprocessing.crop or width)
