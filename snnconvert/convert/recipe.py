"""All that a conversion chooses, applied: scales by a method, neurons on a schedule, corrections on real spikes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.calibrate import ActivationStatistics, random_scales
from snnconvert.convert.corrections import corrected
from snnconvert.convert.method import METHODS, Task
from snnconvert.fold.max_pool import Pooling
from snnconvert.graph import Graph
from snnconvert.network import (
    Encoding,
    NormalForm,
    Schedule,
    SpikingNetwork,
    Weights,
    fixed_point,
    normal_form,
    quantised,
    spiking_network,
)
from snnconvert.neurons import Neuron


@dataclass(frozen=True)
class Recipe:
    """One way to convert a network."""

    method: str
    neuron: Neuron
    schedule: Schedule
    correct: tuple[str, ...] = ()
    percentile: float = 99.9
    nonzero: bool = True
    per_channel: bool = True
    pooling: Pooling = "exact"
    weights: Weights = "float32"
    encoding: Encoding = "constant"

    def try_on(self, graph: Graph) -> SpikingNetwork:
        """Convert a network with scales by chance, so that what cannot be converted so is refused at once.

        Raises:
            ModelError: the network cannot be converted.
            UsageError: the options do not suit each other.
        """
        untried = normal_form(graph, random_scales(graph, self.per_channel))
        return spiking_network(untried, self.neuron, self.pooling, self.schedule, self.encoding)

    def scaled(
        self,
        graph: Graph,
        statistics: ActivationStatistics,
        depths: Mapping[str, int],
        batches: Callable[[], Iterable[NDArray[np.float32]]],
    ) -> NormalForm:
        """Return the network in units of the method's scales."""
        task = Task(graph, statistics, self.neuron, self.schedule, depths, self.percentile, self.nonzero, batches)
        scales = METHODS[self.method](task)
        return normal_form(graph, {name: task.under_ceiling(name, scale) for name, scale in scales.items()})

    def spiking(
        self, normal: NormalForm, statistics: ActivationStatistics, x: Tensor, advance: Callable[[int], None]
    ) -> SpikingNetwork:
        """Return the spiking network, corrected on samples ``x``, on the grid of fixed point.

        These are as ``corrected`` takes them; ``advance`` hears of each layer done.
        """
        network = spiking_network(normal, self.neuron, self.pooling, self.schedule, self.encoding)
        axes = {name: layer.axis for name, layer in statistics.layers.items()}
        # before corrections, so that these mend what rounding does to the means; and after, as they may change weights
        network = corrected(quantised(network, self.weights), x, axes, self.correct, advance)
        return fixed_point(quantised(network, self.weights))
