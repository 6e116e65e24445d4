"""Spike-Norm (Sengupta et al. 2019): the threshold of a layer is the largest current that spikes make in it.

Layer by layer, with the thresholds of those before: the maximum over samples, neurons and steps of the current under
the real spikes of the layers below. One threshold a layer, as the original has it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.convert.method import METHODS, Task
from snnconvert.graph import ones
from snnconvert.network import normal_form, spiking_network
from snnconvert.simulate import LayerRun, Layerwise

SAMPLES = 64  # the maximum of a current hardly grows with more


@METHODS.register("spike-norm")
def spike_norm(task: Task) -> Mapping[str, Tensor]:
    """Return the threshold of every layer."""
    batches: list[NDArray[np.float32]] = []
    for batch in task.batches():
        batches.append(batch)
        if sum(map(len, batches)) >= SAMPLES:
            break
    x = np.concatenate(batches)[:SAMPLES]
    unscaled = normal_form(
        task.graph, {node.name: ones(len(task.graph.shapes[node.name])) for node in task.graph.activations}
    )
    network = spiking_network(unscaled, task.neuron, schedule=task.schedule)
    found: dict[str, Tensor] = {}

    def visit(layer: LayerRun) -> None:
        largest = max(float(current.max()) for _, current in layer.currents())
        threshold = ones(len(task.graph.shapes[layer.node.name])) * (largest if largest > 0 else 1.0)
        found[layer.node.name] = threshold
        layer.amplitude = threshold.float()

    Layerwise(network, torch.from_numpy(x)).run(visit)
    return found
