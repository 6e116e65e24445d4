"""Runs a NIR graph, and knows nothing of how ours are written: what its nodes say, and what their metadata add.

Nodes run in topological order, one time step after the other; what arrives over several edges is summed. An IF fires
where v reaches its threshold (``fires`` in its metadata, else where v exceeds it, as NIR's text has it), and resets by
subtraction where its metadata say so, else to ``v_reset``; it starts at ``v0``, else at 0.
"""

from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own documentation calls it so
from torch import Tensor

from snnconvert.errors import ModelError

HINT = "export it again"
Function = Callable[[Tensor], Tensor]


def run_nir(graph: Any, x: Tensor, steps: int) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Present ``x (N, ...)`` as a constant current; return the sum of the outputs, and of each IF the spikes, summed,
    and the potentials that it is left with.

    Raises:
        ModelError: a node of a kind that is not known here, a loop, or not one input and one output (E127).
    """
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        before[target].append(source)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError:
        raise ModelError("E127", "the NIR graph has a loop", HINT) from None
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    if kinds.count("Input") != 1 or kinds.count("Output") != 1:
        raise ModelError("E127", "the NIR graph has not one input and one output", HINT)
    functions = {name: _function(node) for name, node in graph.nodes.items()}
    layers = {name: function for name, function in functions.items() if isinstance(function, Neurons)}
    total: Tensor | None = None
    for _ in range(steps):
        values: dict[str, Tensor] = {}
        for name in order:
            current = x if not before[name] else values[before[name][0]]
            for source in before[name][1:]:
                current = current + values[source]
            values[name] = functions[name](current)
            if type(graph.nodes[name]).__name__ == "Output":
                total = values[name] if total is None else total + values[name]
    if total is None:
        raise ModelError("E127", "no step was run", HINT)
    left = {name: layer.potential for name, layer in layers.items() if layer.potential is not None}
    return total, {name: layer.count for name, layer in layers.items()}, left


class Neurons:
    """The integrate-and-fire neurons of one node."""

    def __init__(self, node: Any) -> None:
        told: Mapping[str, Any] = node.metadata
        self.threshold, self.r, self.reset = (_tensor(each) for each in (node.v_threshold, node.r, node.v_reset))
        self.subtracts = _text(told.get("reset", "zero")) == "subtract"
        self.reaches = _text(told.get("fires", "v > v_threshold")) == "v >= v_threshold"
        self.start = _tensor(told.get("v0", 0.0))
        self.potential: Tensor | None = None
        self.count = torch.zeros(())

    def __call__(self, current: Tensor) -> Tensor:
        if self.potential is None:
            self.potential = self.start.expand(current.shape)
        v = self.potential + self.r * current
        fires = v >= self.threshold if self.reaches else v > self.threshold
        self.potential = v - fires * self.threshold if self.subtracts else torch.where(fires, self.reset, v)
        spikes = fires.to(v.dtype)
        self.count = self.count + spikes
        return spikes


def _function(node: Any) -> Function:
    kind = type(node).__name__
    if kind not in _FUNCTIONS:
        raise ModelError("E127", f"the NIR graph has a node of the kind {kind}, which is not known here", HINT)
    return _FUNCTIONS[kind](node)


def _convolution(node: Any) -> Function:
    weight, bias = _tensor(node.weight), _tensor(node.bias)
    function = F.conv1d if weight.ndim == 3 else F.conv2d
    settings = [_whole(each) for each in (node.stride, node.padding, node.dilation, node.groups)]
    return lambda x: function(x, weight, bias, *settings)


def _affine(node: Any) -> Function:
    weight, bias = _tensor(node.weight), _tensor(node.bias)
    return lambda x: F.linear(x, weight, bias)


def _sum_pool(node: Any) -> Function:
    kernel, stride, padding = (_whole(each) for each in (node.kernel_size, node.stride, node.padding))

    def pool(x: Tensor) -> Tensor:  # a sum as a convolution: a mean times the size would be rounded
        one = torch.ones((x.shape[1], 1, *kernel), dtype=x.dtype)
        return F.conv2d(x, one, None, stride, padding, 1, x.shape[1])

    return pool


def _flatten(node: Any) -> Function:
    first, last = int(node.start_dim), int(node.end_dim)
    return lambda x: x.flatten(first + 1 if first >= 0 else first, last + 1 if last >= 0 else last)


def _scale(node: Any) -> Function:
    scale = _tensor(node.scale)
    return lambda x: x * scale


def _identity(node: Any) -> Function:
    return lambda x: x


_FUNCTIONS: Mapping[str, Callable[[Any], Function]] = {
    "Input": _identity,
    "Output": _identity,
    "Affine": _affine,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "SumPool2d": _sum_pool,
    "Flatten": _flatten,
    "Scale": _scale,
    "IF": Neurons,
}


def _tensor(value: Any) -> Tensor:
    return torch.from_numpy(np.array(value, np.float32))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _whole(value: Any) -> Any:
    array = np.asarray(value)
    return int(array) if array.ndim == 0 else tuple(int(each) for each in array)
