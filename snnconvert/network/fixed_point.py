"""Parameters on a grid, so that sums of spikes are exact: the same bits in any order, batch and program.

What arrives at a neuron is a sum of weights. Where they are multiples of 2^-17 (in thresholds) and the sum stays under
128, float32 holds it and all that it is made of without rounding. Where all weights are small the grid is finer, and
sums up to 256 times the largest are held. A rounding of the last bit is no small matter here: it moves a spike by a
step, and the layers above amplify that; two programs then differ in 0.1 to 0.3 % of ResNet-20's spike counts, though
neither is wrong. The grid itself moves a weight by a millionth of the threshold.

Not exact: the layer under an analog input that is on no grid, sums behind pools whose size is no power of two, decoded
rates, and values of the final output, which keep their weights.
"""

import dataclasses
import math

from torch import Tensor

from snnconvert.network.spiking import SpikingNetwork

UNIT = 2.0**-17  # thresholds
BITS = 16  # that the largest of an operator's weights keeps at least, however small it is


def on_grid(tensor: Tensor) -> Tensor:
    """Round parameters to multiples of the unit, or of a smaller power of two where all of them are small."""
    largest = float(tensor.abs().max()) if tensor.numel() else 0.0
    if largest == 0 or not math.isfinite(largest):
        return tensor
    unit = min(UNIT, 2.0 ** (math.floor(math.log2(largest)) + 1 - BITS))
    rounded = (tensor.double() / unit).round() * unit
    return rounded.to(tensor.dtype)


def fixed_point(network: SpikingNetwork) -> SpikingNetwork:
    """Return the network with all that reaches its neurons on the grid."""
    reaches = _reach_neurons(network)
    nodes = [
        dataclasses.replace(node, operator=node.operator.mapped(on_grid)) if node.name in reaches else node
        for node in network.graph.nodes
    ]
    return dataclasses.replace(
        network,
        graph=network.graph.replace(nodes=tuple(nodes)),
        biases={name: on_grid(rows) for name, rows in network.biases.items()},
        potentials={name: on_grid(potential) for name, potential in network.potentials.items()},
    )


def _reach_neurons(network: SpikingNetwork) -> set[str]:
    """Return the values on their way to a neuron."""
    wanted: set[str] = set()
    for node in reversed(network.graph.nodes):
        if node.name in network.neurons or node.name in wanted:
            wanted.update(node.inputs)
    return wanted
