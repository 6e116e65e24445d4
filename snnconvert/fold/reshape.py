"""Merges reshapes that follow each other: ``R2(R1(x)) = R2(x)``, as only the last shape counts."""

import dataclasses

from snnconvert.fold.identity import RemoveIdentity
from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, Node, Pass
from snnconvert.operators.reshape import Reshape


class MergeReshapes(Pass):
    """Of reshapes in a row the last one stays, or none where it gives the first shape back (Unsqueeze, Squeeze)."""

    name = "reshapes merged"

    def run(self, graph: Graph) -> Graph:
        merged: dict[str, Node | None] = {}
        for node in graph.nodes:
            before = merged.get(node.inputs[0]) or graph.by_name.get(node.inputs[0])
            if before is not None and isinstance(before.operator, Reshape) and isinstance(node.operator, Reshape):
                merged[node.name] = dataclasses.replace(
                    node, inputs=before.inputs, origins=before.origins + node.origins
                )
        return RemoveIdentity().run(rewired(graph, merged, {})) if merged else graph
