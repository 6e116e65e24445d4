"""Convolutions by events against torch's, exactly, where sums are exact; and one order of summation, where not."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnconvert.graph import Graph
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.network.weights import units_of
from snnconvert.neurons import make_neuron
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.window import Window
from snnconvert.simulate import Simulator
from snnconvert.simulate.buffers import Buffers
from snnconvert.simulate.evaluations import Evaluation, event_evaluations, event_synapse
from snnconvert.simulate.events import CURRENTS
from snnconvert.simulate.synapses import EventSynapse
from snnconvert.simulate.vectors import BINARY, GRADED, WHOLE

ONE = Schedule(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(seed: int, shape: tuple[int, ...], most: int, unit: float) -> Tensor:
    return torch.randint(-most, most + 1, shape, generator=seeded(seed)) * unit


def channels_last(x: Tensor) -> Tensor:
    return x.to(memory_format=torch.channels_last)


def exactly(operator: Convolution, x: Tensor) -> Tensor:
    """Convolve in float64, row by row: channels last, torch 2.13 reads beyond an input of one channel."""
    return operator.mapped(lambda tensor: tensor.double()).evaluate([x.double().contiguous()]).float()


@st.composite
def cases(draw: st.DrawFn) -> tuple[Convolution, tuple[int, int, int], int, bool, str]:
    inputs, outputs = draw(st.sampled_from([1, 3, 16, 17, 40])), draw(st.sampled_from([1, 5, 16, 33, 64, 70]))
    kernel = draw(st.tuples(st.integers(1, 5), st.sampled_from([1, 2, 3, 3, 3, 5])))
    stride = draw(st.tuples(st.integers(1, 3), st.sampled_from([1, 1, 1, 2, 3])))
    before, after = (draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) for _ in range(2))
    size = tuple(k + draw(st.integers(0, 5)) for k in kernel)
    kind = draw(st.sampled_from(["8-bit", "dyadic"]))
    weight = numbers(0, (outputs, inputs, *kernel), 127 if kind == "8-bit" else 2000, 2.0**-10)
    bias = draw(st.sampled_from([None, (outputs,), "place"]))
    operator = Convolution(weight, None, Window(kernel, stride, (1, 1), before, after))
    if bias is not None:
        shape = operator.infer_shape([(inputs, *size)]) if bias == "place" else bias
        operator = Convolution(weight, numbers(1, shape, 99, 2.0**-7), operator.window)
    return operator, (inputs, *size), draw(st.sampled_from([1, 3])), draw(st.booleans()), kind


@settings(max_examples=150, deadline=None)
@given(case=cases(), density=st.sampled_from([0.0, 0.1, 0.5, 1.0]), seed=st.integers(0, 99))
def test_events_give_the_convolution(case: Any, density: float, seed: int) -> None:
    operator, shape, samples, graded, kind = case
    x = (torch.rand((samples, *shape), generator=seeded(seed)) < density).float()
    x = x * numbers(seed, x.shape, 4, 0.25) if graded else x
    x = channels_last(x)
    synapse = EventSynapse(operator, shape, graded)
    assert synapse.kind == (GRADED if graded else WHOLE if kind == "8-bit" else BINARY)
    expected = exactly(operator, x)
    other = numbers(seed + 1, tuple(expected.shape), 50, 0.125)
    if operator.bias is not None and operator.bias.ndim > 1:  # which the caller adds
        expected = expected - operator.bias
    assert torch.equal(synapse.evaluate(x, None, None), expected)
    assert torch.equal(synapse.evaluate(x, other, None), expected + other)
    if not graded:
        spikes = channels_last(other > 0)
        assert torch.equal(synapse.evaluate(x.bool(), spikes, None), expected + spikes.float())


@settings(max_examples=60, deadline=None)
@given(
    case=cases(), graded=st.booleans(), channels=st.sampled_from([2, 8, 16, 33, 70]), density=st.sampled_from([0.3, 1])
)
def test_depthwise_convolution_is_that_of_torch(case: Any, graded: bool, channels: int, density: float) -> None:
    sample, (_, *size), samples, *_ = case
    window = sample.window
    operator = Convolution(numbers(5, (channels, 1, *window.kernel), 999, 2.0**-10), None, window, channels)
    x = (torch.rand((samples, channels, *size), generator=seeded(6)) < density).float()
    x = channels_last(x * numbers(7, x.shape, 4, 0.25) if graded else x)
    expected = exactly(operator, x)
    other = numbers(8, tuple(expected.shape), 50, 0.125)
    synapse = EventSynapse(operator, (channels, *size), graded)
    assert torch.equal(synapse.evaluate(x, None, None), expected)
    assert torch.equal(synapse.evaluate(x, other, None), expected + other)
    if not graded:
        spikes = channels_last(other > 0)
        assert torch.equal(synapse.evaluate(x.bool(), spikes, None), expected + spikes.float())


@settings(max_examples=60, deadline=None)
@given(case=cases(), pool=st.sampled_from([(2, 2), (1, 2), (4, 1)]), density=st.sampled_from([0.1, 0.6]))
def test_events_of_a_pool_are_those_of_its_inputs(case: Any, pool: tuple[int, int], density: float) -> None:
    operator, shape, samples, *_ = case
    x = torch.rand((samples, shape[0], shape[1] * pool[0], shape[2] * pool[1]), generator=seeded(3)) < density
    expected = exactly(operator, torch.nn.functional.avg_pool2d(x.float(), pool))
    if operator.bias is not None and operator.bias.ndim > 1:
        expected = expected - operator.bias
    synapse = EventSynapse(operator, shape, False, pool)
    for given_as in (x, x.float()):
        assert torch.equal(synapse.evaluate(channels_last(given_as), None, None), expected)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("outputs", [64, 65])
def test_tall_images_are_convolved_in_strips(kernel: int, outputs: int) -> None:
    operator = Convolution(
        numbers(0, (outputs, 3, kernel, kernel), 99, 2.0**-9),
        None,
        Window((kernel,) * 2, (1, 1), (1, 1), (1, 1), (1, 1)),
    )
    x = channels_last(torch.rand((2, 3, 37, 67), generator=seeded(1)) < 0.2)
    assert 37 * 65 * outputs > 2 * CURRENTS  # more than two strips
    found = EventSynapse(operator, (3, 37, 67), False).evaluate(x, None, None)
    assert torch.equal(found, exactly(operator, x.float()))


@pytest.mark.parametrize("graded", [False, True])
def test_events_give_the_fully_connected_layer(graded: bool) -> None:
    operator = Linear(numbers(0, (70, 33), 99, 2.0**-9), numbers(1, (70,), 99, 0.125))
    x = numbers(2, (5, 4, 33), 1, 0.5) if graded else (numbers(2, (5, 4, 33), 1, 1.0) > 0).float()
    assert torch.equal(EventSynapse(operator, (4, 33), graded).evaluate(x, None, None), operator.evaluate([x]))


PLAIN = """
import sys, torch
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.window import Window
from snnconvert.simulate.synapses import EventSynapse
make = torch.Generator().manual_seed(0)
for columns in (1, 3):
    for most, graded in ((99, False), (999, False), (99, True)):
        weight = torch.randint(-most, most + 1, (20, 17, 3, columns), generator=make) / 1024
        operator = Convolution(weight, None, Window((3, columns), (1, 1), (1, 1), (1, 0), (1, 0)))
        x = (torch.randint(-3, 2, (2, 17, 7, 6), generator=make)).clamp(min=-1 if graded else 0).float()
        x = x.to(memory_format=torch.channels_last)
        assert torch.equal(EventSynapse(operator, (17, 7, 6), graded).evaluate(x, None, None), operator.evaluate([x]))
