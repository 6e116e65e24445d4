"""Counts of operations: MACs of the ANN, and of the layers that see the analog input."""

import math

from snnconvert.graph import Graph
from snnconvert.network import SpikingNetwork, Traffic
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear

NEURON = 20  # multiply-accumulates that a step of a neuron takes as long as


def ann_macs(graph: Graph) -> int:
    """Multiply-accumulates of one sample through the convolutions and linear layers, padding counted as they do."""
    return sum(
        node.operator.macs(graph.input_shapes(node))
        for node in graph.nodes
        if isinstance(node.operator, Convolution | Linear)
    )


def graded_macs(network: SpikingNetwork) -> int:
    """Multiply-accumulates of one sample at each step: weights that meet graded currents instead of spikes."""
    graph = network.graph
    return sum(
        node.operator.macs(graph.input_shapes(node))
        for node in graph.nodes
        if any(network.traffic[value] is Traffic.GRADED for value in node.inputs)
    )


def first_layer_macs(network: SpikingNetwork) -> int:
    """Multiply-accumulates on the analog input, which are computed once a sample."""
    graph = network.graph
    return sum(
        node.operator.macs(graph.input_shapes(node))
        for node in graph.nodes
        if network.traffic[node.name] is Traffic.CONSTANT
    )


def step_work(network: SpikingNetwork) -> float:
    """Return what a step of one sample costs to simulate, about, in multiply-accumulates: budgets count it."""
    neurons = sum(math.prod(network.graph.shapes[name]) for name in network.neurons)
    return float(ann_macs(network.graph) + NEURON * neurons)
