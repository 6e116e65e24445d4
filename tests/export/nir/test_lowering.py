"""Networks as NIR: the same spikes in an interpreter that knows nothing of ours, or a refusal with its reason."""

import dataclasses
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from snnconvert.errors import ModelError
from snnconvert.export.nir.interpreter import run_nir
from snnconvert.export.nir.lowering import PROFILES, Profile, nir_graph
from snnconvert.network import Schedule, SpikingNetwork
from snnconvert.neurons import make_neuron
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.operators.affine import Affine
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.window import Window
from snnconvert.simulate import Simulator

STEPS = 5
TAKEN = (
    ["chain"],
    ["clipped"],
    ["residual"],
    ["projection"],
    ["option A"],
    ["inception"],
    ["average"],
    ["bottleneck"],
    ["preactivation"],
    ["read twice"],
    ["chain", "residual", "projection", "option A", "inception", "chain"],
)
Make, Write, Samples = Callable[..., SpikingNetwork], Callable[..., Any], Callable[[SpikingNetwork], Tensor]


def by_layer(graph: Any, counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {str(graph.nodes[name].metadata["node"]): count for name, count in counts.items()}


def require_same(network: SpikingNetwork, graph: Any, x: Tensor) -> None:
    (expected,) = Simulator(network).run(x, [STEPS])
    total, counts, _ = run_nir(graph, x, STEPS)
    found = by_layer(graph, counts)
    assert found.keys() == network.neurons.keys()
    assert all(torch.equal(count, expected.counts[name]) for name, count in found.items())
    assert any(bool(count.any()) for count in found.values())
    torch.testing.assert_close(total, expected.output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("neuron", [IntegrateAndFire(), IntegrateAndFire("zero", 0.25)], ids=str)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("blocks", TAKEN, ids=" ".join)
def test_spikes_are_the_engines(
    spiking: Make, written: Write, quarters: Samples, blocks: list[str], profile: Profile, neuron: IntegrateAndFire
) -> None:
    network = spiking(blocks, neuron)
    require_same(network, written(network, profile), quarters(network))


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "before", "after"),
    [
        ((1, 3), (1, 1), (1, 1), (0, 1), (0, 1)),
        ((3, 1), (2, 1), (1, 1), (0, 0), (0, 0)),
        ((3, 3), (1, 1), (1, 1), (0, 1), (2, 1)),
        ((3, 3), (2, 2), (1, 1), (0, 0), (1, 1)),
        ((2, 2), (2, 2), (1, 1), (0, 0), (0, 0)),
        ((3, 3), (1, 1), (2, 2), (2, 2), (2, 2)),
        ((5, 3), (3, 2), (1, 1), (2, 0), (1, 1)),
    ],
)
@pytest.mark.parametrize("profile", PROFILES)
def test_any_window_keeps_its_outputs(
    nets: ModuleType,
    spiking: Make,
    written: Write,
    quarters: Samples,
    profile: Profile,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    before: tuple[int, int],
    after: tuple[int, int],
) -> None:
    net = nets.Net(2, 9, 9, dyadic=True)
    x = net.relu(net.conv("x", 4))
    window = Window(kernel, stride, dilation, before, after)
    network = spiking(net.graph(net.relu(net.conv(x, 3, window))))
    graph = written(network, profile)
    require_same(network, graph, quarters(network))
    shapes = [node.weight.shape[2:] for node in graph.nodes.values() if type(node).__name__ == "Conv2d"]
    assert profile == "native" or all(len(set(shape)) == 1 for shape in shapes)


def test_a_kernel_that_fits_no_square_is_refused_and_taken_natively(
    nets: ModuleType, spiking: Make, written: Write, quarters: Samples
) -> None:
    net = nets.Net(2, 8, 8, dyadic=True)
    network = spiking(net.graph(net.relu(net.conv("x", 3, nets.window((1, 2))))))
    with pytest.raises(ModelError, match=r"E126.*no padding alike on both sides and a square kernel"):
        nir_graph(network, {})
    require_same(network, written(network, "native"), quarters(network))


def test_groups_are_written_densely_and_told(nets: ModuleType, spiking: Make) -> None:
    net = nets.Net(4, 6, 6, dyadic=True)
    network = spiking(net.graph(net.relu(net.conv(net.relu(net.conv("x", 8)), 8, groups=8))))
    graph, notes = nir_graph(network, {})
    assert [node.groups for node in graph.nodes.values() if type(node).__name__ == "Conv2d"] == [1, 1]
    assert notes == ["node 'convolution2': 8 groups are written as 576 weights of one"]
    graph, notes = nir_graph(network, {}, "native")
    assert [node.groups for node in graph.nodes.values() if type(node).__name__ == "Conv2d"] == [1, 8]
    assert notes == []


