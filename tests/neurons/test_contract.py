"""What every neuron model promises; a new file in the folder of neurons is tested by its own examples."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import Tensor

from snnconvert.neurons import NEURONS, Neuron, State
from snnconvert.neurons.multi_spike import MultiSpike
from snnconvert.neurons.neuron import DOMAIN, EXAMPLES

NEURON_EXAMPLES = [neuron for name in EXAMPLES for neuron in EXAMPLES[name]()]
every_neuron = pytest.mark.parametrize("neuron", NEURON_EXAMPLES, ids=repr)
KEEPING = [neuron for neuron in NEURON_EXAMPLES if neuron.keeps_charge]


def simulate(neuron: Neuron, currents: Tensor, state: State | None = None, start: int = 0) -> tuple[Tensor, State]:
    """Return the spikes ``(T, ...)`` under currents ``(T, ...)``, and the last state."""
    state = neuron.initial_state(currents[0]) if state is None else state
    spikes = []
    for t, current in enumerate(currents, start):
        state, fired = neuron.step(state, current, t)
        spikes.append(fired)
    return torch.stack(spikes), state


def random_currents(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).to(dtype) * 2 - 0.5


def test_every_neuron_has_examples() -> None:
    assert list(EXAMPLES) == list(NEURONS)


@every_neuron
def test_rate_error_falls_as_one_over_the_steps(neuron: Neuron) -> None:
    constant = random_currents(20_000) * neuron.most
    steps = [17, 29, 53, 97, 181, 337, 631, 1171]
    state, count = neuron.initial_state(constant), torch.zeros_like(constant)
    errors = []
    for t in range(1, steps[-1] + 1):
        state, fired = neuron.step(state, constant, t - 1)
        count += fired
        if t in steps:
            rate = neuron.sent(state, fired) if neuron.decodes else count / t
            error = (rate - neuron.rate(constant)).abs()
            assert error.max() < 1.001 / t  # within one spike, and what rounding adds to it
            errors.append(float(error.mean()))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -1.25 < slope < -0.8


@every_neuron
@pytest.mark.parametrize("current", [0.0, -0.0, -1e-3, -0.7, -40.0])
def test_no_current_or_a_negative_one_gives_no_spike(neuron: Neuron, current: float) -> None:
    spikes, _ = simulate(neuron, torch.full((300, 4), current))
    assert not spikes.any()
    assert float(neuron.rate(torch.tensor(current, dtype=torch.float64))) == 0


@every_neuron
@given(current=st.floats(-5, 0), steps=st.integers(1, 40))
@settings(deadline=None, max_examples=20)
def test_no_negative_current_gives_a_spike(neuron: Neuron, current: float, steps: int) -> None:
    spikes, state = simulate(neuron, torch.full((steps, 1), current, dtype=torch.float64))
    assert not spikes.any()
    assert float(neuron.sent(state, spikes[-1])) == 0


@every_neuron
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spikes_are_what_the_hardware_can_send(neuron: Neuron, dtype: torch.dtype) -> None:
    currents = 3 * random_currents(60, 40, dtype=dtype)
    currents[30:] -= 2.5  # so that spikes are taken back, where they can be
    spikes, state = simulate(neuron, currents)
    assert spikes.dtype == dtype
    assert all(each.dtype == dtype for each in state)
    found = set(spikes.unique().tolist())
    if neuron.spikes == "binary":
        assert found == {0.0, 1.0}
    elif neuron.spikes == "signed":
        assert found == {-1.0, 0.0, 1.0}
    else:
        smallest = 2.0 ** (1 - neuron.bits)
        assert all(each == round(each / smallest) * smallest for each in found)
        assert len(found) > 2
    if not (isinstance(neuron, MultiSpike) and neuron.k is None):
        most = 2 - 2.0 ** (1 - neuron.bits) if neuron.decodes else neuron.most
        assert max(map(abs, found)) <= most
        assert most >= neuron.levels * 2.0 ** (1 - neuron.bits)


# taking back all of a rate after 10 steps, which rounds to under 0 in float32
ALL_TAKEN_BACK = [-0.563, 0.465, -1.44, 1.149, -0.168, -0.431, -1.344, -0.795, 0.105, -0.405]


@every_neuron
@example(changes=ALL_TAKEN_BACK)
@given(changes=st.lists(st.floats(-3, 3, width=32), min_size=2, max_size=40))
@settings(deadline=None, max_examples=40)
def test_what_was_sent_is_never_negative(neuron: Neuron, changes: list[float]) -> None:
    state = neuron.initial_state(torch.zeros(1))
    total = torch.zeros(1)
    for t, current in enumerate(changes):
        state, spikes = neuron.step(state, torch.tensor([current]), t)
        total = neuron.sent(state, spikes) if neuron.decodes else total + spikes
        assert float(total) >= 0


@every_neuron
def test_a_pause_in_the_middle_changes_nothing(neuron: Neuron) -> None:
    currents = random_currents(60, 30, dtype=torch.float32)
    whole, last = simulate(neuron, currents)
    first, middle = simulate(neuron, currents[:23])
    second, end = simulate(neuron, currents[23:], middle, 23)
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(torch.equal(left, right) for left, right in zip(end, last, strict=True))


@every_neuron
def test_a_step_leaves_its_arguments_as_they_are(neuron: Neuron) -> None:
    current = random_currents(30)
    state = neuron.initial_state(current)
    before = [each.clone() for each in (*state, current)]
    after, spikes = neuron.step(state, current, 0)
    assert all(torch.equal(now, then) for now, then in zip((*state, current), before, strict=True))
    made = {each.data_ptr() for each in (*after, spikes)}
    assert not made & {each.data_ptr() for each in (*state, current)}


@every_neuron
def test_initial_state_is_the_initial_value_everywhere(neuron: Neuron) -> None:
    like = torch.full((2, 3, 4), 9.0, dtype=torch.float64)
    state = neuron.initial_state(like)
    assert len(state) == len(neuron.states) == len(neuron.initial_values)
    for each, value in zip(state, neuron.initial_values, strict=True):
        assert (each.shape, each.dtype) == (like.shape, like.dtype)
        assert set(each.flatten().tolist()) == {value}


@pytest.mark.parametrize("neuron", KEEPING, ids=repr)
def test_spikes_and_potential_hold_the_whole_charge_exactly(neuron: Neuron) -> None:
    make = torch.Generator().manual_seed(1)
    currents = torch.randint(-64, 129, (300, 500), generator=make) / 64  # sums are exact in float32
    spikes, state = simulate(neuron, currents)
    leak = getattr(neuron, "leak", 0.0) * len(currents)
    assert torch.equal(spikes.sum(0) + state[0], neuron.initial_values[0] + currents.sum(0) - leak)


@pytest.mark.parametrize("neuron", KEEPING, ids=repr)
@given(eighths=st.lists(st.integers(-40, 40), min_size=1, max_size=30))
@settings(deadline=None, max_examples=30)
def test_no_sequence_of_currents_loses_charge(neuron: Neuron, eighths: list[int]) -> None:
    currents = torch.tensor(eighths).view(-1, 1) / 8
    spikes, state = simulate(neuron, currents)
    leak = getattr(neuron, "leak", 0.0) * len(currents)
    assert float(spikes.sum() + state[0]) == neuron.initial_values[0] + sum(eighths) / 8 - leak


def test_the_neurons_that_lose_charge_are_known() -> None:
    losing = {name for name in EXAMPLES for neuron in EXAMPLES[name]() if not neuron.keeps_charge}
    assert losing == {"differential", "if", "lif"}
    assert all(neuron.keeps_charge == (neuron.reset == "subtract") for neuron in EXAMPLES["if"]())


@pytest.mark.parametrize("neuron", KEEPING, ids=repr)
def test_a_silent_step_gathers_its_current_and_sends_nothing(neuron: Neuron) -> None:
    current = torch.randint(-64, 129, (50,), generator=torch.Generator().manual_seed(2)) / 64
    state = neuron.initial_state(current)
    after = neuron.silent(state, current)
    assert neuron.drain == getattr(neuron, "leak", 0.0)
    assert torch.equal(after[0], state[0] + current - neuron.drain)
    assert all(torch.equal(left, right) for left, right in zip(after[1:], state[1:], strict=True))


@every_neuron
def test_a_step_compares_the_potential_that_it_reached(neuron: Neuron) -> None:
    currents = 2 * random_currents(40, 50)
    state, biggest_silent, fired = neuron.initial_state(currents[0]), 0.0, 0
    threshold = getattr(neuron, "threshold", 1.0)
    for t, current in enumerate(currents):
        reached = neuron.reached(state, current, t)
        state, spikes = neuron.step(state, current, t)
        fired += int((spikes > 0).sum())
        least = 0.75 * 2.0 ** (1 - neuron.bits) if neuron.decodes else threshold * 2.0 ** (1 - neuron.bits)
        assert float(torch.where(spikes > 0, reached, least).min()) >= least
        biggest_silent = max(biggest_silent, float(torch.where(spikes == 0, reached, 0).max()))
        if neuron.keeps_charge or neuron.decodes:
            assert torch.equal(reached - spikes, state[0])
    assert fired > 0
    assert biggest_silent < least or getattr(neuron, "refractory", 0)


def session_of(neuron: Neuron) -> onnxruntime.InferenceSession:
    """Return ONNX Runtime with a model of one node, which calls the neuron's function."""
    function = neuron.onnx_function()
    inputs, outputs = [*function.input], [*function.output]
    node = helper.make_node(function.name, inputs, outputs, domain=DOMAIN)
    shapes: dict[str, list[None]] = {"time": []}
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes.get(name, [None, None]))
        for name in (*inputs, *outputs)
    }
    graph = helper.make_graph([node], "neuron", [values[name] for name in inputs], [values[name] for name in outputs])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a neuron that needs no time leaves it unused
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@every_neuron
def test_onnx_function_equals_the_step_bit_for_bit(neuron: Neuron) -> None:
    session = session_of(neuron)
    currents = 1.5 * random_currents(200, 5, 40, dtype=torch.float32)
    currents[100:] -= 0.75
    currents[:, :2] = (8 * currents[:, :2]).round() / 8  # so that some potentials meet the threshold exactly
    state = neuron.initial_state(currents[0])
    own = {name: each.numpy() for name, each in zip(neuron.states, state, strict=True)}
    asked = {each.name for each in session.get_inputs()}
    for t, current in enumerate(currents):
        state, fired = neuron.step(state, current, t)
        feed = {"current": current.numpy(), "time": np.asarray(t + 1, np.float32), **own}
        given = {name: value for name, value in feed.items() if name in asked}
        spikes, *after = session.run(["spikes", *(f"next_{name}" for name in neuron.states)], given)
        own = dict(zip(neuron.states, after, strict=True))
        assert spikes.tobytes() == fired.numpy().tobytes()
        for name, each in zip(neuron.states, state, strict=True):
            assert own[name].tobytes() == each.numpy().tobytes(), name


def test_functions_of_different_neurons_have_different_names() -> None:
    names = {neuron.onnx_function().name for neuron in NEURON_EXAMPLES}
    without_start = {
        (type(neuron).__name__, *(value for key, value in vars(neuron).items() if key != "initial_potential"))
        for neuron in NEURON_EXAMPLES
    }
    assert len(names) == len(without_start)
    assert all(dataclasses.is_dataclass(neuron) for neuron in NEURON_EXAMPLES)
