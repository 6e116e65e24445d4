"""The intermediate representation: operators on samples, nodes, graphs, and passes over them.

Every value of a graph depends on the sample; whatever does not is a parameter of an operator. Shapes are those of one
sample, without the batch axis, which is always axis 0 of the tensors that are evaluated.
"""

from snnconvert.graph.graph import Graph, Node, Origin, sort_nodes, topological
from snnconvert.graph.onnx_writer import OnnxWriter
from snnconvert.graph.operator import IncompatibleScale, Operator, Role, Shape
from snnconvert.graph.passes import Equivalence, Pass, apply_passes, probe_samples, relative_error
from snnconvert.graph.scale import compact, full, ones, same, scale_of

__all__ = [
    "Equivalence",
    "Graph",
    "IncompatibleScale",
    "Node",
    "OnnxWriter",
    "Operator",
    "Origin",
    "Pass",
    "Role",
    "Shape",
    "apply_passes",
    "compact",
    "full",
    "ones",
    "probe_samples",
    "relative_error",
    "same",
    "scale_of",
    "sort_nodes",
    "topological",
]
