"""Activation statistics as plain arrays and back, exactly: what calibration counted outlives the process."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnconvert.calibrate.histogram import BINS, LogHistogram
from snnconvert.calibrate.statistics import ActivationStatistics, LayerStatistics, channel_axes
from snnconvert.graph import Graph

Arrays = dict[str, NDArray[Any]]


def to_arrays(statistics: ActivationStatistics) -> Arrays:
    """Return all counts, bins without any left out; layers in their order."""
    arrays: Arrays = {
        "names": np.array([*statistics.layers]),
        "samples": np.array(statistics.samples),
        "per_channel": np.array(statistics.per_channel),
    }
    for index, layer in enumerate(statistics.layers.values()):
        counts = layer.histogram.counts.reshape(-1)
        where = np.flatnonzero(counts)
        arrays |= {
            f"{index}.where": where,
            f"{index}.counts": counts[where],
            f"{index}.zeros": layer.histogram.zeros,
            f"{index}.largest": layer.histogram.maximum.view(np.int32),
        }
    return arrays


def from_arrays(arrays: Mapping[str, NDArray[Any]], graph: Graph, per_channel: bool) -> ActivationStatistics | None:
    """Return the statistics; None where they are not those of this network."""
    names = [node.name for node in graph.activations]
    if arrays["names"].tolist() != names or bool(arrays["per_channel"]) != per_channel:
        return None
    axes, layers = channel_axes(graph), {}
    for index, name in enumerate(names):
        shape, axis = graph.shapes[name], axes[name]
        channels = shape[axis] if per_channel else 1
        if len(arrays[f"{index}.zeros"]) != channels:
            return None
        counts = np.zeros(channels * BINS, np.int64)
        counts[arrays[f"{index}.where"]] = arrays[f"{index}.counts"]
        histogram = LogHistogram.of(
            counts.reshape(channels, BINS), arrays[f"{index}.zeros"], arrays[f"{index}.largest"]
        )
        layers[name] = LayerStatistics(axis, len(shape), histogram)
    return ActivationStatistics(layers, int(arrays["samples"]), per_channel)
