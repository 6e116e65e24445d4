"""Loads a model file: the graph, the judge that runs the user's own nodes, and the comparison of the two."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snnconvert.errors import ModelError
from snnconvert.graph import Equivalence, Graph, Origin, relative_error
from snnconvert.load.asked import Asked
from snnconvert.load.ends import read_input, without_last
from snnconvert.load.external_data import Neighbours, is_external
from snnconvert.load.onnx_file import Array, OnnxFile, claimed_bytes, parse, read_bytes, validate
from snnconvert.load.onnx_graph import build_graph, survey_nodes
from snnconvert.load.reference import Reference
from snnconvert.load.torch_model import is_torch, read_torch

LIMIT = 1e-4  # of the largest output: float32 rounding, in another order
EPSILON = 2.0**-24  # of float32: what one addition may lose
NAMED = 8  # tensors in one note
NOTHING_ASKED = Asked()


@dataclass(frozen=True)
class Loaded:
    """A network as it was read, before any pass.

    ``sha256`` is of the user's file and its external data together, ``files`` of each file by its name and algorithm.
    """

    path: Path
    sha256: str
    files: Mapping[str, Mapping[str, str]]
    graph: Graph
    reference: Reference

    def compare(self, x: NDArray[np.float32]) -> Equivalence:
        """Measure the loaded graph against ONNX Runtime on samples ``(N, ...)``.

        Raises:
            InternalError: they differ by more than rounding.
            ModelError: the network's own output is NaN, infinite or lost in rounding (E117).
        """
        sample = torch.from_numpy(x)
        with torch.no_grad():
            got = self.graph.run(sample)
        expected = torch.from_numpy(self.reference.run(x))
        if not bool(expected.isfinite().all()):
            raise ModelError(
                "E117",
                f"{self.path.name}: an output is NaN or infinite on these samples",
                "are the samples scaled as in training? if so, the network itself overflows",
            )
        error = relative_error(got, expected)
        if not error <= LIMIT:
            with torch.no_grad():
                exact = self.graph.mapped(lambda tensor: tensor.double()).run(sample.double())
            lost = relative_error(got, exact)
            if not lost <= LIMIT / 10:
                raise ModelError(
                    "E117",
                    f"{self.path.name}: rounding to float32 changes an output by {lost:.1g} of the largest",
                    "the network cancels large numbers, and cannot be verified",
                )
            if error <= EPSILON * self.graph.longest_sum:
                raise ModelError(
                    "E117",
                    f"{self.path.name}: adding {self.graph.longest_sum} numbers in float32 changes an output by "
                    f"{error:.1g} of the largest",
                    "how the numbers are added decides what comes out, and the network cannot be verified",
                )
        return Equivalence("loaded network", "ONNX Runtime", error, LIMIT).require()


def open_model(path: Path, asked: Asked = NOTHING_ASKED) -> OnnxFile:
    """Read, parse and validate a model file; what torch wrote becomes ONNX first.

    Raises:
        UsageError: no such file (E001).
        ModelError: the file is broken or hostile (E101 to E121).
    """
    content = read_bytes(path)
    digest = hashlib.sha256(content).hexdigest()
    network = read_torch(path, content, asked) if is_torch(content) else None
    if network:
        del content  # a large network is in memory once while torch works, and not twice
        content = network.to_onnx()
    model = parse(path.name, content)
    del content  # nor while its weights are decoded
    return validate(path, digest, model, asked, network.handover if network else None)


def model_digest(path: Path) -> str:
    """Return the digest that :func:`open_model` gives a model, with its external data, without decoding the model.

    Raises:
        UsageError: no such file (E001).
        ModelError: the file, or what it says of external data, is broken (E101 to E112).
    """
    content = read_bytes(path)
    own = hashlib.sha256(content).hexdigest()
    beside = Neighbours(path.parent)
    for tensor in () if is_torch(content) else parse(path.name, content).graph.initializer:
        if is_external(tensor):
            beside.read(tensor, f"{path.name}: tensor '{tensor.name}'", claimed_bytes(tensor))
    return beside.digest(own)


def survey_model(file: OnnxFile) -> tuple[tuple[Origin, ...], dict[str, ModelError]]:
    """Return every node of a model, and the refusals by node name: all of them, not the first one only.

    Raises:
        ModelError: its input or output cannot be taken (E124).
    """
    rest, output, dropped = without_last(file)
    return survey_nodes(rest, read_input(file), output, dropped)


def read_model(file: OnnxFile) -> Loaded:
    """Read a validated model into a graph.

    Raises:
        ModelError: it holds what cannot be converted (E113 to E124).
    """
    graph_input = read_input(file)
    rest, output, dropped = without_last(file)
    graph = build_graph(rest, graph_input, output, dropped)
    note = denormal_note(file.constants)
    if note:
        graph = graph.replace(notes=(*graph.notes, note))
    return Loaded(file.path, file.sha256, file.files, graph, Reference(rest, graph_input, output))


def load_model(path: Path, asked: Asked = NOTHING_ASKED) -> Loaded:
    """Read a model file into a graph.

    Raises:
        UsageError: no such file.
        ModelError: the file is broken or hostile, or holds what cannot be converted.
    """
    return read_model(open_model(path, asked))


def denormal_note(constants: Mapping[str, Array]) -> str | None:
    """Return a note that names weights with numbers so small that they lose digits; None where there are none."""
    found = []
    for name, value in constants.items():
        if value.dtype.kind == "f":
            small = np.abs(value) < np.finfo(np.float32).tiny
            count = np.count_nonzero(value[small])
            if count:
                found.append(f"'{name}' ({count})")
    if not found:
        return None
    more = ", ..." if len(found) > NAMED else ""
    return f"denormal numbers, which some processors take for 0, in {', '.join(found[:NAMED])}{more}"
