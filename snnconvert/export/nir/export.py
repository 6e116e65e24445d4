"""A spiking network as a NIR file, and the file checked by running it."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from snnconvert import __version__
from snnconvert.errors import first_line
from snnconvert.export.nir.file import nir_bytes, read_nir
from snnconvert.export.nir.importers import installed
from snnconvert.export.nir.interpreter import run_nir
from snnconvert.export.nir.lowering import Profile, nir_graph
from snnconvert.export.verification import Agreement, Expected, require_equal
from snnconvert.network import Encoding, SpikingNetwork
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire

INPUTS: Mapping[Encoding, str] = {
    "constant": "the sample is the input of every time step",
    "events": "the input of a time step is what of a recording arrives in it, times T",
}


def nir_file(
    network: SpikingNetwork,
    source: Mapping[str, Any],
    profile: Profile,
    notes: list[str],
    encoding: Encoding = "constant",
) -> tuple[bytes, list[str]]:
    """Return the bytes of a NIR file, and lines on what was written otherwise; ``source`` is told in its metadata.

    So is ``encoding``: what to present to it, whatever the network's own.

    Raises:
        ModelError: NIR cannot express the network (E126).
        OutputError: the package nir is not installed (E404).
    """
    resets = sorted({n.reset for n in network.neurons.values() if isinstance(n, IntegrateAndFire)})
    steps, begins = network.schedule.steps, network.schedule.readout_from
    about = {
        **source,
        "written_by": f"snnconvert {__version__}",
        "profile": profile,
        "T": steps,
        "total_steps": steps + begins,
        "dt": 1.0,
        "reset": ", ".join(resets),
        "encoding": INPUTS[encoding],
        "readout": f"the mean of the output over T = {steps} time steps, from step {begins} on",
        "readout_from": begins,
        "approximations": "; ".join(notes) or "none",
    }
    graph, written = nir_graph(network, about, profile)
    return nir_bytes(graph), written


def verify_nir(
    content: bytes, network: SpikingNetwork, samples: Tensor, expected: Expected, profile: Profile
) -> Iterator[Agreement | str]:
    """Run the file in our own interpreter and in each importer that is installed; yield how each compares.

    Of an importer that does not take the file, yield a line that says why.

    Raises:
        InternalError: spike counts or outputs differ from the engine's (E912).
    """
    graph = read_nir(content, "interpreter", profile == "portable")
    total, spikes, left = run_nir(graph, samples, expected.steps)
    output, counts, potentials = total / expected.steps, _original(graph, spikes), _original(graph, left)
    yield require_equal(network, expected, "interpreter", output, counts, potentials)
    for by, run in installed().items():
        graph = read_nir(content, by, profile == "portable")
        try:
            total, spikes = run(graph, samples, expected.steps)
        except Exception as problem:  # noqa: BLE001 - an importer's own
            yield f"{by} does not take it: {first_line(problem)}"
            continue
        yield require_equal(network, expected, by, total / expected.steps, _original(graph, spikes))


def _original(graph: Any, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return values of layers under the names that these have in the network."""
    names = {name: graph.nodes[name].metadata["node"] for name in values}
    return {name.decode() if isinstance(name, bytes) else str(name): values[own] for own, name in names.items()}
