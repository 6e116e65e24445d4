"""The kernel for GPUs against the neurons' own steps, bit for bit, in Triton's interpreter (`make interpreter`)."""

import os
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor

os.environ["TRITON_INTERPRET"] = "1"  # before it is imported
pytest.importorskip("triton", reason="Triton is not here: make interpreter")

from snnconvert.network import NormalForm, Schedule, spiking_network
from snnconvert.neurons import Neuron, make_neuron
from snnconvert.simulate import Simulator, on_gpu
from snnconvert.simulate.kernels import WIDTH
from snnconvert.simulate.layers import NeuronLayer

CPU = torch.device("cpu")
NEURONS = {
    "subtract": make_neuron("if", {}),
    "zero": make_neuron("if", {"reset": "zero", "initial_potential": 0.25}),
    "multi": make_neuron("if-multi", {"k": 3}),
    "without a limit": make_neuron("if-multi", {"k": None}),
    "signed": make_neuron("if-signed", {}),
    "signed multi": make_neuron("if-signed-multi", {"k": 4}),
}


@pytest.fixture(autouse=True)
def on_this_processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the CPU for a GPU: what runs fused here is left to the kernel."""
    monkeypatch.setattr(on_gpu, "KINDS", ("cpu",))
    monkeypatch.setattr(NeuronLayer, "fuses", staticmethod(lambda neuron: False))
    on_gpu.works.cache_clear()
    yield
    on_gpu.works.cache_clear()


def layers(neuron: Neuron, like: Tensor, bias: Tensor | None, potential: Tensor | None) -> list[NeuronLayer]:
    found = [NeuronLayer(neuron, like, fused, bias, potential) for fused in (True, False)]
    assert [each._rule is None for each in found] == [False, True]
    return found


@pytest.mark.parametrize("bias", [None, (1, 3, 1, 1), (4, 3, 1, 1), (2, 3, 5, 7)], ids=str)
@pytest.mark.parametrize("name", NEURONS)
def test_states_and_spikes_are_those_of_plain_steps(name: str, bias: tuple[int, ...] | None) -> None:
    make = torch.Generator().manual_seed(3)
    like = torch.zeros(5, 3, 5, 7).contiguous(memory_format=torch.channels_last)
    assert like.numel() > WIDTH
    given = None if bias is None else torch.randn(bias, generator=make) / 4
    potential = torch.rand(3, 5, 7, generator=make) if bias else None
    mine, plain = layers(NEURONS[name], like, given, potential)
    at = -3
    for steps, varying in ((2, True), (4, True), (1, True), (3, False), (1, False), (7, True)):
        block = torch.randn(((steps if varying else 1) * 5, 3, 5, 7), generator=make)
        spikes = [layer.advance(block, steps, varying, at) for layer in (mine, plain)]
        assert torch.equal(*spikes)
        assert all(torch.equal(*each) for each in zip(mine.state, plain.state, strict=True))
        assert torch.equal(mine.count, plain.count)
        assert torch.equal(mine.events, plain.events)
        at += steps
        if steps == 4:
            for layer in (mine, plain):
                layer.keep(torch.tensor([0, 2, 3, 1, 4]))
    assert plain.count.any()


@pytest.mark.parametrize("schedule", [Schedule(9), Schedule(9, onset_delay=2)], ids=["synchronous", "delayed"])
@pytest.mark.parametrize("name", ["subtract", "signed multi"])
def test_a_network_gives_the_same_answers(nets: ModuleType, name: str, schedule: Schedule) -> None:
    net = nets.Net(3, 8, 8)
    graph = net.graph(net.relu(net.conv(net.relu(net.conv("x", 4)), 4)))
    graph = graph.mapped(lambda tensor: (64 * tensor).round() / 64)  # sums of these are exact
    network = spiking_network(NormalForm(graph, {}), NEURONS[name], schedule=schedule)
    x = torch.randint(-16, 17, (3, *graph.input_shape), generator=torch.Generator().manual_seed(2)) / 8
    (mine,), (plain,) = (list(Simulator(network, fused=fused).run(x, [9])) for fused in (True, False))
    assert torch.equal(mine.output, plain.output)
    assert all(torch.equal(count, plain.counts[each]) for each, count in mine.counts.items())
    assert any(count.any() for count in plain.counts.values())


@pytest.mark.parametrize(
    "neuron",
    [
        make_neuron("if", {"leak": 0.125}),
        make_neuron("if", {"refractory": 2}),
        make_neuron("lif", {}),
        make_neuron("multi-threshold", {}),
        make_neuron("differential", {}),
    ],
    ids=lambda neuron: neuron.name,
)
def test_other_neurons_take_plain_steps(neuron: Neuron) -> None:
    assert not on_gpu.takes(neuron, torch.zeros(2, 3))


def test_double_precision_takes_plain_steps() -> None:
    assert not on_gpu.takes(NEURONS["subtract"], torch.zeros(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("fault", ["spikes", "states", "an error"])
def test_a_kernel_that_fails_its_trial_is_not_taken(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    from snnconvert.simulate import kernels

    take_steps = kernels.take_steps

    def wrong(rule, states, current, bias, spikes, steps, silent):
        if fault == "an error":
            raise RuntimeError("no such architecture")
        take_steps(rule, states, current, bias, spikes, steps, silent)
        (spikes if fault == "spikes" else states.potential).view(-1)[-1] += 1

    assert on_gpu.works(CPU)
    on_gpu.works.cache_clear()
    monkeypatch.setattr(kernels, "take_steps", wrong)
    assert not on_gpu.works(CPU)
    assert not on_gpu.takes(NEURONS["subtract"], torch.zeros(2, 3))
