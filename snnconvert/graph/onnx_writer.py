"""Collects the nodes and constants of an ONNX graph while operators write themselves."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor


class OnnxWriter:
    """Nodes and initializers, in the order in which they are written; names are made unique here."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._names: set[str] = set()

    def fresh(self, name: str) -> str:
        """Return ``name``, or ``name.2`` and so on where it is taken."""
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}.{count}"
        self._names.add(candidate)
        return candidate

    def constant(self, name: str, value: "Tensor | NDArray[np.generic] | list[int]") -> str:
        """Store an initializer (lists as int64) and return its name."""
        if isinstance(value, Tensor):
            array: NDArray[np.generic] = value.detach().cpu().numpy()
        else:
            array = np.asarray(value, dtype=np.int64) if isinstance(value, list) else value
        name = self.fresh(name)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def node(
        self, op_type: str, inputs: list[str], output: "str | list[str]", domain: str = "", **settings: Any
    ) -> str:
        """Append a node and return its first output; the node is named after it."""
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(op_type, inputs, outputs, name=outputs[0], domain=domain, **settings))
        return outputs[0]
