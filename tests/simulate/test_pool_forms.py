"""Max pools in every form, against a simulation in numpy that does the obvious, element by element."""

import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.calibrate import collect
from snnconvert.data import Preprocessing, batches, open_dataset
from snnconvert.fold import PASSES
from snnconvert.fold.max_pool import MovePoolBeforeActivation, Pooling, pools_averaged
from snnconvert.graph import Graph, apply_passes
from snnconvert.load import load_model
from snnconvert.network import NormalForm, SpikingNetwork, normal_form, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.window import Window
from snnconvert.simulate import Simulator
from snnconvert.simulate.pooled_spikes import ROOM
from snnconvert.simulate.pools import GateLayer, PoolLayer, SpikePoolLayer
from tests.percentile import percentile_scales

Values = NDArray[np.float64]
Windows = list[list[int]]  # for each output, flat, the flat inputs under it

PREPARED: dict[Pooling, Callable[[Graph], Graph]] = {
    "exact": lambda graph: graph,
    "gate": lambda graph: graph,
    "before": MovePoolBeforeActivation().run,
    "average": pools_averaged,
}
WINDOWS = {
    "2x2": (Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0)), (2, 6, 5)),
    "overlapping": (Window((3, 3), (1, 1), (1, 1), (0, 0), (0, 0)), (2, 6, 5)),
    "padded": (Window((3, 3), (2, 2), (1, 1), (1, 1), (1, 1)), (2, 5, 5)),
    "padded unevenly": (Window((3, 2), (2, 1), (1, 1), (0, 1), (2, 0)), (2, 6, 5)),
    "dilated": (Window((2, 2), (1, 1), (2, 2), (1, 1), (1, 1)), (2, 5, 5)),
    "global": (Window((4, 5), (1, 1), (1, 1), (0, 0), (0, 0)), (3, 4, 5)),
    "of a sequence": (Window((3,), (2,), (1,), (1,), (0,)), (3, 9)),
}
every_window = pytest.mark.parametrize(("window", "shape"), WINDOWS.values(), ids=WINDOWS.keys())
every_form = pytest.mark.parametrize("pooling", PREPARED)


def quarters(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(-3, 6, shape, generator=torch.Generator().manual_seed(seed)) / 4


def random_spikes(*shape: int, share: float = 0.4) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < share).float()


def windows(window: Window, shape: tuple[int, ...]) -> Windows:
    """List the real elements under every place of the window, padding left out."""
    channels, *space = shape
    numbered = np.arange(int(np.prod(shape))).reshape(shape)
    found = []
    for place in itertools.product(range(channels), *(range(size) for size in window.output_size(space))):
        axes = [
            [at for at in (p * s + k * d - b for k in range(kernel)) if 0 <= at < size]
            for p, s, d, b, kernel, size in zip(
                place[1:], window.stride, window.dilation, window.before, window.kernel, space, strict=True
            )
        ]
        found.append([int(numbered[(place[0], *at)]) for at in itertools.product(*axes)])
    return found


class Neurons:
    """Integrate and fire, reset by subtraction, from half a threshold."""

    def __init__(self, size: int) -> None:
        self.potential = np.full(size, 0.5)

    def step(self, current: Values) -> Values:
        self.potential = self.potential + current
        fired = self.potential >= 1
        self.potential = self.potential - fired
        return fired.astype(float)


def pooled(pooling: Pooling, under: list[int], spikes: Values, counts: Values) -> float:
    """Tell what one window sends: ``counts`` of what has arrived include the ``spikes`` of this step."""
    most = max(counts[i] for i in under)
    if pooling == "exact":
        return float(most - max(counts[i] - spikes[i] for i in under))
    if pooling == "gate":
        return float(any(spikes[i] for i in under if counts[i] == most))
    return float(sum(spikes[i] for i in under) / len(under))


