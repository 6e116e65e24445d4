"""Runs a NIR graph in the simulators that are installed, with the helpers that are documented for them, or without."""

import copy
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from snnconvert.export.nir_helpers import for_sinabs, for_spikingjelly

Run = Callable[..., tuple[Tensor, dict[str, Tensor]]]  # of a graph, samples and a number of steps; see run_nir


def installed() -> dict[str, Run]:
    """Return the importers that can be imported here, as functions like :func:`run_nir`."""
    return {name: run for name, run in IMPORTERS.items() if importlib.util.find_spec(name) is not None}


def run_spikingjelly(graph: Any, x: Tensor, steps: int, helped: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a graph in SpikingJelly."""
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    graph = copy.deepcopy(graph)
    model = import_from_nir(graph, dt=1.0)
    if helped:
        for_spikingjelly(model, graph, samples=len(x))
    counts = _counted(model, graph, lambda output: output[0])
    total, state = torch.zeros(()), None
    with torch.no_grad():
        for _ in range(steps):
            output, state = model(x, state)
            total = total + output
    return total, counts


def run_sinabs(graph: Any, x: Tensor, steps: int, helped: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a graph in sinabs."""
    import sinabs.nir

    graph = copy.deepcopy(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nirtorch.load is deprecated, and sinabs uses it
        model = sinabs.nir.from_nir(graph, num_timesteps=steps)
    if helped:
        for_sinabs(model, graph, samples=len(x))
    counts = _counted(model, graph, lambda output: output.unflatten(0, (len(x), steps)).sum(1))
    with torch.no_grad():
        output, _ = model(x.repeat_interleave(steps, 0))
    return output.unflatten(0, (len(x), steps)).sum(1), counts


IMPORTERS: Mapping[str, Run] = {"sinabs": run_sinabs, "spikingjelly": run_spikingjelly}


def _counted(model: torch.nn.Module, graph: Any, spikes: Callable[[Any], Tensor]) -> dict[str, Tensor]:
    """Return where the spikes of each IF are summed up while the model runs."""
    counts: dict[str, Tensor] = {}

    def listen(name: str) -> None:
        def add(_module: object, _inputs: object, output: Any) -> None:
            counts[name] = counts[name] + spikes(output) if name in counts else spikes(output)

        model.get_submodule(name).register_forward_hook(add)

    for name, node in graph.nodes.items():
        if type(node).__name__ == "IF":
            listen(name)
    return counts
