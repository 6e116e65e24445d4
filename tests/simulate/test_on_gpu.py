"""The kernel for GPUs against the neurons' own steps, bit for bit: on a GPU, or in Triton's interpreter.

Without a GPU, `make interpreter` installs Triton beside and runs them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # while it is imported
pytest.importorskip("triton", reason="Triton is not here: make interpreter")

# ruff: noqa: E402
from snnconvert.network import NormalForm, Schedule, spiking_network
from snnconvert.neurons import Neuron, make_neuron
from snnconvert.simulate import Simulator, on_gpu
from snnconvert.simulate.kernels import WIDTH
from snnconvert.simulate.layers import NeuronLayer

os.environ.pop("TRITON_INTERPRET", None)
COMPILING = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from snnconvert.simulate.kernels import WIDTH, _take_steps

names = _take_steps.arg_names
whole = dict.fromkeys(names[7:13], "i32")
types = dict.fromkeys(names[:7], "*fp32") | whole | {"most": "fp32"} | dict.fromkeys(names[14:], "constexpr")
for biased, binary, signed, subtracted, counted in (
    (True, True, False, True, False),
    (False, True, False, False, False),
    (True, False, True, True, True),
    (False, False, False, True, True),
):
    flags = dict(biased=biased, binary=binary, signed=signed, subtracted=subtracted, counted=counted, width=WIDTH)
    for ones in ((), ("steps",), ("silent",), ("a_sample", "next_row")):  # of which Triton makes constants
        constants = flags | dict.fromkeys(ones, 1)
        signature = {name: "constexpr" if name in constants else kind for name, kind in types.items()}
        source = ASTSource(_take_steps, signature, {(names.index(name),): value for name, value in constants.items()})
        for capability in (80, 90):
            made = compile(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False})
            print(capability, len(made.asm["cubin"]))
"""
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
    """Without a GPU, take the CPU for one: what runs fused here is left to the kernel."""
    if DEVICE.type == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(on_gpu, "KINDS", (DEVICE.type,))
    for module in ("layers", "engine", "evaluations"):
        monkeypatch.setattr(f"snnconvert.simulate.{module}.is_plain", lambda neuron: False)
    on_gpu.trouble.cache_clear()
    yield
    on_gpu.trouble.cache_clear()


def layers(neuron: Neuron, like: Tensor, bias: Tensor | None, potential: Tensor | None) -> list[NeuronLayer]:
    found = [NeuronLayer(neuron, like, fused, bias, potential) for fused in (True, False)]
    assert [each._rule is None for each in found] == [False, True]
    return found


@pytest.mark.parametrize("bias", [None, (1, 3, 1, 1), (4, 3, 1, 1), (2, 3, 5, 7)], ids=str)
@pytest.mark.parametrize("name", NEURONS)
def test_states_and_spikes_are_those_of_plain_steps(name: str, bias: tuple[int, ...] | None) -> None:
    make = torch.Generator().manual_seed(3)
    like = torch.zeros(5, 3, 5, 7, device=DEVICE).contiguous(memory_format=torch.channels_last)
    assert like.numel() > WIDTH
    given = None if bias is None else torch.randn(bias, generator=make).to(DEVICE) / 4
    potential = torch.rand(3, 5, 7, generator=make).to(DEVICE) if bias else None
    mine, plain = layers(NEURONS[name], like, given, potential)
    at = -3
    for steps, varying in ((2, True), (4, True), (1, True), (3, False), (1, False), (7, True)):
        block = torch.randn(((steps if varying else 1) * 5, 3, 5, 7), generator=make).to(DEVICE)
        spikes = [layer.advance(block, steps, varying, at) for layer in (mine, plain)]
        assert torch.equal(*spikes)
        assert all(torch.equal(*each) for each in zip(mine.state, plain.state, strict=True))
        assert torch.equal(mine.count, plain.count)
        assert torch.equal(mine.events, plain.events)
        at += steps
        if steps == 4:
            for layer in (mine, plain):
                layer.keep(torch.tensor([0, 2, 3, 1, 4], device=DEVICE))
    assert plain.count.any()


@pytest.mark.parametrize("name", ["multi", "signed multi"])
def test_what_is_no_number_is_not_hidden(name: str) -> None:
    like = torch.zeros(1, 2, device=DEVICE)
    mine, plain = layers(NEURONS[name], like, None, None)
    for layer in (mine, plain):
        spikes = layer.advance(torch.tensor([[torch.nan, 1.0]], device=DEVICE), 2, False)
        assert spikes.isnan().tolist() == [[True, False]] * 2


@pytest.mark.parametrize("schedule", [Schedule(9), Schedule(9, onset_delay=2)], ids=["synchronous", "delayed"])
@pytest.mark.parametrize("name", ["subtract", "signed multi"])
def test_a_network_gives_the_same_answers(nets: ModuleType, name: str, schedule: Schedule) -> None:
    net = nets.Net(3, 8, 8)
    graph = net.graph(net.relu(net.conv(net.relu(net.conv("x", 4)), 4)))
    graph = graph.mapped(lambda tensor: (64 * tensor).round() / 64)  # sums of these are exact
    network = spiking_network(NormalForm(graph, {}), NEURONS[name], schedule=schedule)
    x = torch.randint(-16, 17, (3, *graph.input_shape), generator=torch.Generator().manual_seed(2)) / 8
    (mine,), (plain,) = (list(Simulator(network, DEVICE, fused=fused).run(x, [9])) for fused in (True, False))
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
    assert not on_gpu.takes(neuron, torch.zeros(2, 3, device=DEVICE))


def test_double_precision_takes_plain_steps() -> None:
    assert not on_gpu.takes(NEURONS["subtract"], torch.zeros(2, 3, dtype=torch.float64, device=DEVICE))


@pytest.mark.parametrize("fault", ["spikes", "states", "an error"])
def test_a_kernel_that_fails_its_trial_is_not_taken(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    from snnconvert.simulate import kernels

    take_steps = kernels.take_steps

    def wrong(rule, states, current, bias, spikes, steps, silent):
        if fault == "an error":
            raise RuntimeError("no such architecture")
        take_steps(rule, states, current, bias, spikes, steps, silent)
        (spikes if fault == "spikes" else states.potential).view(-1)[-1] += 1

    assert on_gpu.trouble(DEVICE) is None
    on_gpu.trouble.cache_clear()
    monkeypatch.setattr(kernels, "take_steps", wrong)
    told = on_gpu.trouble(DEVICE)
    assert told is not None
    assert ("no such architecture" if fault == "an error" else "other spikes") in told
    assert not on_gpu.takes(NEURONS["subtract"], torch.zeros(2, 3, device=DEVICE))


def test_the_kernel_compiles_to_machine_code() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ended = subprocess.run(
        [sys.executable, "-c", COMPILING], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    assert [int(line.split()[1]) > 1000 for line in ended.stdout.splitlines()] == [True] * 32
