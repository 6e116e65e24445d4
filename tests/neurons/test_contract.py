"""What every neuron model promises; a new file in the folder of neurons is tested by its own examples."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from snnconvert.neurons import NEURONS, Neuron
from snnconvert.neurons.neuron import DOMAIN, EXAMPLES

NEURON_EXAMPLES = [neuron for name in EXAMPLES for neuron in EXAMPLES[name]()]
every_neuron = pytest.mark.parametrize("neuron", NEURON_EXAMPLES, ids=repr)


def simulate(neuron: Neuron, currents: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the spikes ``(T, ...)`` under currents ``(T, ...)``, and the last state."""
    state = neuron.initial_state(currents[0]) if state is None else state
    spikes = []
    for current in currents:
        state, fired = neuron.step(state, current)
        spikes.append(fired)
    return torch.stack(spikes), state


def random_currents(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).to(dtype) * 2 - 0.5


def test_every_neuron_has_examples() -> None:
    assert list(EXAMPLES) == list(NEURONS)


@every_neuron
def test_rate_error_falls_as_one_over_the_steps(neuron: Neuron) -> None:
    constant = random_currents(20_000)
    steps = [17, 29, 53, 97, 181, 337, 631, 1171]
    state, count = neuron.initial_state(constant), torch.zeros_like(constant)
    errors = []
    for t in range(1, steps[-1] + 1):
        state, fired = neuron.step(state, constant)
        count += fired
        if t in steps:
            error = (count / t - neuron.rate(constant)).abs()
            assert error.max() < 2 / t
            errors.append(float(error.mean()))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -1.15 < slope < -0.85


@every_neuron
@pytest.mark.parametrize("current", [0.0, -0.0, -1e-3, -0.7, -40.0])
def test_no_current_or_a_negative_one_gives_no_spike(neuron: Neuron, current: float) -> None:
    spikes, _ = simulate(neuron, torch.full((300, 4), current))
    assert not spikes.any()
    assert float(neuron.rate(torch.tensor(current))) == 0


@every_neuron
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spikes_are_zero_or_one(neuron: Neuron, dtype: torch.dtype) -> None:
    spikes, state = simulate(neuron, 3 * random_currents(50, 40, dtype=dtype))
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert spikes.dtype == state.dtype == dtype


@every_neuron
def test_a_pause_in_the_middle_changes_nothing(neuron: Neuron) -> None:
    currents = random_currents(60, 30, dtype=torch.float32)
    whole, last = simulate(neuron, currents)
    first, middle = simulate(neuron, currents[:23])
    second, end = simulate(neuron, currents[23:], middle)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(end, last)


@every_neuron
def test_a_step_leaves_its_arguments_as_they_are(neuron: Neuron) -> None:
    current = random_currents(30)
    state = neuron.initial_state(current)
    before = state.clone(), current.clone()
    after, spikes = neuron.step(state, current)
    assert torch.equal(state, before[0])
    assert torch.equal(current, before[1])
    assert not {state.data_ptr(), current.data_ptr()} & {after.data_ptr(), spikes.data_ptr()}


@every_neuron
def test_initial_state_is_the_initial_value_everywhere(neuron: Neuron) -> None:
    like = torch.full((2, 3, 4), 9.0, dtype=torch.float64)
    state = neuron.initial_state(like)
    assert (state.shape, state.dtype) == (like.shape, like.dtype)
    assert set(state.flatten().tolist()) == {neuron.initial_value}


def session_of(neuron: Neuron) -> onnxruntime.InferenceSession:
    """Return ONNX Runtime with a model of one node, which calls the neuron's function."""
    function = neuron.onnx_function()
    node = helper.make_node(function.name, ["current", "state"], ["spikes", "next"], domain=DOMAIN)
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None])
        for name in ("current", "state", "spikes", "next")
    }
    graph = helper.make_graph(
        [node], "neuron", [values["current"], values["state"]], [values["spikes"], values["next"]]
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@every_neuron
def test_onnx_function_equals_the_step_bit_for_bit(neuron: Neuron) -> None:
    session = session_of(neuron)
    currents = 1.5 * random_currents(200, 5, 40, dtype=torch.float32)
    currents[:, :2] = (8 * currents[:, :2]).round() / 8  # so that some potentials meet the threshold exactly
    state = neuron.initial_state(currents[0])
    potential = state.numpy()
    for current in currents:
        state, fired = neuron.step(state, current)
        spikes, potential = session.run(["spikes", "next"], {"current": current.numpy(), "state": potential})
        assert spikes.tobytes() == fired.numpy().tobytes()
        assert potential.tobytes() == state.numpy().tobytes()
