"""What a conversion method is: from what calibration knows of a network to the level at which each neuron saturates."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.calibrate import ActivationStatistics, LayerStatistics
from snnconvert.graph import Graph, scale_of
from snnconvert.network import Schedule
from snnconvert.neurons import Neuron
from snnconvert.operators.activation import ceiling_of
from snnconvert.registry import Registry

FLOOR = 1e-3  # of the layer's maximum: a channel that hardly ever speaks must not be blown up without bound


@dataclass(frozen=True)
class Task:
    """What methods choose from: the folded network, its statistics, the neurons and when they fire.

    ``depths`` are those of the activations; ``batches`` presents the calibration samples ``(N, ...)`` once more.
    """

    graph: Graph
    statistics: ActivationStatistics
    neuron: Neuron
    schedule: Schedule
    depths: Mapping[str, int]
    percentile: float
    nonzero: bool
    batches: Callable[[], Iterable[NDArray[np.float32]]]

    def levels(self, name: str) -> int:
        """Return how many values over zero the neurons of an activation tell apart in the time that they have."""
        return self.neuron.levels * self.schedule.firing_steps(self.depths[name])

    def scale(self, name: str, clip: Tensor) -> Tensor:
        """Return the activation of one spike a step, where ``clip`` is that of a neuron that sends all it can."""
        schedule = self.schedule
        share = schedule.firing_steps(self.depths[name]) / schedule.counted
        return clip / (self.neuron.most * min(share, 1.0))

    def under_ceiling(self, name: str, scale: Tensor) -> Tensor:
        """Return the scale, or where the activation is clipped (ReLU6) that at which a neuron saturates there.

        The ceiling itself is not simulated: with a larger scale neurons would send more than it allows.
        """
        ceiling = ceiling_of(self.graph.by_name[name])
        return scale if ceiling is None else torch.minimum(scale, self.scale(name, ceiling.double()))


Clip = Callable[[Task, str, LayerStatistics], NDArray[np.float64]]
Method = Callable[[Task], Mapping[str, Tensor]]
METHODS: Registry[Method] = Registry("method")


def by_layer(clip: Clip) -> Method:
    """Return the method that takes the saturation of every channel, or layer, from its own statistics.

    No value is under 1e-3 of its layer's maximum; a dead channel takes the value of the layer, a dead layer 1.
    """

    def method(task: Task) -> Mapping[str, Tensor]:
        scales = {}
        for name, layer in task.statistics.layers.items():
            maximum = float(layer.maximum.max())
            if maximum <= 0:
                values = np.ones(1)
            else:
                values = clip(task, name, layer)
                if len(values) > 1:
                    values = np.where(layer.maximum > 0, values, clip(task, name, layer.whole)[0])
                values = np.maximum(values, FLOOR * maximum)
            scales[name] = task.scale(name, scale_of(torch.from_numpy(values), layer.axis, layer.rank))
        return scales

    return method


def dead_layers(statistics: ActivationStatistics) -> list[str]:
    """Return the names of the activations that are zero on every sample."""
    return [name for name, layer in statistics.layers.items() if float(layer.maximum.max()) <= 0]
