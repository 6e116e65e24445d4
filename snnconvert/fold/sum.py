"""Moves sums of spike trains behind the weights that read them: ``W(x_1 + ... + x_n) = W x_1 + ... + W x_n``.

A value that neurons of several populations make up (a PReLU: one population a sign) is no spike train itself; each of
its parts is, and a synapse on a part needs no multiplication.
"""

import dataclasses

import torch

from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, Node, Operator, Pass, Role, Shape, compact, ones
from snnconvert.operators.affine import Affine
from snnconvert.operators.selection import Selection
from snnconvert.operators.sum import Sum

MAX_TERMS = 4  # each is one more copy of the weights


def comes_from_neurons(graph: Graph, value: str) -> bool:
    """Tell whether a value is spikes of one layer, moved, averaged or weighted one by one."""
    while value in graph.by_name:
        node = graph.by_name[value]
        if node.operator.role is Role.ACTIVATION:
            return True
        simple = node.operator.role is Role.LINEAR or isinstance(node.operator, Affine | Selection)
        if len(node.inputs) != 1 or not simple:
            return False
        value = node.inputs[0]
    return False


def without_bias(operator: Operator, shape: Shape) -> Operator:
    """Return ``f(x) - f(0)`` of a weighted operator on samples of this shape."""
    with torch.no_grad():
        at_zero = operator.mapped(lambda tensor: tensor.double()).evaluate([torch.zeros((1, *shape)).double()])[0]
    one_in, one_out = ones(len(shape)), ones(at_zero.ndim)
    return operator.rescaled(one_in, one_out, -compact(at_zero))


def distributed(graph: Graph, total: Node, reader: Node) -> Graph:
    """Let ``reader`` read each term of a sum, and add up what comes out."""
    shape, terms = graph.shapes[total.name], []
    for index, value in enumerate(total.inputs):
        operator = reader.operator
        if index > 0 and operator.role is Role.WEIGHTED:
            operator = without_bias(operator, shape)
        terms.append(Node(graph.fresh(f"{reader.name}.{index}"), operator, (value,), reader.origins))
    result = Node(reader.name, Sum(), tuple(term.name for term in terms), total.origins)
    gone = {total.name: None} if graph.sole_consumer(total.name) is reader else {}
    return rewired(graph, {**gone, reader.name: result}, {}, terms)


def joined(graph: Graph, total: Node, reader: Node) -> Graph:
    """Let a sum read the terms of a sum."""
    inputs = tuple(each for value in reader.inputs for each in (total.inputs if value == total.name else (value,)))
    changed = dataclasses.replace(reader, operator=Sum(), inputs=inputs)
    gone = {total.name: None} if graph.sole_consumer(total.name) is reader else {}
    return rewired(graph, {**gone, reader.name: changed}, {})


def sums_joined(graph: Graph) -> Graph:
    """Join each sum that only one other sum reads with that one."""
    for name in [node.name for node in graph.nodes if node.operator.role is Role.SUM]:
        reader = graph.sole_consumer(name)
        if reader is not None and reader.operator.role is Role.SUM:
            graph = joined(graph, graph.by_name[name], reader)
    return graph


class DistributeSum(Pass):
    """Weights and moves that read a sum of spike trains read each of them."""

    name = "sums of spikes moved behind weights"

    def run(self, graph: Graph) -> Graph:
        for name in [node.name for node in graph.nodes]:  # in order: one move opens the way for the next
            total = graph.by_name.get(name)
            if total is None or total.operator.role is not Role.SUM or len(total.inputs) > MAX_TERMS:
                continue
            if not all(comes_from_neurons(graph, value) for value in total.inputs):
                continue
            for reader in {each.name: each for each in graph.consumers[name]}.values():
                if reader.operator.role is Role.SUM:
                    graph = joined(graph, total, reader)
                elif len(reader.inputs) == 1 and reader.operator.role in (Role.WEIGHTED, Role.LINEAR):
                    graph = distributed(graph, total, reader)
        return graph
