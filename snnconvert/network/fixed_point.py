"""Parameters on a grid, so that sums of spikes are exact: the same bits in any order, batch and program.

What arrives at a neuron is a sum of weights. Where they are multiples of 2^-17 (in thresholds) and the sum stays under
128, float32 holds it and all that it is made of without rounding. Where all weights are small the grid is finer, and
sums up to 256 times the largest are held. A rounding of the last bit is no small matter here: it moves a spike by a
step, and the layers above amplify that; two programs then differ in 0.1 to 0.3 % of ResNet-20's spike counts, though
neither is wrong. The grid itself moves a weight by a millionth of the threshold.

What is no spike may be large: weights of the analog input, or of graded currents, that the grid would leave too little
of are on a finer one, each input on its own.

Not exact: the layer under an analog input that is on no grid, sums behind pools whose size is no power of two, decoded
rates, and values of the final output, which keep their weights.
"""

import dataclasses
import math

import torch
from torch import Tensor

from snnconvert.graph import Operator
from snnconvert.network.spiking import SpikingNetwork, Traffic
from snnconvert.operators.affine import Affine
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear

UNIT = 2.0**-17  # thresholds
BITS = 16  # that the largest of an operator's weights keeps at least, however small it is
BOTTOM = 126  # exponent of the smallest float32 that keeps all its bits
LARGE = (Traffic.CONSTANT, Traffic.EVENTS, Traffic.GRADED)  # may be of any size
FEWEST = 8  # that the largest weight of an analog input keeps at least


def on_grid(tensor: Tensor, apart: tuple[int, ...] | None = None) -> Tensor:
    """Round parameters to multiples of the unit, or of a smaller power of two where all of them are small.

    ``apart`` are the axes along which inputs lie that are no spikes.
    """
    largest = float(tensor.abs().max()) if tensor.numel() else 0.0
    if largest == 0 or not math.isfinite(largest):
        return tensor
    units = torch.tensor(min(UNIT, 2.0 ** (math.floor(math.log2(largest)) + 1 - BITS)), dtype=torch.float64)
    if apart is not None:
        others = [axis for axis in range(tensor.ndim) if axis not in apart]
        most = tensor.double().abs().amax(others, keepdim=True) if others else tensor.double().abs()
        exponents = most.log2().floor().clamp(min=-BOTTOM)
        units = torch.where(most < units * 2**FEWEST, 2.0 ** (exponents + 1 - BITS), units)
    rounded = (tensor.double() / units).round() * units
    return rounded.to(tensor.dtype)


def _on_grid(operator: Operator, any_size: bool) -> Operator:
    """Return an operator with its parameters on the grid; its input are spikes, or numbers of ``any_size``."""
    if not any_size:
        return operator.mapped(on_grid)
    match operator:
        case Convolution(groups=1) | Linear():
            return dataclasses.replace(operator.mapped(on_grid), weight=on_grid(operator.weight, (1,)))
        case Affine():
            every = tuple(range(operator.scale.ndim))
            return dataclasses.replace(operator.mapped(on_grid), scale=on_grid(operator.scale, every))
    return operator.mapped(on_grid)


def fixed_point(network: SpikingNetwork) -> SpikingNetwork:
    """Return the network with all that reaches its neurons on the grid."""
    reaches = _reach_neurons(network)
    any_size = {name for name, kind in network.traffic.items() if kind in LARGE}
    nodes = [
        dataclasses.replace(node, operator=_on_grid(node.operator, not any_size.isdisjoint(node.inputs)))
        if node.name in reaches
        else node
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
