"""Folds affine maps (batch normalisation, arithmetic with constants) into the synapses around them.

With ``A(x) = a * x + c``, by data flow and never by order of definition:

- backwards, ``A(f(x)) = (a * f + c)(x)``, where f is weighted and nobody else reads it, also past reshapes and
  transposes R, as ``A(R(x)) = R(A'(x))`` with a and c moved back;
- forwards through a linear operator, ``f(a * x + c) = f(a) * f(x) + f(c)``;
- forwards into weights, ``f(a * x + c) = f(a * x) + (f(c) - f(0))``, where ``f(c) - f(0)`` is one number a channel:
  behind zero padding it is not, as the border sees fewer shifts, and then the affine map stays where it is.
"""

import dataclasses

import torch
from torch import Tensor

from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, IncompatibleScale, Node, Operator, Pass, Role, Shape, compact, full, ones
from snnconvert.operators.affine import Affine
from snnconvert.operators.reshape import Reshape, Transpose


def image_of_shift(operator: Operator, shift: Tensor, shape: Shape) -> Tensor:
    """Return ``f(c) - f(0)`` for every element of one output, in float64."""
    exact = operator.mapped(lambda tensor: tensor.double())
    constant = full(shift.double(), shape)[None]
    with torch.no_grad():
        return (exact.evaluate([constant]) - exact.evaluate([torch.zeros_like(constant)]))[0]


def folded_backwards(graph: Graph, node: Node, affine: Affine) -> Graph | None:
    """Fold an affine node into the weighted node before it."""
    scale, shift = affine.scale.double(), affine.shift.double()
    reader, producer = node, graph.by_name.get(node.inputs[0])
    while producer is not None and graph.sole_consumer(producer.name) is reader:
        if producer.operator.role is Role.WEIGHTED:
            return _absorbed(graph, node, producer, scale, shift)
        if not isinstance(producer.operator, Reshape | Transpose):
            return None
        shape = graph.shapes[producer.name]
        undone = producer.operator.undone(graph.shapes[producer.inputs[0]])
        scale, shift = (undone.carry_scale([each], [shape]) for each in (scale, shift))
        reader, producer = producer, graph.by_name.get(producer.inputs[0])
    return None


def _absorbed(graph: Graph, node: Node, producer: Node, scale: Tensor, shift: Tensor) -> Graph | None:
    """Fold an affine node, moved to where ``producer`` ends, into its weights."""
    rank = len(graph.shapes[producer.inputs[0]])
    try:
        operator = producer.operator.rescaled(ones(rank), scale, shift)
    except IncompatibleScale:
        return None
    merged = dataclasses.replace(producer, operator=operator, origins=producer.origins + node.origins)
    return rewired(graph, {producer.name: merged, node.name: None}, {node.name: node.inputs[0]})


def folded_forwards(graph: Graph, node: Node, affine: Affine) -> Graph | None:
    """Fold an affine node into the weighted node behind it, or move it behind a linear one."""
    consumer = graph.sole_consumer(node.name)
    if consumer is None or len(consumer.inputs) != 1:
        return None
    shape = graph.shapes[node.name]
    role = consumer.operator.role
    if role not in (Role.WEIGHTED, Role.LINEAR):
        return None
    try:
        shift = compact(image_of_shift(consumer.operator, affine.shift, shape), tolerance=1e-9)
        if role is Role.WEIGHTED:
            one = ones(len(graph.shapes[consumer.name]))
            operator = consumer.operator.rescaled(affine.scale.double(), one, shift)
            merged = dataclasses.replace(
                consumer, operator=operator, inputs=node.inputs, origins=node.origins + consumer.origins
            )
            return rewired(graph, {node.name: None, consumer.name: merged}, {})
        scale = consumer.operator.carry_scale([affine.scale.double()], [shape])
    except IncompatibleScale:
        return None
    first = dataclasses.replace(consumer, inputs=node.inputs)
    second = dataclasses.replace(node, operator=Affine.of(scale, shift), inputs=(consumer.name,))
    return rewired(graph, {consumer.name: first, node.name: second}, {consumer.name: node.name})


def settled(graph: Graph, name: str) -> Graph:
    """Fold one affine node, or move it behind linear operators as far as it goes."""
    folded: Graph | None = graph
    while folded is not None:
        graph = folded
        node = graph.by_name.get(name)
        if node is None or not isinstance(node.operator, Affine):
            return graph
        folded = folded_backwards(graph, node, node.operator) or folded_forwards(graph, node, node.operator)
    return graph


class FoldAffine(Pass):
    """Affine maps become part of the weights and biases before them, or, failing that, behind them."""

    name = "batch norm and constants folded"

    def run(self, graph: Graph) -> Graph:
        before = None
        while before is not graph:  # what is folded may open the way for another
            before = graph
            for name in [node.name for node in graph.nodes if isinstance(node.operator, Affine)]:
                graph = settled(graph, name)
        return graph
