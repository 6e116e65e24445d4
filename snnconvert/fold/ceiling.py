"""Ceilings as layers of their own, for neurons that have no largest rate: ``min(relu(x), c) = relu(x) - relu(x - c)``.

Other neurons keep a ceiling by saturating. The second layer is silent wherever the ceiling is not reached.
"""

import torch

from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, Node, Pass
from snnconvert.operators.activation import ReLU, ceiling_of
from snnconvert.operators.affine import Affine
from snnconvert.operators.sum import Sum

PARTS = ("below", "over", "above", "taken")


class SplitCeilings(Pass):
    """A rectifier with a ceiling becomes the difference of two without one."""

    name = "ceilings made of rectifiers"

    def run(self, graph: Graph) -> Graph:
        for node in graph.activations:
            ceiling = ceiling_of(node)
            if ceiling is None:
                continue
            one = torch.ones_like(ceiling)
            below, over, above, taken = (graph.fresh(f"{node.name}:{part}") for part in PARTS)
            added = (
                Node(below, ReLU(), node.inputs),
                Node(over, Affine.of(one, -ceiling), node.inputs),
                Node(above, ReLU(), (over,)),
                Node(taken, Affine.of(-one), (above,)),
            )
            graph = rewired(graph, {node.name: Node(node.name, Sum(), (below, taken))}, {}, added)
        return graph
