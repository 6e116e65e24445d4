"""Networks with exact sums, as NIR graphs and in the engine."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from snnconvert.export.nir.file import nir_bytes, read_nir
from snnconvert.export.nir.lowering import Profile, nir_graph
from snnconvert.fold import pools_averaged
from snnconvert.graph import Graph
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import Neuron
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire

pytest.importorskip("nir", reason="NIR is written by the package nir: pip install 'snnconvert[nir]'")
STEPS = 5


@pytest.fixture
def quarters() -> Callable[[SpikingNetwork], Tensor]:
    """Return samples that are multiples of 1/4: over dyadic weights every sum is exact."""

    def make(network: SpikingNetwork) -> Tensor:
        seeded = torch.Generator().manual_seed(0)
        return torch.randint(-6, 7, (3, *network.graph.input_shape), generator=seeded) / 4

    return make


@pytest.fixture
def spiking(nets: ModuleType) -> Callable[..., SpikingNetwork]:
    """Return the spiking network of some blocks, or of a graph."""

    def make(blocks: "list[str] | Graph", neuron: Neuron | None = None) -> SpikingNetwork:
        graph = nets.recipe(blocks, dyadic=True) if isinstance(blocks, list) else blocks
        form = NormalForm(pools_averaged(graph), {})
        return spiking_network(form, neuron or IntegrateAndFire(), "average", Schedule(STEPS))

    return make


@pytest.fixture
def written() -> Callable[..., Any]:
    """Write a network, and read the file again."""

    def write(network: SpikingNetwork, profile: Profile = "portable") -> Any:
        graph, _ = nir_graph(network, {"T": STEPS}, profile)
        return read_nir(nir_bytes(graph), "net.nir", profile == "portable")

    return write
