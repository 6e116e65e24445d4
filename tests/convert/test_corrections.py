"""Corrections on real spikes do what they say, on the samples that they are fitted on and on others."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from snnconvert.calibrate import channel_axes, collect
from snnconvert.convert.corrections import corrected
from snnconvert.convert.recipe import Recipe
from snnconvert.convert.refit import refit
from snnconvert.errors import UsageError
from snnconvert.graph import Graph
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import make_neuron
from snnconvert.operators import convolution, linear
from snnconvert.simulate import Layerwise, Simulator
from tests import nets

STEPS = 8
PLAIN = Schedule(STEPS)


def graph_of() -> Graph:
    net = nets.Net(3, 10, 10, seed=3)
    x = net.relu(net.conv("x", 8))
    for _ in range(3):
        x = nets.residual(net, x)
    return net.graph(net.linear(net.flatten(net.average(x)), 5))


def samples(count: int, seed: int) -> Tensor:
    return torch.randn((count, 3, 10, 10), generator=torch.Generator().manual_seed(seed))


def network_of(graph: Graph, name: str = "if", schedule: Schedule = PLAIN) -> SpikingNetwork:
    recipe = Recipe("mse", make_neuron(name, {}), schedule)
    statistics = collect(graph, [samples(64, 0).numpy()], True, torch.device("cpu"))
    normal = recipe.scaled(graph, statistics, recipe.try_on(graph).depths, list)
    return spiking_network(normal, recipe.neuron, schedule=schedule)


def loss(network: SpikingNetwork, graph: Graph, x: Tensor) -> float:
    (readout,) = Simulator(network).run(x, [network.schedule.steps])
    expected = graph.run(x)
    return float((readout.estimate - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    ("wanted", "name", "words"),
    [
        (["bias", "step-bias"], "if", "bias and step-bias: one of the two"),
        (["weight"], "if", "unknown correction 'weight'"),
        (["step-bias"], "differential", "step-bias of a neuron that decodes rates"),
        (["potential"], "differential", "potential of a neuron that decodes rates"),
    ],
)
def test_corrections_that_do_not_suit_are_refused(wanted: list[str], name: str, words: str) -> None:
    graph = nets.recipe(["chain"])
    network = spiking_network(NormalForm(graph, {}), make_neuron(name, {}))
    with pytest.raises(UsageError, match=f"E003.*{words}"):
        corrected(network, torch.zeros(2, *graph.input_shape), channel_axes(graph), wanted)


@pytest.mark.parametrize("schedule", [Schedule(STEPS), Schedule(STEPS, 1), Schedule(STEPS, warm_up=0.5)], ids=str)
@pytest.mark.parametrize("wanted", ["bias", "step-bias"])
def test_mean_rate_of_every_channel_becomes_its_mean_activation(wanted: str, schedule: Schedule) -> None:
    graph, x = graph_of(), samples(48, 0)
    network = network_of(graph, schedule=schedule)
    fitted = corrected(network, x, channel_axes(graph), [wanted])
    means: dict[str, Tensor] = {}
    network.graph.run(
        x, lambda node, value: means.update({node.name: value.mean((0, 2, 3))}) if value.ndim == 4 else None
    )
    (before,), (after,) = (list(Simulator(each).run(x, [STEPS])) for each in (network, fitted))
    for name in network.neurons:
        error, was = ((each.rates[name].mean((0, 2, 3)) - means[name]).abs().max() for each in (after, before))
        assert float(error) < 0.04, name
        assert float(was) > float(error), name
        rows = schedule.firing_steps(network.depths[name])
        assert fitted.biases[name].shape == (rows + 1 if wanted == "step-bias" else 1, graph.shapes[name][0], 1, 1)


DECODED = (["bias"], ["weights"], ["bias", "weights"])
FITTED = (*DECODED, ["step-bias"], ["bias", "potential"])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [*itertools.product(("if", "if-signed"), FITTED), *itertools.product(("differential",), DECODED)],
)
def test_outputs_come_nearer_on_samples_that_were_not_fitted_on(name: str, wanted: list[str]) -> None:
    graph = graph_of()
    network = network_of(graph, name)
    fitted = corrected(network, samples(64, 0), channel_axes(graph), wanted)
    other = samples(64, 1)
    assert loss(fitted, graph, other) < loss(network, graph, other)


def test_order_of_samples_moves_nothing_but_rounding() -> None:
    graph, x = graph_of(), samples(40, 0)
    network, axes = network_of(graph), channel_axes(graph_of())
    one, other = (corrected(network, each, axes, ["bias"]) for each in (x, x.flip(0)))
    for name, bias in one.biases.items():
        torch.testing.assert_close(bias, other.biases[name], rtol=0, atol=2e-3)


def test_no_correction_is_the_network_itself() -> None:
    graph = graph_of()
    network = network_of(graph)
    assert corrected(network, samples(2, 0), channel_axes(graph), []) is network


def test_refitted_weights_solve_the_least_squares_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnconvert.convert.refit.RIDGE", 0.0)
    graph, x = graph_of(), samples(48, 0)
    network = network_of(graph)
    run, checked = Layerwise(network, x), []

    def visit(layer: object) -> None:
        value = layer.node.inputs[0]  # type: ignore[attr-defined]
        nodes = run.refittable(value)
        if len(nodes) != 1 or checked:
            return
        (node,) = nodes
        target = torch.randn((48, *graph.shapes[value]), generator=torch.Generator().manual_seed(4))
        whole = slice(0, 48)
        missing = target - run.mean(value, whole)
        patches = F.unfold(run.mean(node.inputs[0], whole), 3, padding=1).transpose(1, 2).flatten(0, 1)
        design = np.concatenate([patches.double().numpy(), np.ones((len(patches), 1))], 1)
        expected = np.linalg.lstsq(
            design, missing.flatten(2).transpose(1, 2).flatten(0, 1).double().numpy(), rcond=None
        )[0]
        before = run.operator(node.name).weight  # type: ignore[attr-defined]
        assert refit(run, value, target) == [node.name]
        change = (run.operator(node.name).weight - before).flatten(1).numpy()  # type: ignore[attr-defined]
        np.testing.assert_allclose(change, expected[:-1].T, rtol=0, atol=1e-3 * np.abs(expected[:-1]).max())
        checked.append(node.name)

    run.run(visit)
    assert len(checked) == 1


def test_too_few_samples_leave_weights_as_they_are() -> None:
    graph = graph_of()
    network = network_of(graph)
    fitted = corrected(network, samples(1, 0)[:, :, :, :], channel_axes(graph), ["weights"])
    last = network.graph.nodes[-1]
    assert fitted.graph.by_name[last.name].operator is last.operator


REGRESSIVE = [*convolution.examples(), *linear.examples()]


@pytest.mark.parametrize(("operator", "shapes"), REGRESSIVE, ids=lambda each: type(each).__name__)
def test_weights_make_outputs_of_the_inputs_that_an_operator_tells(operator: object, shapes: object) -> None:
    x = torch.randn((3, *shapes[0]), generator=torch.Generator().manual_seed(0))  # type: ignore[index]
    plain = dataclasses.replace(operator, bias=None)  # type: ignore[type-var]
    y = plain.evaluate([x])  # type: ignore[attr-defined]
    told = plain.regression(x, y)  # type: ignore[attr-defined]
    inputs, outputs = told
    groups = inputs.shape[2]
    weight = plain.weight.reshape(groups, -1, inputs.shape[3])  # type: ignore[attr-defined]
    torch.testing.assert_close(torch.einsum("npgi,goi->npgo", inputs, weight), outputs, rtol=1e-4, atol=1e-4)
    change = torch.randn_like(weight)
    shifted = plain.shifted(change, torch.ones(outputs.shape[2] * outputs.shape[3]))  # type: ignore[attr-defined]
    got = shifted.regression(x, shifted.evaluate([x]) - y)[1]
    torch.testing.assert_close(got, torch.einsum("npgi,goi->npgo", inputs, change) + 1, rtol=1e-4, atol=1e-4)


WANTED = (["bias"], ["step-bias", "weights"], ["potential"])


@pytest.mark.parametrize("name", ["if", "if-signed"])
@pytest.mark.parametrize("warm_up", [1.0, 3.0])  # the last layer waits for all of the steps, or longer than these
@pytest.mark.parametrize("wanted", WANTED, ids="+".join)
def test_layers_that_wait_for_all_of_the_steps_are_left_as_they_are(
    wanted: list[str], warm_up: float, name: str
) -> None:
    graph, schedule = graph_of(), Schedule(6, warm_up=warm_up)
    network = network_of(graph, name, schedule)
    fitted = corrected(network, samples(24, 0), channel_axes(graph), wanted)
    firing = {each for each in network.neurons if schedule.start(network.depths[each]) < 6}
    assert firing < set(network.neurons)
    assert {*fitted.biases, *fitted.potentials} == firing
    (readout,) = Simulator(fitted).run(samples(3, 1), [6])
    assert {each for each, count in readout.counts.items() if count.any()} == firing


@pytest.mark.parametrize("readout_from", [0, 40])
def test_of_many_steps_layers_are_fitted_for_their_share_of_waiting(readout_from: int) -> None:
    graph, x = graph_of(), samples(48, 0)
    schedule = Schedule(600, warm_up=50.0, readout_from=readout_from)
    network = network_of(graph, schedule=schedule)
    fitted = corrected(network, x, channel_axes(graph), ["bias"])
    assert fitted.schedule == schedule
    means: dict[str, Tensor] = {}
    network.graph.run(
        x, lambda node, value: means.update({node.name: value.mean((0, 2, 3))}) if value.ndim == 4 else None
    )
    (readout,) = Simulator(fitted).run(x, [600])
    for name in network.neurons:
        assert float((readout.rates[name].mean((0, 2, 3)) - means[name]).abs().max()) < 0.02, name


def test_of_very_many_steps_the_first_are_fitted() -> None:
    network = network_of(graph_of(), schedule=Schedule(100_000))
    fitted = corrected(network, samples(8, 0), channel_axes(graph_of()), ["bias"])
    assert fitted.schedule.steps == 100_000
    assert fitted.biases.keys() == network.neurons.keys()
