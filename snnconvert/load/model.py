"""Loads a model file: the graph, the judge that runs the user's own nodes, and the comparison of the two."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snnconvert.graph import Equivalence, Graph, relative_error
from snnconvert.load.onnx_file import open_onnx
from snnconvert.load.onnx_graph import build_graph, read_input, read_output, strip_softmax
from snnconvert.load.reference import Reference

LIMIT = 1e-4  # of the largest output: float32 rounding, in another order


@dataclass(frozen=True)
class Loaded:
    """A network as it was read, before any pass."""

    path: Path
    sha256: str
    graph: Graph
    reference: Reference

    def compare(self, x: NDArray[np.float32]) -> Equivalence:
        """Measure the loaded graph against ONNX Runtime on samples ``(N, ...)``.

        Raises:
            InternalError: they differ by more than rounding.
        """
        with torch.no_grad():
            got = self.graph.run(torch.from_numpy(x))
        error = relative_error(got, torch.from_numpy(self.reference.run(x)))
        return Equivalence("loaded network", "ONNX Runtime", error, LIMIT).require()


def load_model(path: Path) -> Loaded:
    """Read an ONNX file into a graph.

    Raises:
        UsageError: no such file.
        ModelError: the file is broken, or holds what cannot be converted.
    """
    file = open_onnx(path)
    graph_input = read_input(file)
    output, dropped = strip_softmax(file, read_output(file))
    graph = build_graph(file, graph_input, output, dropped)
    return Loaded(path, file.sha256, graph, Reference(file, graph_input, output, dropped))
