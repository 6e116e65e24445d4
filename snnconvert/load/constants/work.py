"""What it takes to compute a constant: many small nodes may ask for much together."""

from snnconvert.load.constants.arithmetic import BROADCAST
from snnconvert.load.constants.reductions import REDUCTIONS
from snnconvert.operators import OnnxNode
from snnconvert.operators.onnx_node import Array


def work(node: OnnxNode, value: Array) -> int:
    """Return how many bytes were written to compute the value of a node, or read where they are more."""
    if node.op_type in REDUCTIONS:
        return node.constant(0).nbytes
    return value.nbytes * (max(len(node.inputs) - 1, 1) if node.op_type in BROADCAST else 1)
