"""Tells importers of NIR what a file of ours says in its metadata, and NIR has no words for.

    from spikingjelly.activation_based.nir_exchange import import_from_nir
    graph = nir.read("net.nir")
    model = for_spikingjelly(import_from_nir(graph, dt=1.0), graph, samples=N)
    output, state = model(x); output, state = model(x, state); ...        # x (N, ...), once a step

    import sinabs.nir
    graph = nir.read("net.nir")
    model = for_sinabs(sinabs.nir.from_nir(graph, num_timesteps=T), graph, samples=N)
    output, _ = model(x.repeat_interleave(T, 0))                          # (N * T, ...)

Without them SpikingJelly resets neurons to 0, sinabs lets them fire several times a step and clamps their potential at
minus the threshold, both start at 0, and sinabs runs the nodes of graphs with branches in a wrong order. For other
samples, import the file again.
"""

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any, TypeVar

import numpy as np
import torch

Model = TypeVar("Model", bound=torch.nn.Module)


def for_spikingjelly(model: Model, graph: Any, samples: int) -> Model:
    """Give what SpikingJelly (2.0) made of a graph its resets, and its initial potentials for N samples."""
    for layer, told, shape in _layers(model, graph):
        neuron = layer.module
        if _text(told["reset"]) == "subtract":
            neuron.v_reset = None
        neuron.v = _potential(told).expand(samples, *shape).clone()
    return model


def for_sinabs(model: Model, graph: Any, samples: int) -> Model:
    """Give what sinabs (3.1) made of a graph single spikes, resets, potentials for N samples, and an order of nodes."""
    from sinabs.activation import MembraneReset, SingleSpike

    for layer, told, shape in _layers(model, graph):
        layer.spike_fn, layer.min_v_mem = SingleSpike, None
        if _text(told["reset"]) != "subtract":
            layer.reset_fn = MembraneReset()
        layer.init_state_with_shape((samples, *shape))
        layer.v_mem = layer.v_mem + _potential(told)
    place = {name: index for index, name in enumerate(_in_order(graph))}
    executor: Any = model
    executor.execution_order.sort(key=lambda node: place[node.name])
    return model


def _layers(model: torch.nn.Module, graph: Any) -> Iterator[tuple[Any, Mapping[str, Any], tuple[int, ...]]]:
    """Yield the module of each IF node, the metadata of that, and its shape."""
    for name, node in graph.nodes.items():
        if type(node).__name__ == "IF":
            yield model.get_submodule(name), node.metadata, node.v_threshold.shape


def _in_order(graph: Any) -> list[str]:
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        before[target].append(source)
    return list(TopologicalSorter(before).static_order())


def _potential(told: Mapping[str, Any]) -> torch.Tensor:
    return torch.from_numpy(np.array(told["v0"], np.float32))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
