"""Chips' limits against networks that just fit, and that just do not."""

import dataclasses
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
import torch

from snnconvert.graph import Graph
from snnconvert.hardware import TARGETS, Row, Subject
from snnconvert.hardware.speck import _placed
from snnconvert.network import NormalForm, SpikingNetwork, spiking_network
from snnconvert.neurons import make_neuron


def network(graph: Graph, neuron: str = "if") -> SpikingNetwork:
    return spiking_network(NormalForm(graph, {}), make_neuron(neuron, {}))


def whole(graph: Graph, unit: float = 2.0**-6) -> Graph:
    """Weights are 8-bit numbers, with the largest there is in every output."""

    def rounded(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim < 2:
            return torch.zeros_like(tensor)
        found = (tensor * 100).round().clamp(-127, 127)
        found.flatten(1)[:, 0] = 127
        return found * unit

    return graph.mapped(rounded)


def speck(found: SpikingNetwork) -> dict[str, tuple[str, bool]]:
    return {row.what: (row.found, row.fits) for row in rows_of("speck", found)}


def rows_of(target: str, found: SpikingNetwork, **reached: float) -> Sequence[Row]:
    return TARGETS[target].rows(Subject(found, reached))


def plain(nets: Any, channels: int = 4, kernel: int = 3, stride: int = 1, size: int = 16) -> Graph:
    net = nets.Net(2, size, size)
    first = net.relu(net.conv("x", channels, nets.window(kernel, stride, kernel // 2)))
    return net.graph(net.conv(net.average(first, nets.window(2, 2)), 3))


def test_network_of_whole_weights_fits_but_for_its_input(nets: ModuleType) -> None:
    rows = speck(network(whole(plain(nets))))
    assert {what for what, (_, fits) in rows.items() if not fits} == {"input"}
    assert rows["threshold"] == ("64", True)
    assert rows["cores"] == ("2", True)
    assert rows["pools"] == ("2", True)


@pytest.mark.parametrize(
    ("options", "what", "found"),
    [
        ({"kernel": 17}, "kernel", "17"),
        ({"stride": 3}, "stride", "1, 3"),
        ({"size": 130, "stride": 4}, "size of an input map", "130"),
        ({"size": 66}, "size of an output map", "66"),
        ({"kernel": 17, "size": 20}, "padding", "8"),
        ({"channels": 1025, "kernel": 1}, "channels of a layer", "1,025"),
    ],
)
def test_one_over_a_limit_does_not_fit(nets: ModuleType, options: dict[str, int], what: str, found: str) -> None:
    assert speck(network(whole(plain(nets, **options))))[what] == (found, False)


def test_float_weights_have_no_whole_threshold(nets: ModuleType) -> None:
    rows = speck(network(plain(nets)))
    assert [rows[what][1] for what in ("weights", "threshold", "scales of a layer")] == [False, False, False]


@pytest.mark.parametrize("name", ["loihi2", "spinnaker2"])
def test_float_weights_do_not_fit(nets: ModuleType, name: str) -> None:
    rows = {row.what: row for row in rows_of(name, network(plain(nets)))}
    assert (rows["weights"].found, rows["weights"].fits) == ("more than 8 bits", False)


@pytest.mark.parametrize(("name", "limit"), [("speck", 2**15 - 1), ("loihi2", 2**17 - 1)])
def test_potentials_are_compared_where_they_were_measured(nets: ModuleType, name: str, limit: int) -> None:
    found = network(whole(plain(nets)))
    (layer,) = found.neurons
    for largest, told, fits in ((limit - 0.5, limit, True), (limit + 0.5, limit + 1, False)):
        row = {row.what: row for row in rows_of(name, found, **{layer: largest})}["potentials, as measured"]
        assert (row.found, row.fits) == (f"{told:,}", fits)
    assert "potentials, as measured" not in {row.what for row in rows_of(name, found)}  # nobody measured them


def test_kernels_are_square_and_of_one_group(nets: Any) -> None:
    net = nets.Net(4, 8, 8)
    graph = net.graph(
        net.conv(net.relu(net.conv("x", 4, nets.window((3, 1)), groups=2)), 3, nets.window(3, dilation=2))
    )
    rows = speck(network(graph))
    assert rows["shape of kernels"] == ("3x1", False)
    assert rows["groups, dilation"] == ("1, 2", False)


def test_scales_and_thresholds_are_of_a_layer(nets: ModuleType) -> None:
    rows = speck(network(whole(plain(nets), 2.0**-16)))
    assert rows["threshold"] == ("65,536", False)
    found = network(whole(plain(nets)))
    (first, *_) = (node for node in found.graph.nodes if hasattr(node.operator, "weight"))
    first.operator.weight[1] *= 2
    assert speck(found)["scales of a layer"] == ("more in 1 layers", False)


def test_what_the_chip_has_not_is_named(nets: Any) -> None:
    net = nets.Net(2, 8, 8)
    graph = net.graph(net.conv(net.maximum(net.relu(net.conv("x", 4)), nets.window(2, 2)), 3))
    assert speck(network(graph))["operators"] == ("MaxPool", False)
    assert speck(network(plain(nets), "lif"))["neurons"] == ("lif", False)


def test_layers_need_cores_of_their_own(nets: Any) -> None:
    net = nets.Net(2, 8, 8)
    value = "x"
    for _ in range(10):
        value = net.relu(net.conv(value, 2))
    rows = speck(network(net.graph(value)))
    assert rows["cores"] == ("10", False)
    assert rows["kernel and neuron memory"] == ("not one for each", False)
    large = nets.Net(64, 32, 32)
    graph = large.graph(large.relu(large.conv("x", 64)))  # 64 Ki of kernels and 64 Ki of neurons: no core has both
    assert speck(network(graph))["kernel and neuron memory"] == ("1 layers fit none", False)


@pytest.mark.parametrize(
    ("fitting", "placed"),
    [
        ([[0], [0]], False),
        ([[0, 1], [0]], True),
        ([[0, 1], [0, 1], [1, 0]], False),
        ([[0, 2], [0], [2, 1]], True),
        ([], True),
    ],
)
def test_cores_are_shared_out(fitting: list[list[int]], placed: bool) -> None:
    assert _placed(fitting) is placed


def test_a_value_that_three_layers_read_has_too_large_a_fan_out(nets: Any) -> None:
    net = nets.Net(2, 8, 8)
    first = net.relu(net.conv("x", 2))
    graph = net.graph(net.sum(*(net.conv(first, 2) for _ in range(3))))
    assert speck(network(graph))["layers that read one"] == ("3", False)


@pytest.mark.parametrize("name", ["loihi2", "spinnaker2"])
def test_chips_are_full_at_some_size(nets: Any, name: str) -> None:
    assert all(row.fits for row in rows_of(name, network(whole(plain(nets)))))
    net = nets.Net(1, 1024, 1024)
    rows = {row.what: row for row in rows_of(name, network(net.graph(net.relu("x"))))}
    assert not rows["neurons of a chip"].fits
    assert rows["neurons of a chip"].found == f"{2**20:,}"


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_row_has_a_source(nets: ModuleType, name: str) -> None:
    for row in rows_of(name, network(plain(nets))):
        assert all(dataclasses.asdict(row)[what] for what in ("what", "limit", "found", "source"))
        assert len(row.what) <= 24
        assert len(row.limit) <= 24
