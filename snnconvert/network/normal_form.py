"""Moves the scale of every value into the weights, so that every activation lies between 0 and 1.

With ``s`` the scale of a value and ``x = s * x~``, a weighted operator f from ``x`` to ``y`` becomes
``f~(x~) = f(s_x * x~) / s_y``; a rectifier keeps its form, as ``relu(s * z) = s * relu(z)`` for positive s; linear
operators without weights carry scales through; where branches of different scales meet in a sum, each gets the synapse
``s_branch / s_sum``. The scale of the input and of the output is 1 (Rueckauer et al. 2017, section 2.2.1, with Add and
Concat as Spiking-YOLO's channel-wise form allows).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snnconvert.graph import Graph, IncompatibleScale, Node, Role, ones, same
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.reshape import Reshape, Transpose


@dataclass(frozen=True)
class NormalForm:
    """The rescaled network, still an ANN, and the scale of every value of it (float64, broadcasting to a sample)."""

    graph: Graph
    scales: Mapping[str, Tensor]


def normal_form(graph: Graph, activation_scales: Mapping[str, Tensor]) -> NormalForm:
    """Rescale the network so that each activation is in units of its scale."""
    wanted = _wanted_scales(graph, activation_scales)
    building = _Building(graph, {graph.input: ones(len(graph.input_shape))})
    for node in graph.nodes:
        operator = node.operator
        if operator.role is Role.ACTIVATION and isinstance(operator, ReLU):
            scale = activation_scales[node.name]
            inputs = (building.at_scale(node, 0, scale),)
            building.add(dataclasses.replace(node, operator=operator.scaled_by(1 / scale), inputs=inputs), scale)
        elif operator.role is Role.WEIGHTED:
            building.add_weighted(node, wanted[node.name])
        elif operator.role is Role.SUM:
            scale = wanted[node.name]
            names = tuple(building.at_scale(node, index, scale) for index in range(len(node.inputs)))
            building.add(dataclasses.replace(node, inputs=names), scale)
        else:
            building.add_linear(node)
    output = graph.output
    if not same(building.scales[output], ones(1)):
        scale = building.scales[output]
        output = building.synapse(f"{output}:output", output, scale, torch.ones_like(scale))
    return NormalForm(graph.with_nodes(building.nodes, output), building.scales)


def _wanted_scales(graph: Graph, activation_scales: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the scale that the reader of each value wishes for: an activation's own, if that is the only reader."""
    wanted: dict[str, Tensor] = {}
    for node in reversed(graph.nodes):
        reader = graph.sole_consumer(node.name)
        scale = ones(len(graph.shapes[node.name]))
        if reader is not None and reader.operator.role is Role.ACTIVATION:
            scale = activation_scales[reader.name]
        elif reader is not None and (reader.operator.role is Role.SUM or _pools_channels(reader, wanted)):
            scale = wanted[reader.name]
        elif reader is not None and isinstance(reader.operator, Reshape | Transpose):
            shape = graph.shapes[node.name]
            scale = reader.operator.undone(shape).carry_scale([wanted[reader.name]], [graph.shapes[reader.name]])
        wanted[node.name] = scale
    return wanted


def _pools_channels(reader: Node, wanted: Mapping[str, Tensor]) -> bool:
    """Tell whether a max pool reads a value, and passes the wanted scale on: it is one number a channel."""
    return reader.operator.role is Role.MAXIMUM and all(size == 1 for size in wanted[reader.name].shape[1:])


class _Building:
    """The nodes of the normal form so far, and the scales of their values."""

    def __init__(self, graph: Graph, scales: dict[str, Tensor]) -> None:
        self.graph = graph
        self.scales = scales
        self.nodes: list[Node] = []

    def add(self, node: Node, scale: Tensor) -> None:
        self.nodes.append(node)
        self.scales[node.name] = scale

    def synapse(self, name: str, value: str, factor: Tensor, scale: Tensor) -> str:
        """Add a one-to-one synapse that multiplies by ``factor`` and so brings ``value`` to ``scale``."""
        while name in self.graph.shapes or name in self.scales:  # exporters write names such as add:0 too
            name += "'"
        self.add(Node(name, Affine.of(factor), (value,)), scale)
        return name

    def at_scale(self, node: Node, index: int, scale: Tensor) -> str:
        """Return the name of the node's input in units of ``scale``, through a synapse where it is in other units."""
        value = node.inputs[index]
        if same(self.scales[value], scale):
            return value
        return self.synapse(f"{node.name}:{index}", value, self.scales[value] / scale, scale)

    def add_weighted(self, node: Node, wanted: Tensor) -> None:
        """Rescale a weighted operator; a scale that its weights cannot hold stays outside of them."""
        value = node.inputs[0]
        taken = self.scales[value]
        one_in, one_out = ones(taken.ndim), ones(wanted.ndim)
        for output_scale in (wanted, one_out):
            try:
                operator = node.operator.rescaled(taken, 1 / output_scale, 0 * one_out)
            except IncompatibleScale:
                continue
            self.add(dataclasses.replace(node, operator=operator), output_scale)
            return
        inputs = (self.at_scale(node, 0, one_in),)
        operator = node.operator.rescaled(one_in, one_out, 0 * one_out)
        self.add(dataclasses.replace(node, operator=operator, inputs=inputs), one_out)

    def add_linear(self, node: Node) -> None:
        """Carry the scale of the inputs through; where it cannot be, bring the input to the scale 1 first.

        So does a maximum over neurons of different scales: it then compares graded currents.
        """
        scales = [self.scales[value] for value in node.inputs]
        shapes = self.graph.input_shapes(node)
        try:
            self.add(node, node.operator.carry_scale(scales, shapes))
        except IncompatibleScale:
            one = [ones(scale.ndim) for scale in scales]
            names = tuple(self.at_scale(node, index, scale) for index, scale in enumerate(one))
            self.add(dataclasses.replace(node, inputs=names), node.operator.carry_scale(one, shapes))