def simulated(pooling: Pooling, places: Windows, mixing: Values, x: Values, steps: int) -> list[Values]:
    """Run neurons, weights ``(channels, channels)`` and a pool with neurons behind or before it; what comes out."""
    channels = len(mixing)
    first = Neurons(x.size)
    second = Neurons(len(places) if pooling == "before" else x.size)
    counts, out = np.zeros(x.size), []
    for _ in range(steps):
        current = (mixing @ first.step(x).reshape(channels, -1)).reshape(-1)
        if pooling == "before":
            out.append(second.step(np.array([max(current[i] for i in under) for under in places])))
            continue
        spikes = second.step(current)
        counts = counts + spikes
        out.append(np.array([pooled(pooling, under, spikes, counts) for under in places]))
    return out


def network_with_a_pool(
    nets: ModuleType, pooling: Pooling, window: Window, weight: Tensor, space: tuple[int, ...]
) -> SpikingNetwork:
    """Neurons, a synapse ``(channels, channels)`` at each place, neurons and a pool."""
    net = nets.Net(len(weight), *space)
    one = nets.window(1, rank=len(space))
    synapse = Convolution(weight.reshape(*weight.shape, *(1 for _ in space)), None, one, 1)
    net.relu(net.add(synapse, net.relu("x", name="first"), name="synapse"), name="second")
    graph = net.graph(net.maximum("second", window, name="pool"))
    return spiking_network(NormalForm(PREPARED[pooling](graph), {}), IntegrateAndFire(), pooling)


@every_window
@every_form
@pytest.mark.parametrize("block", [1, 4, 16])
def test_every_form_sends_what_the_obvious_simulation_sends(
    nets: ModuleType, pooling: Pooling, window: Window, shape: tuple[int, ...], block: int
) -> None:
    weight = quarters(shape[0], shape[0], seed=5) / 4 + torch.eye(shape[0]) / 2
    network = network_with_a_pool(nets, pooling, window, weight, shape[1:])
    assert network.pools == {"pool": pooling}
    x, steps, places = quarters(2, *shape) / 2, 14, windows(window, shape)
    mixing = weight.double().numpy()
    samples = [each.double().flatten().numpy() for each in x]
    expected = np.stack([simulated(pooling, places, mixing, each, steps) for each in samples], axis=1)
    totals = np.cumsum(expected, axis=0)
    assert totals[-1].any()
    assert pooling == "average" or set(np.unique(expected)) == {0.0, 1.0}
    for readout in Simulator(network, block=block).run(x, range(1, steps + 1)):
        np.testing.assert_allclose(
            readout.output.flatten(1), totals[readout.t - 1], atol=0 if pooling != "average" else 1e-5
        )
        if pooling in ("exact", "gate"):
            assert torch.equal(readout.counts["pool"], readout.output)


# in one pass over memory


def of_one_pass(window: Window, shape: tuple[int, ...], gate: bool, samples: int, blocks: list[int]) -> None:
    """Compare with the plain form, block by block; half the samples leave after the first block."""
    plain_kind = GateLayer if gate else PoolLayer
    like = torch.zeros(samples, *shape)
    fused, plain = SpikePoolLayer(MaxPool(window), like, gate), plain_kind(MaxPool(window), like)
    spikes = random_spikes(sum(blocks), samples, *shape) > 0
    for index, block in enumerate(spikes.split(blocks)):
        if index == 1:
            for layer in (fused, plain):
                layer.keep(torch.arange(1, samples, 2))
        block = block[:, 1::2] if index else block
        sent, expected = (
            layer.advance(block.flatten(0, 1).to(kind), len(block), varying=True)
            for layer, kind in ((fused, torch.bool), (plain, torch.float32))
        )
        assert sent.dtype == torch.bool
        assert torch.equal(sent.float(), expected)
        assert torch.equal(fused.count, plain.count)
        assert torch.equal(fused.events, plain.events)


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize(("window", "shape"), [each for each in WINDOWS.values() if len(each[1]) == 3])
def test_fused_pool_equals_the_plain_one(window: Window, shape: tuple[int, ...], gate: bool) -> None:
    of_one_pass(window, shape, gate, 4, [1, 9, 20])


