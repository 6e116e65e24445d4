"""Other simulators, where they are installed: the same spikes with the documented helpers, and others without them."""

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from snnconvert.export.nir.importers import IMPORTERS
from snnconvert.network import SpikingNetwork
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.simulate import Simulator

STEPS = 5
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


@pytest.mark.parametrize("neuron", [IntegrateAndFire(), IntegrateAndFire("zero", 0.25)], ids=str)
@pytest.mark.parametrize("blocks", [["chain", "average"], ["residual"], ["projection"], ["option A"], ["inception"]])
@pytest.mark.parametrize("name", IMPORTERS)
def test_an_importer_gives_the_engines_spikes(
    spiking: Callable[..., SpikingNetwork],
    written: Callable[..., Any],
    quarters: Callable[[SpikingNetwork], Tensor],
    name: str,
    blocks: list[str],
    neuron: IntegrateAndFire,
) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: `make peers` runs it")
    network = spiking(blocks, neuron)
    graph, x = written(network), quarters(network)
    (expected,) = Simulator(network).run(x, [STEPS])
    total, counts = IMPORTERS[name](graph, x, STEPS)
    for layer, count in counts.items():
        assert torch.equal(count, expected.counts[str(graph.nodes[layer].metadata["node"])])
    torch.testing.assert_close(total, expected.output, rtol=1e-5, atol=1e-5)
