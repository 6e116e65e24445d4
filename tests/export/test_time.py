"""Codes, schedules and corrections in the exported step: it, and the generated evaluator, do what the engine does.

Weights, inputs, biases and potentials are multiples of powers of two: equal means equal. Only the differential code
divides by the number of the step, which rounds from the third step on: beyond it, its network is one without ties.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from snnconvert.calibrate import channel_axes, collect
from snnconvert.convert.corrections import corrected
from snnconvert.convert.recipe import Recipe
from snnconvert.errors import UsageError
from snnconvert.export import step_model
from snnconvert.graph import Graph
from snnconvert.measure import top1
from snnconvert.measure.fan_out import unpacked_numbers
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import NEURONS, make_neuron
from snnconvert.report.evaluate_script import evaluate_script
from snnconvert.report.evaluator import Evaluator
from snnconvert.simulate import Simulator
from tests import nets

STEPS = 7
PARAMETERS: Mapping[str, Mapping[str, object]] = {
    "if": {},
    "lif": {"tau": 2.0, "threshold": 0.25},  # halves are exact
    "if-multi": {"k": 3},
    "if-signed": {},
    "if-signed-multi": {"k": 2},
    "multi-threshold": {"n": 3},
    "differential": {"n": 3},
}
SCHEDULES = {
    "plain": Schedule(STEPS),
    "onset delay 1": Schedule(STEPS, onset_delay=1),
    "warm-up 0.5": Schedule(STEPS, warm_up=0.5),
    "readout from 2": Schedule(STEPS, readout_from=2),
}
WAITING = ("onset delay 1", "warm-up 0.5")
LEFT = {  # by corrections: rows of biases, initial potentials
    "uncorrected": (0, False),
    "bias": (1, False),
    "step-bias": (STEPS - 2, False),
    "step-bias, potential": (STEPS - 2, True),
}
CASES = [
    (name, schedule, left)
    for name in PARAMETERS
    for schedule in SCHEDULES
    for left in LEFT
    if not (name in ("lif", "differential") and schedule in WAITING)
    and not (name == "differential" and left.startswith("step-bias"))
]
every_case = pytest.mark.parametrize("case", CASES, ids=": ".join)


def quarters(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(-6, 7, shape, generator=torch.Generator().manual_seed(seed)) / 4


def graph_of(dyadic: bool = True) -> Graph:
    """A pool and a shortcut, so that spikes of different depths meet."""
    net = nets.Net(2, 6, 6, dyadic=dyadic)
    x = net.relu(net.conv("x", 3))  # no shortcut of the analog input
    x = nets.residual(net, nets.maximum(net, x))
    return net.graph(net.linear(net.flatten(net.average(x)), 3))


X = quarters(3, 2, 6, 6)


@cache
def network_of(name: str, schedule: str, left: str, dyadic: bool | None = None) -> SpikingNetwork:
    neuron = make_neuron(name, PARAMETERS[name])
    graph = graph_of(not neuron.decodes if dyadic is None else dyadic)
    network = spiking_network(NormalForm(graph, {}), neuron, schedule=SCHEDULES[schedule])
    (rows, potential), biases, potentials = LEFT[left], {}, {}
    for seed, each in enumerate(network.neurons):
        shape = network.graph.shapes[each]
        if rows:
            biases[each] = quarters(rows, shape[0], 1, 1, seed=seed) / 4
        if potential:
            potentials[each] = quarters(*shape, seed=seed + 50) / 8
    return dataclasses.replace(network, biases=biases, potentials=potentials)


def stepped(network: SpikingNetwork, x: Tensor) -> tuple[list[dict[str, np.ndarray]], dict[str, str]]:
    """Run the exported step in ONNX Runtime by what its metadata tells; also the name of what each emitter sends."""
    session = onnxruntime.InferenceSession(step_model(network, {}), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["snnconvert"])
    states, found = {}, []
    for name, each in about["states"].items():
        start = each["initial"]
        one = unpacked_numbers(start).reshape(each["shape"]) if isinstance(start, dict) else start
        states[name] = np.broadcast_to(np.float32(one), (len(x), *each["shape"]))
    inputs, outputs = ([value.name for value in values] for values in (session.get_inputs(), session.get_outputs()))
    for step in range(network.schedule.steps + network.latency):
        now = x
        if network.bins is not None:
            now = x[:, step] if step < network.bins else torch.zeros_like(x[:, 0])
        feed = {"input": now.numpy(), "step": np.asarray(step, np.int64), **states}
        values = session.run(outputs, {name: value for name, value in feed.items() if name in inputs})
        found.append(dict(zip(outputs, values, strict=True)))
        states = {name: found[-1][each["next"]] for name, each in about["states"].items()}
    return found, {each["node"]: name for name, each in about["emitters"].items()}


def test_every_neuron_is_here() -> None:
    assert set(PARAMETERS) == set(NEURONS)
    assert {name for name, _, _ in CASES} == set(NEURONS)


@pytest.mark.parametrize("name", ["lif", "differential"])
@pytest.mark.parametrize("schedule", WAITING)
def test_neurons_that_are_not_here_on_a_schedule_cannot_follow_it(name: str, schedule: str) -> None:
    with pytest.raises(UsageError, match=r"E003.*that may not fire loses what it would have sent"):
        network_of(name, schedule, "uncorrected")


def assert_same_steps(network: SpikingNetwork, x: Tensor = X, steps: int = STEPS, exact: bool = True) -> None:
    found, emitters = stepped(network, x)
    assert set(emitters) == {node.name for node in network.emitters}
    counts: dict[str, np.ndarray] = {}
    for readout in Simulator(network).run(x, range(1, steps + 1)):
        now = readout.t + network.latency
        for node, name in emitters.items():
            counts[node] = np.sum([step[name] for step in found[:now]], axis=0, dtype=np.float32)
            if exact:
                np.testing.assert_array_equal(counts[node], readout.counts[node].numpy(), node)
            else:  # rounding may move a spike
                assert (np.abs(counts[node] - readout.counts[node].numpy()) < 1e-4).mean() > 0.99, node
        given, expected = found[now - 1]["output"], readout.estimate.numpy()
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-6 if exact else 0.02)
    assert all(count.any() for count in counts.values())


@every_case
def test_step_by_step_it_counts_as_the_engine_does(case: tuple[str, str, str]) -> None:
    network = network_of(*case)
    assert_same_steps(network, exact=not network.decodes)


@pytest.mark.parametrize("left", ["uncorrected", "bias"])
def test_differential_code_is_the_same_while_its_divisions_are_exact(left: str) -> None:
    assert_same_steps(network_of("differential", "plain", left, True), steps=2)


@pytest.mark.parametrize("parameters", [{"leak": 0.125}, {"refractory": 2}], ids=str)
@pytest.mark.parametrize("schedule", [*SCHEDULES.values(), Schedule(STEPS, onset_delay=3)], ids=str)
def test_silent_neurons_leak_and_recover_as_in_the_engine(schedule: Schedule, parameters: Mapping[str, object]) -> None:
    neuron = make_neuron("if", parameters)
    assert_same_steps(spiking_network(NormalForm(graph_of(), {}), neuron, schedule=schedule))


@pytest.mark.parametrize("wanted", [("step-bias", "weights"), ("bias", "potential")], ids="+".join)
@pytest.mark.parametrize("name", ["if", "if-signed", "if-multi"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_corrections_on_real_spikes_leave_is_exported(schedule: str, name: str, wanted: tuple[str, ...]) -> None:
    graph, x = graph_of(dyadic=False), torch.randn(24, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    recipe = Recipe("mse", make_neuron(name, {}), SCHEDULES[schedule])
    statistics = collect(graph, [x.numpy()], True, torch.device("cpu"))
    normal = recipe.scaled(graph, statistics, recipe.try_on(graph).depths, list)
    fitted = corrected(recipe.spiking(normal, statistics, x, lambda _: None), x, channel_axes(graph), wanted)
    assert all(fitted.biases[each].any() for each in fitted.neurons)
    assert {len(fitted.biases[each]) > 1 for each in fitted.neurons} == {"step-bias" in wanted}
    assert set(fitted.potentials) == (set(fitted.neurons) if "potential" in wanted else set())
    assert_same_steps(fitted, x, exact=False)


def about_of(network: SpikingNetwork) -> dict[str, object]:
    return {
        "preprocess": {},
        "schedule": network.schedule_document,
        "macs": {},
        "input": [*network.graph.input_shape],
        "steps": [STEPS],
        "batch_size": len(X),
    }


def answered(folder: Path) -> None:
    """Let the generated evaluator, in a process that imports nothing of the package, run every network."""
    driver = "\n".join(
        [
            "import importlib.util, pathlib, sys, numpy as np",
            "root = pathlib.Path(sys.argv[1])",
            "spec = importlib.util.spec_from_file_location('evaluate', root / 'evaluate.py')",
            "module = sys.modules['evaluate'] = importlib.util.module_from_spec(spec)",
            "spec.loader.exec_module(module)",
            "x, steps = np.load(root / 'x.npy'), range(1, int(sys.argv[2]) + 1)",
            "for folder in root.glob('*_snn'):",
            "    np.savez(folder / 'answers.npz', *module.Evaluator(folder).answers(x, steps))",
        ]
    )
    (folder / "evaluate.py").write_bytes(evaluate_script())
    np.save(folder / "x.npy", X.numpy())
    for number, case in enumerate(CASES):
        network = network_of(*case)
        (folder / f"{number}_snn").mkdir()
        (folder / f"{number}_snn" / "snn.onnx").write_bytes(step_model(network, about_of(network)))
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-c", driver, str(folder), str(STEPS)]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=120)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    answered(folder)
    return folder


@every_case
def test_generated_evaluator_tells_what_the_engine_does(case: tuple[str, str, str], answers: Path) -> None:
    network = network_of(*case)
    with np.load(answers / f"{CASES.index(case)}_snn" / "answers.npz") as stored:
        classes, spikes, synops = (stored[f"arr_{place}"] for place in range(3))
    assert classes.shape == (STEPS, len(X))
    for index, readout in enumerate(Simulator(network).run(X, range(1, STEPS + 1))):
        events = {name: each.double().sum(0) for name, each in readout.events.items()}
        fired = sum(float(each.sum()) for each in events.values())
        used = sum(float((each * network.fan_out[name]).sum()) for name, each in events.items())
        loose = 0.01 if network.decodes else 0
        assert spikes[index] == pytest.approx(fired, rel=loose, abs=0)
        assert synops[index] == pytest.approx(used, rel=loose, abs=0)
        assert classes[index].tolist() == top1(readout.estimate.numpy()).tolist()
    assert spikes[0] < spikes[-1]


EVENT_CASES = [(name, schedule) for name in PARAMETERS for schedule in SCHEDULES if schedule != "readout from 2"]
EVENT_CASES = [(n, s) for n, s in EVENT_CASES if n != "differential" and not (n == "lif" and s in WAITING)]


@pytest.mark.parametrize("case", EVENT_CASES, ids=": ".join)
def test_input_events_are_counted_as_in_the_engine(case: tuple[str, str], tmp_path: Path) -> None:
    """By the step in ONNX Runtime, and by the evaluator, which counts what the input's events cost, too."""
    network = dataclasses.replace(network_of(*case, "step-bias, potential"), encoding="events")
    here = torch.rand(3, STEPS, 2, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.3
    x = quarters(3, STEPS, 2, 6, 6) * here
    assert_same_steps(network, x)
    (tmp_path / "snn.onnx").write_bytes(step_model(network, about_of(network)))
    _, spikes, synops, _ = Evaluator(tmp_path).answers(x.numpy(), range(1, STEPS + 1))
    for index, readout in enumerate(Simulator(network).run(x, range(1, STEPS + 1))):
        events = {name: each.double().sum(0) for name, each in readout.events.items()}
        used = sum(float((each * network.fan_out[name]).sum()) for name, each in events.items())
        assert spikes[index] == sum(float(events[each].sum()) for each in events if each != "x")
        assert synops[index] == used
    assert float(events["x"].sum()) == float((x != 0).sum())