"""


def test_processor_without_wide_vectors_gives_the_same(tmp_path: Path) -> None:
    """Where a processor lacks an instruction, LLVM must not be asked for it: it would end the process."""
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PLAIN], env=os.environ | plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kernel", [3, 5])
def test_many_large_8_bit_weights_do_not_overflow(kernel: int) -> None:
    weight = torch.full((16, 300, kernel, kernel), 127.0)
    operator = Convolution(weight, None, Window((kernel,) * 2, (1, 1), (1, 1), (1, 1), (1, 1)))
    synapse = EventSynapse(operator, (300, 6, 6), False)
    assert synapse.kind == WHOLE
    x = torch.ones(1, 300, 6, 6).to(memory_format=torch.channels_last)
    assert torch.equal(synapse.evaluate(x, None, None), exactly(operator, x))


@pytest.mark.parametrize("pool", [(1, 1), (2, 2), (1, 4), (4, 1)])
@pytest.mark.parametrize("sign", [1, -1])
def test_many_large_8_bit_weights_of_a_pool_do_not_overflow(pool: tuple[int, int], sign: int) -> None:
    """A sweep adds up three columns of 64 channels in 16 bits, each as wide as the pool, where that fits."""
    operator = Convolution(torch.full((16, 70, 3, 3), sign * 127.0), None, Window((3, 3), *[(1, 1)] * 4))
    x = torch.ones(1, 70, 4 * pool[0], 4 * pool[1], dtype=torch.bool).to(memory_format=torch.channels_last)
    synapse = EventSynapse(operator, (70, 4, 4), False, pool)
    assert synapse.kind == (WHOLE if pool[1] == 1 else BINARY)
    assert torch.equal(synapse.evaluate(x, None, None), exactly(operator, torch.ones(1, 70, 4, 4)))
    mixed = Convolution(operator.weight * numbers(0, (16, 70, 3, 3), 1, 1.0), None, operator.window)
    assert EventSynapse(mixed, (70, 4, 4), False, (2, 2)).kind == WHOLE  # whose sums of one sign are smaller


def test_units_are_found_for_8_bit_weights_alone() -> None:
    weight = torch.tensor([[127.0, -3.0], [1.0, 0.0], [0.0, 0.0]]) / 64
    assert units_of(weight) is not None
    assert torch.equal(units_of(weight) * torch.tensor([127, 64, 0]), weight.abs().amax(1))  # type: ignore[operator]
    assert units_of(torch.tensor([[128.0, 1.0]])) is None  # a multiple of 1 by 128
    assert units_of(torch.tensor([[0.1, 0.2]])) is None
    assert units_of(torch.tensor([[1e-38]])) is None


def network_of(nets: Any, blocks: list[str], schedule: Schedule = ONE) -> SpikingNetwork:
    graph: Graph = nets.recipe(blocks)
    return spiking_network(NormalForm(graph, {}), make_neuron("if", {}), "exact", schedule)


def outputs(network: SpikingNetwork, parts: list[Tensor], block: int, threads: int) -> tuple[Tensor, list[Tensor]]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        runs = [next(iter(Simulator(network, block=block).run(part, [9]))) for part in parts]
    finally:
        torch.set_num_threads(before)
    counts = [torch.cat([run.counts[name] for run in runs]) for name in runs[0].counts]
    return torch.cat([run.output for run in runs]), counts


@pytest.mark.parametrize(
    ("blocks", "schedule"),
    [
        (["residual", "maximum"], Schedule(9)),
        (["inception", "option A"], Schedule(9, warm_up=0.5)),
        (["chain", "average"], Schedule(9, onset_delay=2)),
    ],
    ids=str,
)
def test_results_are_the_same_bits_whatever_runs_together(
    nets: ModuleType, blocks: list[str], schedule: Schedule
) -> None:
    """Sums of weights that are no round numbers: each is taken in one order."""
    network = network_of(nets, blocks, schedule)
    x = torch.randn((9, *network.graph.input_shape), generator=seeded(0))
    output, counts = outputs(network, [x], 4, 1)
    for parts, block, used in (([x[:1], x[1:]], 4, 2), (list(x.split(2)), 1, 1), ([x], 7, 2)):
        other, others = outputs(network, parts, block, used)
        assert torch.equal(other, output)
        assert all(torch.equal(a, b) for a, b in zip(others, counts, strict=True))
    assert any(count.any() for count in counts)


def test_threads_of_torch_are_left_as_they_were(nets: ModuleType) -> None:
    network = network_of(nets, ["chain"])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for taken in (1, 2):
            run = Simulator(network).run(torch.ones(8, *network.graph.input_shape), [1, 2])
            assert [next(run).t for _ in range(taken)] == [1, 2][:taken]
            run.close()  # type: ignore[attr-defined]
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_wide_input_whose_places_overflow_is_convolved(nets: Any) -> None:
    """Places of weights are numbers of 32 bits: a model file must not lead beyond them."""
    shape = (1, 3, 2**22)
    operator = Convolution(torch.ones(64, 1, 3, 3), None, Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1)))
    net = nets.Net(*shape)
    weighted = net.add(operator, net.relu("x"))
    network = spiking_network(NormalForm(net.graph(weighted), {}), make_neuron("if", {}), "exact", Schedule(1))
    (_, convolved) = event_evaluations(network, network.graph, network.graph.nodes)
    assert convolved.name == weighted
    assert event_synapse(network, network.graph, network.graph.by_name[weighted]) is None


def by_name(network: SpikingNetwork) -> dict[str, Evaluation]:
    return {each.name: each for each in event_evaluations(network, network.graph, network.graph.nodes)}


def test_sums_and_currents_that_only_one_reads_are_not_computed_apart(nets: ModuleType) -> None:
    network = network_of(nets, ["residual"])
    found = by_name(network)
    driven = [name for name in network.neurons if found[name].arriving is not None]
    assert driven
    for name in driven:
        (current,) = network.graph.by_name[name].inputs
        assert current not in found
    assert any(len(found[name].inputs) > 1 for name in driven)


def test_current_that_others_read_too_is_computed(nets: Any) -> None:
    net = nets.Net(2, 6, 6)
    first = net.relu(net.conv("x", 4))
    shared = net.conv(first, 4)
    network = spiking_network(
        NormalForm(net.graph(net.sum(net.relu(shared), shared)), {}), make_neuron("if", {}), "exact", Schedule(1)
    )
    assert shared in by_name(network)
    assert all(each.arriving is None for each in by_name(network).values())


@pytest.mark.parametrize("name", ["if-multi", "differential"])
def test_spikes_that_are_no_events_are_convolved(nets: ModuleType, name: str) -> None:
    graph = nets.recipe(["chain"])
    network = spiking_network(NormalForm(graph, {}), make_neuron(name, {}), "exact", Schedule(1))
    assert all(each.arriving is None for each in by_name(network).values())


def test_room_is_lent_again_when_nothing_lives_in_it() -> None:
    buffers = Buffers()
    first = buffers.take((2, 3, 4, 5))
    assert first.is_contiguous(memory_format=torch.channels_last)
    part = first[1:].flatten(1)  # a view, or a copy: of the view alone
    view = first.permute(0, 2, 3, 1)[1:]
    buffers.keep([view, part])
    assert buffers.take((2, 3, 4, 5)).data_ptr() != first.data_ptr()
    buffers.keep([])
    again = {buffers.take((120,)).data_ptr(), buffers.take((2, 60)).data_ptr()}
    assert first.data_ptr() in again
    assert buffers.take((7,)).shape == (7,)
