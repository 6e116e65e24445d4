"""Folds affine maps (batch normalisation, arithmetic with constants) into the synapses around them.

With ``A(x) = a * x + c``, by data flow and never by order of definition:

- backwards, ``A(f(x)) = (a * f + c)(x)``, where f is weighted and nobody else reads it, also past reshapes and
  transposes R, as ``A(R(x)) = R(A'(x))`` with a and c moved back; in front of a neuron also where others read f, into
  a copy of it, and through a sum, ``A(x + y) = A(x) + a * y``, as else a graded current would meet the weight a;
- forwards through a linear operator, ``f(a * x + c) = f(a) * f(x) + f(c)``;
- forwards into weights, ``f(a * x + c) = f(a * x) + (f(c) - f(0))``; behind zero padding ``f(c) - f(0)`` is smaller
  at the border, which sees fewer shifts, and the bias differs from place to place.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from snnconvert.fold.rewire import rewired
from snnconvert.fold.sum import sums_joined
from snnconvert.graph import Graph, IncompatibleScale, Node, Operator, Pass, Role, Shape, compact, full, ones
from snnconvert.operators.affine import Affine
from snnconvert.operators.reshape import Reshape, Transpose

TOLERANCE = 1e-9  # of the largest shift: sums of the same numbers in another order are the same


def image_of_shift(operator: Operator, shift: Tensor, shape: Shape) -> Tensor:
    """Return ``f(c) - f(0)`` for every element of one output, in float64."""
    exact = operator.mapped(lambda tensor: tensor.double())
    constant = full(shift.double(), shape)[None]
    with torch.no_grad():
        return (exact.evaluate([constant]) - exact.evaluate([torch.zeros_like(constant)]))[0]


def folded_backwards(graph: Graph, node: Node, affine: Affine) -> Graph | None:
    """Fold an affine node into the weighted node before it, or move it in front of a sum."""
    scale, shift = affine.scale.double(), affine.shift.double()
    reader, producer = node, graph.by_name.get(node.inputs[0])
    while producer is not None:
        alone = graph.sole_consumer(producer.name) is reader
        if producer.operator.role is Role.WEIGHTED:
            copied = not alone and reader is node and feeds_neuron(graph, node)
            return _absorbed(graph, node, producer, scale, shift, copied) if alone or copied else None
        if producer.operator.role is Role.SUM:
            copied = not alone and reader is node and all_feed_neurons(graph, producer)
            return _moved_before_sum(graph, node, producer, scale, shift, copied) if alone or copied else None
        if not alone or not isinstance(producer.operator, Reshape | Transpose):
            return None
        shape = graph.shapes[producer.name]
        undone = producer.operator.undone(graph.shapes[producer.inputs[0]])
        scale, shift = (undone.carry_scale([each], [shape]) for each in (scale, shift))
        reader, producer = producer, graph.by_name.get(producer.inputs[0])
    return None


def _rescaled(graph: Graph, producer: Node, scale: Tensor, shift: Tensor) -> Operator | None:
    """Return a weighted operator with an affine map behind it; None where its weights cannot hold that, or overflow."""
    try:
        operator = producer.operator.rescaled(ones(len(graph.shapes[producer.inputs[0]])), scale, shift)
    except IncompatibleScale:
        return None
    return operator if operator.finite else None


def _absorbed(graph: Graph, node: Node, producer: Node, scale: Tensor, shift: Tensor, copied: bool) -> Graph | None:
    """Fold an affine node, moved to where ``producer`` ends, into its weights, or into a copy that takes its place."""
    operator = _rescaled(graph, producer, scale, shift)
    if operator is None:
        return None
    merged = dataclasses.replace(producer, operator=operator, origins=producer.origins + node.origins)
    return _in_place(graph, node, producer, merged, copied)


def _moved_before_sum(
    graph: Graph, node: Node, total: Node, scale: Tensor, shift: Tensor, copied: bool
) -> Graph | None:
    """Replace an affine node behind a sum by one on each term; terms that are sums themselves are left alone."""
    if any(value in graph.by_name and graph.by_name[value].operator.role is Role.SUM for value in total.inputs):
        return None
    terms = []
    for index, value in enumerate(total.inputs):
        operator = Affine.of(scale, shift if index == 0 else torch.zeros_like(shift))
        terms.append(Node(graph.fresh(f"{node.name}.{index}"), operator, (value,), node.origins))
    result = dataclasses.replace(total, inputs=tuple(term.name for term in terms))
    return _in_place(graph, node, total, result, copied, terms)


def _in_place(
    graph: Graph, node: Node, producer: Node, result: Node, copied: bool, added: Sequence[Node] = ()
) -> Graph:
    """Put ``result`` in the place of the producer, which the affine node follows, or, as a copy, of that node."""
    if copied:
        return rewired(graph, {node.name: dataclasses.replace(result, name=node.name)}, {}, added)
    return rewired(graph, {producer.name: result, node.name: None}, {node.name: node.inputs[0]}, added)


def feeds_neuron(graph: Graph, node: Node) -> bool:
    """Tell whether a neuron, and nobody else, reads a value, perhaps after it was moved or added to others."""
    reader = graph.sole_consumer(node.name)
    while reader is not None and (reader.operator.role is Role.SUM or isinstance(reader.operator, Reshape | Transpose)):
        reader = graph.sole_consumer(reader.name)
    return reader is not None and reader.operator.role is Role.ACTIVATION


def all_feed_neurons(graph: Graph, total: Node) -> bool:
    """Tell whether all readers of a value are neurons, or affine nodes in front of one."""
    return total.name != graph.output and all(
        reader.operator.role is Role.ACTIVATION or (isinstance(reader.operator, Affine) and feeds_neuron(graph, reader))
        for reader in graph.consumers[total.name]
    )


def folded_forwards(graph: Graph, node: Node, affine: Affine) -> Graph | None:
    """Fold an affine node into the weighted nodes behind it, or move it behind the linear one that alone reads it."""
    for consumer in graph.consumers[node.name]:
        if consumer.operator.role is Role.WEIGHTED:
            folded = _folded_into(graph, node, affine, consumer)
            if folded is not None:
                return folded
    linear = graph.sole_consumer(node.name)
    if linear is None or linear.operator.role is not Role.LINEAR or len(linear.inputs) != 1:
        return None
    shape = graph.shapes[node.name]
    try:
        scale = linear.operator.carry_scale([affine.scale.double()], [shape])
    except IncompatibleScale:
        return None
    shift = image_of_shift(linear.operator, affine.shift, shape)
    first = dataclasses.replace(linear, inputs=node.inputs)
    second = dataclasses.replace(node, operator=Affine.of(scale, compact(shift, TOLERANCE)), inputs=(linear.name,))
    return rewired(graph, {linear.name: first, node.name: second}, {linear.name: node.name})


def _folded_into(graph: Graph, node: Node, affine: Affine, consumer: Node) -> Graph | None:
    """Fold an affine node into the weights of one of its readers; it stays for the others."""
    shift = compact(image_of_shift(consumer.operator, affine.shift, graph.shapes[node.name]), TOLERANCE)
    one = ones(len(graph.shapes[consumer.name]))
    try:
        operator = consumer.operator.rescaled(affine.scale.double(), one, shift)
    except IncompatibleScale:
        return None
    origins = node.origins + consumer.origins
    changed = {consumer.name: dataclasses.replace(consumer, operator=operator, inputs=node.inputs, origins=origins)}
    gone = {node.name: None} if graph.sole_consumer(node.name) is consumer else {}
    return rewired(graph, {**changed, **gone}, {})


def folded_at_once(graph: Graph) -> Graph:
    """Fold every affine node that alone reads a weighted one: most of them, and the graph is built anew only once."""
    changed: dict[str, Node | None] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        if not isinstance(node.operator, Affine):
            continue
        value = renamed.get(node.inputs[0], node.inputs[0])
        producer = changed.get(value) or graph.by_name.get(value)
        alone = graph.sole_consumer(node.inputs[0]) is node
        if producer is None or not alone or producer.operator.role is not Role.WEIGHTED:
            continue
        operator = _rescaled(graph, producer, node.operator.scale.double(), node.operator.shift.double())
        if operator is None:
            continue
        inputs, origins = tuple(renamed.get(each, each) for each in producer.inputs), producer.origins + node.origins
        changed[value] = dataclasses.replace(producer, operator=operator, inputs=inputs, origins=origins)
        changed[node.name] = None
        renamed[node.name] = value
    return rewired(graph, changed, renamed) if changed else graph


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
            before = graph = folded_at_once(sums_joined(graph))
            for name in [node.name for node in graph.nodes if isinstance(node.operator, Affine)]:
                graph = settled(graph, name)
        return graph