@pytest.mark.parametrize("gate", [False, True])
def test_fused_pool_of_a_large_image_takes_strips(gate: bool) -> None:
    shape = (64, 21, 40)
    for kernel, stride, dilation in ((3, 2, 1), (3, 1, 2), (2, 5, 1)):
        assert ROOM // (stride * 64 * 40) < (21 - (kernel - 1) * dilation) // stride  # more than one strip
        of_one_pass(Window(*((each,) * 2 for each in (kernel, stride, dilation, 1, 1))), shape, gate, 2, [3, 4])


# the gate


@every_window
@pytest.mark.parametrize("block", [1, 4, 30])
def test_gate_sends_spikes_and_never_less_than_the_exact_form(
    window: Window, shape: tuple[int, ...], block: int
) -> None:
    spikes = random_spikes(30, 2, *shape)
    gate, exact = GateLayer(MaxPool(window), spikes[0]), PoolLayer(MaxPool(window), spikes[0])
    sent = []
    for part in spikes.split(block):
        through, counted = (each.advance(part.flatten(0, 1), len(part), varying=True) for each in (gate, exact))
        assert bool((through >= counted).all())
        sent.append(through.view(len(part), 2, *through.shape[1:]))
    over_time = torch.cat(sent)
    assert set(over_time.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(gate.count, over_time.sum(0))
    assert bool((gate.count >= exact.count).all())


@given(
    spikes=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=40),
    cut=st.integers(0, 40),
)
@settings(max_examples=150, deadline=None)
def test_gate_passes_the_spikes_of_those_who_lead(spikes: list[list[bool]], cut: int) -> None:
    trains = torch.tensor(spikes).float().reshape(-1, 1, 3)
    layer = GateLayer(MaxPool(Window((3,), (1,), (1,), (0,), (0,))), trains[0][None])
    parts = [part for part in (trains[:cut], trains[cut:]) if len(part)]
    sent = torch.cat([layer.advance(part, len(part), varying=True) for part in parts]).flatten().tolist()
    counts = [0, 0, 0]
    for step, fired in enumerate(spikes):
        counts = [count + one for count, one in zip(counts, fired, strict=True)]
        leaders = [i for i in range(3) if counts[i] == max(counts)]
        assert sent[step] == float(any(fired[i] for i in leaders))


def test_gate_takes_any_order_in_memory() -> None:
    spikes = random_spikes(8, 2, 3, 6, 5).flatten(0, 1)
    window, _ = WINDOWS["padded unevenly"]
    orders = (torch.contiguous_format, torch.channels_last)
    layers = [GateLayer(MaxPool(window), spikes[:2].contiguous(memory_format=order)) for order in orders]
    sent = [
        layer.advance(spikes.contiguous(memory_format=order), 8, varying=True)
        for layer, order in zip(layers, reversed(orders), strict=True)
    ]
    assert torch.equal(sent[0], sent[1])
    assert torch.equal(layers[0].count, layers[1].count)


def test_gate_lets_an_input_that_draws_level_count_twice() -> None:
    steps = 20
    turns = torch.zeros(steps, 1, 2)
    turns[0::2, 0, 0] = 1  # two inputs of one rate fire in turn
    turns[1::2, 0, 1] = 1
    window = Window((2,), (1,), (1,), (0,), (0,))
    gate, exact = GateLayer(MaxPool(window), turns[:1]), PoolLayer(MaxPool(window), turns[:1])
    assert gate.advance(turns, steps, varying=True).sum() == steps
    assert exact.advance(turns, steps, varying=True).sum() == steps / 2


def test_rate_of_the_gate_tends_to_the_largest_rate_of_its_window(nets: ModuleType) -> None:
    net = nets.Net(1, 40, 40)
    graph = net.graph(net.maximum(net.relu("x"), nets.window(2, 2), name="pool"))
    network = spiking_network(NormalForm(graph, {}), IntegrateAndFire(), "gate")
    x = torch.randint(0, 17, (1, 1, 40, 40), generator=torch.Generator().manual_seed(0)) / 16
    largest = MaxPool(nets.window(2, 2)).evaluate([x])
    for readout in Simulator(network).run(x, [32, 128, 512, 1024]):
        surplus = readout.output - readout.t * largest
        assert surplus.min() >= -1
        assert surplus.max() <= 3 * 16 + 1  # inputs of another rate are behind for good after 16 steps


