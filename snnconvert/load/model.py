"""Loads a model file: the graph, the judge that runs the user's own nodes, and the comparison of the two."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snnconvert.errors import ModelError
from snnconvert.graph import Equivalence, Graph, Origin, relative_error
from snnconvert.load.ends import read_input, read_output, strip_softmax
from snnconvert.load.onnx_file import open_onnx
from snnconvert.load.onnx_graph import build_graph, survey_nodes
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
            ModelError: the network's own output is NaN or infinite (E117).
        """
        with torch.no_grad():
            got = self.graph.run(torch.from_numpy(x))
        expected = torch.from_numpy(self.reference.run(x))
        if not bool(expected.isfinite().all()):
            raise ModelError("E117", f"{self.path.name}: an output is NaN or infinite on these samples")
        error = relative_error(got, expected)
        return Equivalence("loaded network", "ONNX Runtime", error, LIMIT).require()


def survey_model(path: Path) -> tuple[tuple[Origin, ...], dict[str, ModelError]]:
    """Return every node of an ONNX file, and the refusals by node name: all of them, not the first one only.

    Raises:
        UsageError: no such file.
        ModelError: the file itself is broken.
    """
    file = open_onnx(path)
    graph_input = read_input(file)
    return survey_nodes(file, graph_input, strip_softmax(file, read_output(file)))


def load_model(path: Path) -> Loaded:
    """Read an ONNX file into a graph.

    Raises:
        UsageError: no such file.
        ModelError: the file is broken, or holds what cannot be converted.
    """
    file = open_onnx(path)
    graph_input = read_input(file)
    output = strip_softmax(file, read_output(file))
    graph = build_graph(file, graph_input, output)
    return Loaded(path, file.sha256, graph, Reference(file, graph_input, output))