def test_a_pool_is_a_sum_whose_factor_is_in_the_next_weights(nets: ModuleType, spiking: Make) -> None:
    net = nets.Net(2, 8, 8, dyadic=True)
    pooled = net.average(net.relu(net.conv("x", 4)))
    network = spiking(net.graph(net.linear(net.flatten(net.relu(net.conv(pooled, 3, name="behind"))), 2)))
    graph, _ = nir_graph(network, {})
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert kinds == ["Input", "Conv2d", "IF", "SumPool2d", "Conv2d", "IF", "Flatten", "Affine", "Output"]
    operator = network.graph.by_name["behind"].operator
    assert isinstance(operator, Convolution)
    np.testing.assert_array_equal(graph.nodes["behind"].weight, operator.weight.numpy() / 4)


def test_an_add_is_two_edges_and_a_concat_two_convolutions(nets: ModuleType, spiking: Make) -> None:
    net = nets.Net(2, 8, 8, dyadic=True)
    one, other = (net.relu(net.conv("x", 3), name=name) for name in ("one", "other"))
    joined = net.conv(net.concat(one, other), 4, name="joined")
    network = spiking(net.graph(net.relu(net.sum(joined, net.conv(one, 4, name="short")), name="last")))
    graph, _ = nir_graph(network, {})
    assert sorted(source for source, target in graph.edges if target == "last") == ["joined_0", "joined_1", "short"]
    assert ("one", "joined_0") in graph.edges
    assert ("other", "joined_1") in graph.edges
    assert not graph.nodes["joined_1"].bias.any()


def test_an_identity_shortcut_without_a_scale_is_an_edge(nets: ModuleType, spiking: Make) -> None:
    net = nets.Net(2, 8, 8, dyadic=True)
    first = net.relu(net.conv("x", 4), name="first")
    network = spiking(net.graph(net.relu(net.sum(net.conv(first, 4), first), name="last")))
    graph, _ = nir_graph(network, {})
    assert ("first", "last") in graph.edges


def test_a_value_that_is_added_to_itself_is_not_lost(
    nets: ModuleType, spiking: Make, written: Write, quarters: Samples
) -> None:
    net = nets.Net(2, 8, 8, dyadic=True)
    first = net.relu(net.conv("x", 4))
    network = spiking(net.graph(net.relu(net.sum(first, first))))
    require_same(network, written(network), quarters(network))


@pytest.mark.parametrize("shared", [False, True])
def test_a_bias_of_a_layer_reaches_that_layer_alone(
    nets: ModuleType, spiking: Make, written: Write, quarters: Samples, shared: bool
) -> None:
    net = nets.Net(2, 8, 8, dyadic=True)
    current = net.conv("x", 4)
    first = net.relu(current, name="first")
    second = net.relu(net.sum(net.conv(first, 4), current) if shared else net.conv(first, 4))
    network = spiking(net.graph(second))
    table = torch.tensor([0.25, -0.5, 0.0, 1.0]).reshape(1, 4, 1, 1)
    network = dataclasses.replace(network, biases={"first": table, second: table / 2})
    require_same(network, written(network), quarters(network))


def test_potentials_of_single_neurons_are_in_the_metadata(spiking: Make, written: Write, quarters: Samples) -> None:
    network = spiking(["chain", "chain"])
    name = network.graph.activations[0].name
    shape = network.graph.shapes[name]
    start = torch.randint(0, 16, shape, generator=torch.Generator().manual_seed(3)) / 16
    network = dataclasses.replace(network, potentials={name: start})
    graph = written(network)
    np.testing.assert_array_equal(graph.nodes[name].metadata["v0"], start.numpy())
    require_same(network, graph, quarters(network))


def test_names_that_no_reader_would_take_are_changed(nets: ModuleType, spiking: Make, written: Write) -> None:
    net = nets.Net(2, 8, 8, dyadic=True)
    x = "x"
    for name in ("input", "output", "a/b", "a.b", "1", "if", "..", "ä"):
        x = net.relu(net.conv(x, 3), name=name)
    graph = written(spiking(net.graph(x)))
    assert all(name.isidentifier() and name.isascii() for name in graph.nodes)
    assert len({str(node.metadata["node"]) for node in graph.nodes.values() if "node" in node.metadata}) == 8


