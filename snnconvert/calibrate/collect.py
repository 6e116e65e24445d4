"""Runs the calibration set through the folded network and counts every activation."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.calibrate.histogram import LogHistogram
from snnconvert.calibrate.statistics import ActivationStatistics, LayerStatistics, channel_axes
from snnconvert.errors import DataError, ModelError
from snnconvert.graph import Graph, Node, Role


def channels_last(tensor: Tensor) -> Tensor:
    """Lay images and kernels out with their channels last: the faster order on CPUs; other tensors stay."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def collect(
    graph: Graph, batches: Iterable[NDArray[np.float32]], per_channel: bool, device: torch.device
) -> ActivationStatistics:
    """Count every activation of every sample ``(N, ...)``; memory does not grow with the number of samples.

    Raises:
        DataError: no sample at all (E201).
        ModelError: an activation is NaN or infinite (E117).
    """
    prepared = graph.mapped(lambda tensor: channels_last(tensor.to(device)))
    axes, layers = channel_axes(graph), {}
    for node in graph.activations:
        shape, axis = graph.shapes[node.name], axes[node.name]
        layers[node.name] = LayerStatistics(axis, len(shape), LogHistogram(shape[axis] if per_channel else 1))

    def observe(node: Node, output: Tensor) -> None:
        if node.operator.role is Role.ACTIVATION:
            layer = layers[node.name]
            rows = output.movedim(layer.axis + 1, -1).contiguous().cpu().numpy()
            layer.histogram.add(rows.reshape(-1, layer.histogram.channels))

    samples = 0
    with torch.no_grad():
        for batch in batches:
            prepared.run(channels_last(torch.from_numpy(batch).to(device)), observe)
            samples += len(batch)
    if samples == 0:
        raise DataError("E201", "the calibration set holds no sample")
    for name, layer in layers.items():
        if not bool(np.isfinite(layer.histogram.maximum).all()):
            raise ModelError(
                "E117",
                f"node '{name}': an activation is NaN or infinite on the calibration set",
                "are the samples scaled as in training? if so, the network itself overflows",
            )
    return ActivationStatistics(layers, samples, per_channel)
