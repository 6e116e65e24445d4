"""A whole window in ONNX, and a module of torch: each gives the engine's spikes and predictions."""

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch

from snnconvert.errors import ModelError
from snnconvert.export import step_model
from snnconvert.export.deployed import read_step_model
from snnconvert.export.session import onnx_session, run_step_model, run_window_model
from snnconvert.export.torch_module import run_module, torch_files
from snnconvert.export.window_model import window_model
from snnconvert.fold.max_pool import Pooling
from snnconvert.network import Schedule, SpikingNetwork
from snnconvert.neurons import Neuron
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.neurons.leaky_integrate_and_fire import LeakyIntegrateAndFire
from snnconvert.simulate import Simulator
from tests.export.test_deployed import BLOCKS, FILE, NEURONS, about, spiking

STEPS = 4
SCHEDULES = [Schedule(4, onset_delay=2), Schedule(4, warm_up=1.5), Schedule(4, readout_from=2)]


def quarters(network: SpikingNetwork) -> torch.Tensor:
    seeded = torch.Generator().manual_seed(0)
    return torch.randint(-6, 7, (3, *network.graph.input_shape), generator=seeded) / 4


def require_engines(network: SpikingNetwork, output: torch.Tensor, counts: dict[str, torch.Tensor]) -> None:
    (expected,) = Simulator(network).run(quarters(network), [STEPS])
    assert counts.keys() == expected.counts.keys()
    assert all(torch.equal(count, expected.counts[name]) for name, count in counts.items())
    assert any(bool(count.any()) for count in counts.values())
    torch.testing.assert_close(output, expected.estimate, rtol=1e-5, atol=1e-5)
    assert torch.equal(output.argmax(1), expected.estimate.argmax(1))


def window_of(network: SpikingNetwork) -> bytes:
    content = step_model(network, about(network))
    read = read_step_model(FILE, content, "0" * 64)
    return window_model(content, read.about, STEPS + network.latency)


@pytest.mark.parametrize("pooling", ["exact", "gate"])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_window_is_the_engines(nets: ModuleType, block: str, pooling: Pooling) -> None:
    network = spiking(nets.recipe([block], dyadic=True), IntegrateAndFire(), pooling)
    content = window_of(network)
    onnx.checker.check_model(content)
    require_engines(network, *run_window_model(content, quarters(network)))


@pytest.mark.parametrize("schedule", [Schedule(4), *SCHEDULES[:2]], ids=str)
def test_a_window_and_a_module_take_what_arrives_in_each_step(nets: ModuleType, schedule: Schedule) -> None:
    network = spiking(nets.recipe(["chain", "chain"], dyadic=True), IntegrateAndFire(), schedule=schedule)
    network = dataclasses.replace(network, encoding="events")
    x = torch.randint(-6, 7, (3, STEPS, *network.graph.input_shape), generator=torch.Generator().manual_seed(0)) / 4
    (expected,) = Simulator(network).run(x, [STEPS])
    session = onnx_session(window_of(network), "window")
    names = [value.name for value in session.get_outputs()]
    found = dict(zip(names, session.run(names, {"input": x.numpy()}), strict=True))
    assert any(bool(count.any()) for count in expected.counts.values())
    for name, count in expected.counts.items():
        np.testing.assert_array_equal(found[f"counts.{name}"], count.numpy())
    np.testing.assert_allclose(found["output"], expected.estimate.numpy(), rtol=1e-5, atol=1e-5)