@pytest.mark.parametrize("joined", [True, False])
def test_matrices_of_any_size_are_refused_before_they_are_made(
    nets: ModuleType, spiking: Make, monkeypatch: pytest.MonkeyPatch, joined: bool
) -> None:
    net = nets.Net(4, dyadic=True)
    one, other = (net.relu(net.linear("x", 2**14)) for _ in range(2))
    both = net.concat(one, other) if joined else net.norm(one)
    network = spiking(net.graph(net.relu(net.linear(both, 2))))
    monkeypatch.setattr(torch, "eye", lambda *_, **__: pytest.fail("it was made"))
    with pytest.raises(ModelError, match=r"E126.*written densely, it takes [0-9]* weights, more than"):
        nir_graph(network, {})


def test_a_name_that_no_text_in_hdf5_holds_is_refused(nets: ModuleType, spiking: Make) -> None:
    net = nets.Net(2, 8, 8, dyadic=True)
    graph = net.graph(net.relu(net.conv("x", 3), name="a\0b"))
    with pytest.raises(ModelError, match=r"E126.*a NUL in its name"):
        nir_graph(spiking(graph), {})


@pytest.mark.parametrize(("block", "reason"), [("maximum", "fewer elements"), ("shuffle", "NIR only flattens")])
@pytest.mark.parametrize("profile", PROFILES)
def test_what_nir_has_no_words_for_is_refused(spiking: Make, block: str, reason: str, profile: Profile) -> None:
    with pytest.raises(ModelError, match=rf"E126.*node '.*{reason}") as refusal:
        nir_graph(spiking([block]), {}, profile)
    assert refusal.value.hint


def test_a_max_pool_is_refused_with_what_to_do(nets: ModuleType, spiking: Make) -> None:
    network = dataclasses.replace(spiking(["chain"]), graph=nets.recipe(["maximum"], dyadic=True), pooling="exact")
    network = dataclasses.replace(network, neurons={n.name: IntegrateAndFire() for n in network.graph.activations})
    with pytest.raises(ModelError, match="NIR has no maximum") as refusal:
        nir_graph(network, {})
    assert "--approximate max-pool" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("neuron", "reason"),
    [
        (make_neuron("if-multi", {}), "no neuron 'if-multi'"),
        (make_neuron("if-signed", {}), "no neuron 'if-signed'"),
        (make_neuron("lif", {}), "no neuron 'lif'"),
        (IntegrateAndFire(leak=0.125), "no constant leak"),
        (IntegrateAndFire(refractory=2), "no refractory period"),
    ],
)
def test_other_neurons_are_refused(spiking: Make, neuron: IntegrateAndFire, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        nir_graph(spiking(["chain"], neuron), {})


@pytest.mark.parametrize("schedule", [Schedule(4, onset_delay=2), Schedule(4, warm_up=1.0)])
def test_neurons_that_wait_are_refused(spiking: Make, schedule: Schedule) -> None:
    network = dataclasses.replace(spiking(["chain"]), schedule=schedule)
    with pytest.raises(ModelError, match="no neurons that wait"):
        nir_graph(network, {})


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (torch.arange(8.0).reshape(2, 4, 1, 1), "changes from step to step"),
        (torch.arange(324.0).reshape(1, 4, 9, 9), "differs from place to place"),
    ],
)
def test_biases_that_nir_cannot_say_are_refused(spiking: Make, table: Tensor, reason: str) -> None:
    network = spiking(["chain"])
    network = dataclasses.replace(network, biases={network.graph.activations[0].name: table})
    with pytest.raises(ModelError, match=reason):
        nir_graph(network, {})


def test_a_scale_by_place_is_native_only(nets: ModuleType, spiking: Make, written: Write, quarters: Samples) -> None:
    net = nets.Net(2, 8, 8, dyadic=True)
    first = net.relu(net.conv("x", 3))
    scale = torch.randint(1, 5, (1, 8, 8), generator=net.make) / 4
    network = spiking(net.graph(net.relu(net.add(Affine(scale, torch.zeros(1, 1, 1)), first))))
    with pytest.raises(ModelError, match="differ from place to place") as refusal:
        nir_graph(network, {})
    assert "native" in str(refusal.value.hint)
    require_same(network, written(network, "native"), quarters(network))


def test_one_axis_of_space_is_native_only(nets: ModuleType, spiking: Make, written: Write, quarters: Samples) -> None:
    net = nets.Net(2, 9, dyadic=True)
    network = spiking(net.graph(net.relu(net.conv("x", 3, nets.window(3, pad=1, rank=1)))))
    with pytest.raises(ModelError, match="one axis of space"):
        nir_graph(network, {})
    require_same(network, written(network, "native"), quarters(network))
