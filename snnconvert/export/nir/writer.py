"""Collects the nodes and edges of a NIR graph; names are those that every reader takes."""

import json
import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnconvert.errors import OutputError
from snnconvert.export.nir.terms import Term
from snnconvert.graph import Shape

INPUT, OUTPUT = "input", "output"


def nir_package() -> Any:
    """Return the package ``nir``.

    Raises:
        OutputError: it is not installed (E404).
    """
    try:
        import nir
    except ImportError:
        raise OutputError("E404", "the package nir is not installed", "pip install 'snnconvert[nir]'") from None
    return nir


class NirWriter:
    """Nodes and edges, in the order in which they are written: each node stands behind those that it reads."""

    def __init__(self, input_shape: Shape) -> None:
        self.nir = nir_package()
        self.nodes: dict[str, Any] = {INPUT: self.nir.Input(input_type={"input": np.array(input_shape)})}
        self.edges: list[tuple[str, str]] = []
        self.shapes: dict[str, Shape] = {INPUT: input_shape}

    def name(self, wished: str) -> str:
        """Return a name for HDF5 groups, torch modules and Python variables alike, which no node has."""
        name = re.sub(r"\W", "_", wished, flags=re.ASCII)
        if not name or name[0].isdigit() or name in (INPUT, OUTPUT) or keyword.iskeyword(name):
            name = f"node_{name}"
        candidate, count = name, 1
        while candidate in self.nodes:
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    def add(self, wished: str, node: Any, sources: Sequence[str], shape: Shape) -> str:
        """Add a node that reads the sum of its sources, and return its name."""
        name = self.name(wished)
        self.nodes[name] = node
        self.shapes[name] = shape
        self.edges += [(source, name) for source in sources]
        return name

    def affine(self, name: str, term: Term, weight: Tensor, bias: Tensor | None) -> Term:
        """Add weights ``(outputs, inputs of the node)`` over a term's source."""
        node = self.nir.Affine(weight=array(weight), bias=array(filled(bias, len(weight))))
        return Term(self.add(name, node, [term.source], (len(weight),)), len(weight))

    def convolution(
        self,
        name: str,
        term: Term,
        weight: Tensor,
        bias: Tensor | None,
        output: Shape,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int = 1,
    ) -> Term:
        """Add a convolution with weights ``(O, I/groups, *kernel)`` over a term's source."""
        space = self.shapes[term.source][1:]
        settings = {"weight": array(weight), "bias": array(filled(bias, len(weight))), "groups": groups}
        if len(space) == 1:
            node = self.nir.Conv1d(
                input_shape=space[0], stride=stride[0], padding=padding[0], dilation=dilation[0], **settings
            )
        else:
            whole = {"stride": stride, "padding": padding, "dilation": dilation}
            node = self.nir.Conv2d(
                input_shape=space, **settings, **{key: np.array(value) for key, value in whole.items()}
            )
        return Term(self.add(name, node, [term.source], output), len(weight))

    def biased(self, term: Term, bias: Tensor) -> None:
        """Add to the bias ``(outputs,)`` of the weights that a term is the output of."""
        self.nodes[term.source].bias += array(bias)

    def finish(self, source: str, output: Shape, about: Mapping[str, Any], checked: bool) -> Any:
        """Return the graph whose output is that of a node."""
        self.nodes[OUTPUT] = self.nir.Output(output_type={"output": np.array(output)})
        self.edges.append((source, OUTPUT))
        plain = {key: value for key, value in about.items() if isinstance(value, str | int | float)}
        metadata = {**plain, "snnconvert": json.dumps(about, sort_keys=True)}
        return self.nir.NIRGraph(self.nodes, self.edges, metadata=metadata, type_check=checked)


def array(tensor: Tensor) -> Any:
    """Return a copy as a float32 array."""
    return np.array(tensor.detach().to(torch.float32).numpy())


def filled(bias: Tensor | None, outputs: int) -> Tensor:
    """Return a bias for every output: readers want one."""
    return torch.zeros(outputs) if bias is None else bias
