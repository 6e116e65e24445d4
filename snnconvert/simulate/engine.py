"""Runs a spiking network layer by layer over blocks of time steps; the state is carried from block to block.

Memory does not grow with T. What does not change over time is computed once a batch. The length of a block changes no
result beyond the rounding of the convolutions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snnconvert.calibrate.collect import channels_last
from snnconvert.graph import Node
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.simulate.layers import GateLayer, Layer, NeuronLayer, PoolLayer

BLOCK = 4  # time steps that go through the network together


@dataclass(frozen=True)
class Readout:
    """The network after ``t`` steps: accumulated output ``(N, ...)`` and cumulative spikes of every emitter."""

    t: int
    output: Tensor
    counts: Mapping[str, Tensor]


class Simulator:
    """A spiking network on a device, ready to run batches; ``fused=False`` runs the plain torch steps instead."""

    def __init__(
        self, network: SpikingNetwork, device: torch.device | str = "cpu", block: int = BLOCK, fused: bool = True
    ) -> None:
        self.device = torch.device(device)
        self.block = block
        self.fused = fused
        self.network = network
        self.graph = network.graph.mapped(lambda tensor: channels_last(tensor.to(self.device)))
        constant = {name for name, kind in network.traffic.items() if kind is Traffic.CONSTANT}
        self._constant = tuple(node for node in self.graph.nodes if node.name in constant)
        self._varying = tuple(node for node in self.graph.nodes if node.name not in constant)
        self._stateful = {node.name for node in network.stateful}
        self._emitters = [node.name for node in network.emitters]
        self._last_reader = {value: node.name for node in self._varying for value in node.inputs}

    @torch.no_grad()
    def run(self, x: Tensor, steps: Sequence[int]) -> Iterator[Readout]:
        """Present a batch ``(N, ...)`` as a constant current and yield a readout at each of the steps (ascending).

        The tensors of a readout are the simulation's own: they change when the next one is asked for.
        """
        samples = x.shape[0]
        constants = {self.graph.input: channels_last(x.to(self.device))}
        for node in self._constant:
            constants[node.name] = node.operator.evaluate([constants[value] for value in node.inputs])
        layers: dict[str, Layer] = {}
        output: Tensor | None = None
        t = 0
        for stop in steps:
            while t < stop:
                length = min(self.block, stop - t)
                value = self._advance(constants, layers, length, samples)
                output = value if output is None else output + value
                t += length
            if output is not None:
                yield Readout(t, output, {name: layers[name].count for name in self._emitters})

    def _advance(self, constants: Mapping[str, Tensor], layers: dict[str, Layer], steps: int, samples: int) -> Tensor:
        """Take a block of steps and return the sum of the outputs over it."""
        values: dict[str, Tensor] = {}
        for node in self._varying:
            values[node.name] = self._evaluate(node, constants, values, layers, steps, samples)
            for value in set(node.inputs):
                if self._last_reader[value] == node.name and value != self.graph.output:
                    values.pop(value, None)
        output = values[self.graph.output]
        return output.view(steps, samples, *output.shape[1:]).sum(0)

    def _evaluate(
        self,
        node: Node,
        constants: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
        layers: dict[str, Layer],
        steps: int,
        samples: int,
    ) -> Tensor:
        varying = any(value in values for value in node.inputs)
        inputs = [values[value] if value in values else constants[value] for value in node.inputs]
        if node.name in self._stateful:
            if node.name not in layers:
                layers[node.name] = self._layer(node, inputs[0][:samples])
            return layers[node.name].advance(inputs[0], steps, varying)
        repeated = [
            value if name in values else value.repeat(steps, *([1] * (value.ndim - 1)))
            for name, value in zip(node.inputs, inputs, strict=True)
        ]
        return node.operator.evaluate(repeated)

    def _layer(self, node: Node, like: Tensor) -> Layer:
        if node.name in self.network.neurons:
            return NeuronLayer(self.network.neurons[node.name], like, self.fused)
        return (GateLayer if self.network.pools[node.name] == "gate" else PoolLayer)(node.operator, like)
