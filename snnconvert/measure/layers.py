"""The error of each layer: spike rates against the activations of the ANN on the same samples."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.graph import Graph, Node
from snnconvert.measure.bound import reaches
from snnconvert.measure.totals import total
from snnconvert.network import SpikingNetwork


class LayerErrors:
    """Sums over samples, for every layer of neurons, each sample at the last of the steps that it takes."""

    def __init__(self, network: SpikingNetwork, axes: Mapping[str, int]) -> None:
        self._network = network
        self._axes = axes
        self._reaches = reaches(network)
        self._samples = 0
        self._sums = {name: torch.zeros(4, dtype=torch.float64) for name in network.neurons}
        self._spiked = {name: torch.zeros(network.graph.shapes[name][axes[name]]) for name in network.neurons}

    def add(self, ann: Graph, x: Tensor, rates: Mapping[str, Tensor]) -> None:
        """Run the folded ANN on a batch ``(N, ...)`` and compare each activation with ``rate * scale``."""
        self._samples += x.shape[0]

        def observe(node: Node, activation: Tensor) -> None:
            if node.name in self._sums:
                scale = self._network.scales[node.name].to(activation)
                largest = scale * self._reaches[node.name].largest
                rate = rates[node.name].to(activation)
                estimate = rate * scale
                found = rate, (estimate - activation).abs(), activation, activation > largest
                self._sums[node.name] += torch.tensor([total(each) for each in found], dtype=torch.float64)
                others = [axis for axis in range(rate.ndim) if axis != self._axes[node.name] + 1]
                self._spiked[node.name] += rate.sum(others).cpu()

        with torch.no_grad():
            ann.run(x, observe)

    def state(self) -> dict[str, NDArray[np.float64] | NDArray[np.float32]]:
        """Return all sums, flat, in the order of the layers, for :meth:`merge`."""
        sums, spiked = (torch.cat([*each.values()]) if each else torch.zeros(0) for each in (self._sums, self._spiked))
        return {"layer_samples": np.array(self._samples, np.float64), "sums": sums.numpy(), "spiked": spiked.numpy()}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add the sums of another one, for the same network; to none it adds to the bit what they were."""
        self._samples += int(state["layer_samples"])
        for kept, flat in ((self._sums, state["sums"]), (self._spiked, state["spiked"])):
            ends = np.cumsum([len(each) for each in kept.values()])
            for name, part in zip(kept, np.split(flat, ends[:-1]), strict=True):
                kept[name] += torch.from_numpy(part)

    def rows(self) -> list[dict[str, object]]:
        """Return the ``layers`` of metrics.json; ``scale`` is the mean over channels."""
        found = []
        for name, sums in self._sums.items():
            rates, distance, activation, clipped = (float(value) for value in sums)
            neurons = math.prod(self._network.graph.shapes[name])
            total = neurons * self._samples
            spiked = self._spiked[name]
            found.append(
                {
                    "name": name,
                    "neurons": neurons,
                    "scale": float(self._network.scales[name].mean()),
                    "rate": rates / total,
                    "rate_error": distance / activation if activation else None,
                    "clipped": clipped / total,
                    "dead": float((spiked == 0).double().mean()),
                }
            )
        return found
