"""The file: what older readers need, and what is none."""

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snnconvert.errors import ModelError
from snnconvert.export.nir.export import nir_file
from snnconvert.export.nir.file import nir_bytes, read_nir
from snnconvert.export.nir.lowering import nir_graph
from snnconvert.network import SpikingNetwork

h5py = pytest.importorskip("h5py")
Make = Callable[..., SpikingNetwork]


def test_no_neuron_has_a_reset_potential_that_old_readers_do_not_know(spiking: Make) -> None:
    graph, _ = nir_graph(spiking(["chain", "residual"]), {})
    with h5py.File(io.BytesIO(nir_bytes(graph))) as file:
        neurons = [node for node in file["node"]["nodes"].values() if node["type"][()] == b"IF"]
        assert len(neurons) == 3
        assert all("v_reset" not in node for node in neurons)


def test_the_same_network_gives_the_same_bytes(spiking: Make) -> None:
    once, again = (nir_file(spiking(["inception", "chain"]), {"source": 1}, "portable", [])[0] for _ in range(2))
    assert once == again


def test_the_metadata_say_what_nir_does_not(spiking: Make) -> None:
    content, _ = nir_file(spiking(["chain"]), {"source": {"model": "net.onnx"}}, "portable", ["pools are averaged"])
    graph: Any = read_nir(content, "net.nir")
    told = {name: str(value) for name, value in graph.metadata.items()}
    assert told["reset"] == "subtract"
    assert told["approximations"] == "pools are averaged"
    assert int(graph.metadata["T"]) == 5
    assert "mean of the output" in told["readout"]
    assert "net.onnx" in told["snnconvert"]


def test_a_readout_that_begins_late_takes_more_steps_than_t(spiking: Make) -> None:
    network = spiking(["chain"])
    network = dataclasses.replace(network, schedule=dataclasses.replace(network.schedule, readout_from=3))
    graph: Any = read_nir(nir_file(network, {}, "portable", [])[0], "net.nir")
    assert [int(graph.metadata[name]) for name in ("T", "total_steps", "readout_from")] == [5, 8, 3]
    assert str(graph.metadata["readout"]) == "the mean of the output over T = 5 time steps, from step 3 on"


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(100), np.random.default_rng(0).bytes(5000)])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"E127.*no NIR graph"):
        read_nir(content, "net.nir")


def test_a_truncated_file_is_refused(spiking: Make) -> None:
    content, _ = nir_file(spiking(["chain"]), {}, "portable", [])
    for length in range(8, len(content) - 1, 1501):
        with pytest.raises(ModelError, match="E127"):
            read_nir(content[:length], "net.nir")
