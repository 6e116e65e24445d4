"""What conversion rests on: charge is kept through the network, and rates tend to activations as 1/T."""

from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from snnconvert.graph import Graph, full, relative_error
from snnconvert.network import NormalForm, normal_form, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.simulate import Simulator
from snnconvert.simulate import blocks as blocks_module
from snnconvert.simulate.layers import NeuronLayer

STEPS = [16, 32, 64, 128, 256, 512, 1024]


def slope(steps: list[int], errors: list[float]) -> float:
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def activations(graph: Graph, x: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        graph.run(x, lambda node, output: found.update({node.name: output}))
    return {node.name: found[node.name] for node in graph.activations}


@pytest.mark.parametrize("initial", [0.0, 0.5])
def test_rates_of_one_layer_tend_to_the_rectifier_as_one_over_the_steps(nets: ModuleType, initial: float) -> None:
    net = nets.Net(5000)
    network = spiking_network(
        NormalForm(net.graph(net.relu("x", name="relu")), {}), IntegrateAndFire("subtract", initial)
    )
    x = torch.rand((1, 5000), generator=torch.Generator().manual_seed(0)) * 2 - 0.5
    errors = []
    for readout in Simulator(network).run(x, STEPS):
        error = (readout.counts["relu"] / readout.t - x.clamp(0, 1)).abs()
        assert error.max() <= max(initial, 1 - initial) / readout.t + 1e-4
        errors.append(float(error.mean()))
    assert -1.15 < slope(STEPS, errors) < -0.85


@pytest.mark.parametrize("blocks", [["chain", "residual"], ["inception", "maximum"], ["option A", "preactivation"]])
def test_charge_is_kept_through_the_network(
    nets: ModuleType, blocks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spikes and potential hold the initial potential and T steps of input, exactly, in every layer at once."""
    graph = nets.recipe(blocks, dyadic=True)
    network = spiking_network(NormalForm(graph, {}), IntegrateAndFire())
    layers: list[NeuronLayer] = []

    class Watched(NeuronLayer):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            layers.append(self)

    monkeypatch.setattr(blocks_module, "NeuronLayer", Watched)
    steps = 24
    x = torch.randint(-6, 7, (3, *graph.input_shape), generator=torch.Generator().manual_seed(0)) / 4
    (readout,) = Simulator(network).run(x, [steps])
    states = dict(zip(network.neurons, layers, strict=True))

    totals = {graph.input: steps * x}
    for node in graph.nodes:
        inputs = [totals[value] for value in node.inputs]
        if node.name in readout.counts:
            totals[node.name] = readout.counts[node.name]
            if node.name in states:
                assert torch.equal(readout.counts[node.name] + states[node.name].state[0], 0.5 + inputs[0])
        else:
            nothing = node.operator.evaluate([torch.zeros_like(value) for value in inputs])
            totals[node.name] = node.operator.evaluate(inputs) + (steps - 1) * nothing
    assert torch.equal(readout.output, totals[graph.output])


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("blocks", [["chain", "chain"], ["residual"], ["chain", "maximum"]], ids=" ".join)
def test_output_tends_to_that_of_the_ann_as_one_over_the_steps(
    nets: ModuleType, blocks: list[str], per_channel: bool
) -> None:
    graph = nets.recipe(blocks)
    x = torch.randn((8, *graph.input_shape), generator=torch.Generator().manual_seed(0))
    scales = {}
    for name, activation in activations(graph, x).items():
        largest = activation.amax((0, 2, 3) if per_channel else (0, 1, 2, 3)).double()
        scales[name] = largest.clamp(min=1e-3 * float(activation.max())).reshape(-1, 1, 1)
    network = spiking_network(normal_form(graph, scales), IntegrateAndFire())
    expected = graph.run(x)
    errors = [relative_error(readout.output / readout.t, expected) for readout in Simulator(network).run(x, STEPS)]
    assert errors[-1] < 0.01
    assert -1.2 < slope(STEPS, errors) < -0.8


def test_output_tends_to_the_ann_whose_activations_are_clipped_at_their_scales(nets: ModuleType) -> None:
    graph = nets.recipe(["chain", "residual"])
    x = torch.randn((8, *graph.input_shape), generator=torch.Generator().manual_seed(0))
    scales = {name: (0.4 * a.max().double()).reshape(1, 1, 1) for name, a in activations(graph, x).items()}
    values = {graph.input: x}
    for node in graph.nodes:
        values[node.name] = node.operator.evaluate([values[value] for value in node.inputs])
        if node.name in scales:
            values[node.name] = torch.minimum(values[node.name], scales[node.name].float())
    network = spiking_network(normal_form(graph, scales), IntegrateAndFire())
    readouts = Simulator(network).run(x, STEPS)
    errors = [relative_error(readout.output / readout.t, values[graph.output]) for readout in readouts]
    assert relative_error(graph.run(x), values[graph.output]) > 0.05  # clipping does change this network
    assert errors[-1] < 0.01
    assert slope(STEPS, errors) < -0.8


def test_rates_times_scales_estimate_the_activations(nets: ModuleType) -> None:
    graph = nets.recipe(["chain", "residual", "inception"])
    x = torch.randn((4, *graph.input_shape), generator=torch.Generator().manual_seed(0))
    wanted = activations(graph, x)
    scales = {name: a.amax((0, 2, 3)).double().clamp(min=1e-3).reshape(-1, 1, 1) for name, a in wanted.items()}
    network = spiking_network(normal_form(graph, scales), IntegrateAndFire())
    (readout,) = Simulator(network).run(x, [2048])
    for name, activation in wanted.items():
        estimate = readout.counts[name] / readout.t * full(network.scales[name], graph.shapes[name])
        assert relative_error(estimate, activation) < 0.02