def test_a_module_takes_what_arrives_in_each_step(nets: ModuleType, tmp_path: Path) -> None:
    network = dataclasses.replace(spiking(nets.recipe(["chain"], dyadic=True), IntegrateAndFire()), encoding="events")
    x = torch.randint(-6, 7, (3, STEPS, *network.graph.input_shape), generator=torch.Generator().manual_seed(0)) / 4
    (expected,) = Simulator(network).run(x, [STEPS])
    text, weights = torch_files(network, {}, "taking_events", "events")
    (tmp_path / "taking_events.py").write_bytes(text)
    (tmp_path / "taking_events.safetensors").write_bytes(weights)
    spec = importlib.util.spec_from_file_location("taking_events", tmp_path / "taking_events.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    output, counts = module.SpikingNetwork()(x)
    assert all(torch.equal(count, expected.counts[name]) for name, count in counts.items())
    assert any(bool(count.any()) for count in counts.values())
    torch.testing.assert_close(output, expected.estimate, rtol=1e-5, atol=1e-5)


def test_a_window_that_does_not_run_is_refused(nets: ModuleType) -> None:
    network = spiking(nets.recipe(["chain"], dyadic=True), IntegrateAndFire())
    model = onnx.load_model_from_string(window_of(network))
    last = next(each for each in model.graph.initializer if each.name == "window.last")
    last.CopyFrom(onnx.numpy_helper.from_array(np.asarray(STEPS), "window.last"))
    with pytest.raises(ModelError, match=r"E125.*does not run it"):
        run_window_model(model.SerializeToString(), quarters(network))


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_a_window_of_every_neuron_is_its_steps_one_by_one(nets: ModuleType, neuron: Neuron) -> None:
    network = spiking(nets.recipe(["chain", "chain"], dyadic=True), neuron)
    content, x = step_model(network, about(network)), quarters(network)
    told = read_step_model(FILE, content, "0" * 64).about
    output, counts = run_window_model(window_of(network), x)
    expected, stepped, _ = run_step_model(content, told, x, STEPS, "snn.onnx")
    assert counts.keys() == stepped.keys()
    if network.decodes:  # divides by the number of the step, which ONNX Runtime rounds otherwise inside of a loop
        torch.testing.assert_close(output, expected, rtol=0.01, atol=0.02)
        return
    assert torch.equal(output, expected)
    assert all(torch.equal(count, stepped[name]) for name, count in counts.items())


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_window_holds_every_schedule(nets: ModuleType, schedule: Schedule) -> None:
    network = spiking(nets.recipe(["chain", "residual"], dyadic=True), IntegrateAndFire(), "exact", schedule)
    require_engines(network, *run_window_model(window_of(network), quarters(network)))


def corrected(network: SpikingNetwork) -> SpikingNetwork:
    first = network.graph.activations[0].name
    shape = network.graph.shapes[first]
    rows = torch.arange(3 * shape[0]).reshape(3, shape[0], *[1] * (len(shape) - 1)) / 64
    start = torch.randint(0, 8, shape, generator=torch.Generator().manual_seed(1)) / 8
    return dataclasses.replace(network, biases={first: rows}, potentials={first: start})


@pytest.mark.parametrize("neuron", [n for n in NEURONS if isinstance(n, IntegrateAndFire)], ids=str)
@pytest.mark.parametrize("pooling", ["exact", "gate"])
@pytest.mark.parametrize("block", [*BLOCKS, "average", "read twice"])
def test_a_module_is_the_engines(nets: ModuleType, block: str, pooling: Pooling, neuron: IntegrateAndFire) -> None:
    network = corrected(spiking(nets.recipe([block], dyadic=True), neuron, pooling))
    text, weights = torch_files(network, {}, "net")
    require_engines(network, *run_module(text, weights, quarters(network), STEPS)[:2])


def test_a_pool_over_a_current_counts_no_spikes(nets: ModuleType) -> None:
    net = nets.Net(2, 9, 9, dyadic=True)
    current = net.maximum(net.conv(net.relu(net.conv("x", 3)), 3), nets.window(3, 1, 1))
    graph = net.graph(net.linear(net.flatten(net.relu(net.conv(current, 3))), 3))
    network = spiking(graph, IntegrateAndFire())
    text, weights = torch_files(network, {}, "net")
    output, counts, _ = run_module(text, weights, quarters(network), STEPS)
    assert counts.keys() == {*network.neurons}
    require_engines(network, output, counts)


def test_a_module_tells_what_it_takes(nets: ModuleType) -> None:
    network = spiking(nets.recipe(["chain"], dyadic=True), IntegrateAndFire())
    text, weights = torch_files(network, {}, "net")
    x = quarters(network)
    for wrong in (x[0], x.flip(1).permute(0, 2, 3, 1)[..., :1], (x * 4).to(torch.uint8)):
        with pytest.raises(ValueError, match=r"x: expected floats \(N, \.\.\.\) with samples of \(2, 9, 9\), got "):
            run_module(text, weights, wrong, STEPS)


def test_a_module_begins_its_readout_where_the_network_does(nets: ModuleType) -> None:
    network = spiking(nets.recipe(["chain"], dyadic=True), IntegrateAndFire(), "exact", Schedule(4, readout_from=2))
    text, weights = torch_files(network, {}, "net")
    output, _, _ = run_module(text, weights, quarters(network), STEPS)
    (expected,) = Simulator(network).run(quarters(network), [STEPS])
    torch.testing.assert_close(output, expected.estimate, rtol=1e-5, atol=1e-5)


def test_a_module_runs_where_there_is_no_snnconvert(nets: ModuleType, tmp_path: Path) -> None:
    network = spiking(nets.recipe(["chain", "maximum"], dyadic=True), IntegrateAndFire())
    text, weights = torch_files(network, {"source": "x"}, "net")
    (tmp_path / "net.py").write_bytes(text)
    (tmp_path / "net.safetensors").write_bytes(weights)
    x = quarters(network)
    np.save(tmp_path / "x.npy", x.numpy())
    code = (
        "import sys; sys.modules['snnconvert'] = None\n"
        "import numpy, torch; from net import SpikingNetwork\n"
        "output, _ = SpikingNetwork()(torch.from_numpy(numpy.load('x.npy')))\n"
        "print(output.argmax(1).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    (expected,) = Simulator(network).run(x, [STEPS])
    assert done.stdout == f"{expected.estimate.argmax(1).tolist()}\n", done.stderr


def test_a_module_takes_no_weights_of_another_one(nets: ModuleType, tmp_path: Path) -> None:
    """The two files are put in place one behind the other: what came between is seen."""
    for seed in (0, 1):
        graph = nets.recipe(["chain"], dyadic=True, seed=seed)
        text, weights = torch_files(spiking(graph, IntegrateAndFire()), {}, "net")
        if not seed:
            (tmp_path / "net.py").write_bytes(text)
        (tmp_path / "net.safetensors").write_bytes(weights)
    code = "from net import SpikingNetwork; {}"
    for asked, words in (
        ("SpikingNetwork()", "not the weights that this module was written with; export both again"),
        ("SpikingNetwork('net.safetensors')", ""),  # who names a file knows what it is
    ):
        done = subprocess.run(
            [sys.executable, "-c", code.format(asked)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert words in done.stderr
        assert (done.returncode == 0) is not bool(words)


def test_names_of_a_model_cannot_leave_their_quotes(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6, dyadic=True)
    evil = 'a\'\n"""\nraise SystemExit(1)\n"""{x}\\'
    network = spiking(net.graph(net.relu(net.conv("x", 3), name=evil)), IntegrateAndFire())
    text, weights = torch_files(network, {"model": evil}, "net")
    _, counts, _ = run_module(text, weights, quarters(network), STEPS)
    assert [*counts] == [evil]


@pytest.mark.parametrize("schedule", SCHEDULES[:2])
def test_what_is_not_written_as_torch_is_refused(nets: ModuleType, schedule: Schedule) -> None:
    graph = nets.recipe(["chain"], dyadic=True)
    with pytest.raises(ModelError, match=r"E129.*neurons that wait"):
        torch_files(spiking(graph, IntegrateAndFire(), "exact", schedule), {}, "net")
    with pytest.raises(ModelError, match=r"E129.*neurons 'lif'"):
        torch_files(spiking(graph, LeakyIntegrateAndFire()), {}, "net")
