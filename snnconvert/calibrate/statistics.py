"""What calibration knows of every activation: maximum, percentiles, share of zeros."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.calibrate.histogram import LogHistogram
from snnconvert.graph import Graph, Node, Shape, scale_of
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.reshape import Reshape, Transpose
from snnconvert.operators.transposed_convolution import TransposedConvolution


def channel_axes(graph: Graph) -> dict[str, int]:
    """Return, for every value, the axis of a sample along which it has its channels.

    It is the first axis behind a convolution, the last one behind a linear layer, and moves with transposes and
    reshapes.
    """
    axes = {graph.input: 0}
    for node in graph.nodes:
        if isinstance(node.operator, Linear):
            axes[node.name] = len(graph.shapes[node.name]) - 1
        elif isinstance(node.operator, Convolution | TransposedConvolution):
            axes[node.name] = 0
        else:
            value = node.inputs[0]
            axes[node.name] = _moved_axis(axes[value], node, graph.shapes[value], graph.shapes[node.name])
    return axes


def _moved_axis(axis: int, node: Node, before: Shape, after: Shape) -> int:
    """Return where an axis of a node's input is in its output; the first axis where it is no longer there."""
    if isinstance(node.operator, Transpose):
        return node.operator.order.index(axis)
    if len(before) == len(after) and not isinstance(node.operator, Reshape):
        return axis
    elements = math.prod(before[:axis])
    kept = (each for each, size in enumerate(after) if size == before[axis] and math.prod(after[:each]) == elements)
    return next(kept, 0)


def random_scales(graph: Graph, per_channel: bool) -> dict[str, Tensor]:
    """Return a scale between 1/2 and 3/2 for every activation: what cannot be normalised by these cannot be by any."""
    make = torch.Generator().manual_seed(0)
    axes, scales = channel_axes(graph), {}
    for node in graph.activations:
        shape, axis = graph.shapes[node.name], axes[node.name]
        values = torch.rand(shape[axis] if per_channel else 1, generator=make, dtype=torch.float64) + 0.5
        scales[node.name] = scale_of(values, axis, len(shape))
    return scales


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of one activation: one histogram a channel, or one for all of it."""

    axis: int
    rank: int
    histogram: LogHistogram

    def percentile(self, percent: float, nonzero: bool) -> NDArray[np.float64]:
        """Percentile per channel, or of the layer ``(1,)``."""
        return self.histogram.percentile(percent, nonzero)

    @cached_property
    def whole(self) -> "LayerStatistics":
        """The statistics of the whole layer, also where the histograms are one a channel."""
        return LayerStatistics(self.axis, self.rank, self.histogram.pooled())

    @property
    def maximum(self) -> NDArray[np.float64]:
        """Exact maximum per channel, or of the layer."""
        return self.histogram.maximum.astype(np.float64)

    @property
    def zeros(self) -> float:
        """Share of activations that are zero."""
        nothing = int(self.histogram.zeros.sum())
        return nothing / (nothing + int(self.histogram.counts.sum()))


@dataclass(frozen=True)
class ActivationStatistics:
    """Statistics of every activation, by node name."""

    layers: Mapping[str, LayerStatistics]
    samples: int
    per_channel: bool