# before the neurons


@every_window
def test_pools_before_the_first_neurons_are_exact(nets: ModuleType, window: Window, shape: tuple[int, ...]) -> None:
    net = nets.Net(*shape, dyadic=True)
    current = net.conv("x", 4, nets.window(3, pad=1, rank=len(shape) - 1), name="conv")
    graph = net.graph(net.maximum(net.relu(current, name="relu"), window, name="pool"))
    network = spiking_network(NormalForm(PREPARED["before"](graph), {}), IntegrateAndFire(), "before")
    assert network.pools == {}
    x = quarters(2, *shape)
    analog = MaxPool(window).evaluate([graph.by_name["conv"].operator.evaluate([x])])
    neurons, totals = Neurons(analog.numel()), np.zeros(analog.numel())
    for readout in Simulator(network).run(x, range(1, 17)):
        totals = totals + neurons.step(analog.double().numpy().reshape(-1))
        np.testing.assert_array_equal(readout.output.reshape(-1), totals)
        assert (readout.output - readout.t * analog.clamp(0, 1)).abs().max() <= 0.5


def test_maximum_of_currents_at_each_step_is_more_than_the_largest_rate(nets: ModuleType) -> None:
    """Rates of 1/2 (fires at 1, 3, 5, ...) and 1/4 (at 2, 6, ...): one of them fires at 3/4 of the steps.

    At step 2 the slower one draws level, which a gate lets pass.
    """
    x = torch.tensor([[[0.5, 0.25]]])
    found: dict[Pooling, float] = {}
    for pooling in PREPARED:
        network = network_with_a_pool(nets, pooling, Window((2,), (1,), (1,), (0,), (0,)), torch.eye(1), (2,))
        (readout,) = Simulator(network).run(x, [16])
        found[pooling] = float(readout.output)
    assert found == {"exact": 8, "gate": 9, "before": 12, "average": 6}


# a real network


@pytest.fixture(scope="module")
def squeezenet(shared_data: Path) -> tuple[Graph, Tensor]:
    """The folded network, whose pools stand behind one activation, and behind two joined ones; two photographs."""
    graph = load_model(shared_data / "models" / "squeezenet1.1_imagenet.onnx").graph
    photographs = open_dataset(shared_data / "imagenet")
    _, x = next(batches(photographs, [0, 1], Preprocessing.parse("imagenet"), graph.input_shape, 2))
    return apply_passes(graph, PASSES, torch.from_numpy(x))[0], torch.from_numpy(x)


@every_form
def test_real_network_runs_in_every_form(squeezenet: tuple[Graph, Tensor], pooling: Pooling) -> None:
    folded, x = squeezenet
    graph = PREPARED[pooling](folded)
    statistics = collect(graph, [x.numpy()], False, torch.device("cpu"))
    scales = percentile_scales(statistics, 99.9, False)
    network = spiking_network(normal_form(graph, scales), IntegrateAndFire(), pooling)
    readers = {node.name: node.inputs[0] for node in network.graph.nodes}
    # before the first neurons, where the current is constant, a pool is the plain maximum
    assert list(network.pools.values()) == (["exact"] * 2 if pooling == "before" else [pooling] * 3)
    (readout,) = Simulator(network).run(x, [3])
    assert bool(readout.output.isfinite().all())
    sending = [name for name in network.pools if name in readout.counts]
    assert len(sending) == {"exact": 3, "gate": 3, "before": 2, "average": 0}[pooling]
    for name in sending:
        if readers[name] in readout.counts:
            largest = network.graph.by_name[name].operator.evaluate([readout.counts[readers[name]]])
            sent = readout.counts[name]
            assert torch.equal(sent, largest) if pooling == "exact" else bool((sent >= largest).all())
