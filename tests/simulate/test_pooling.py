"""Max pooling in time: the exact counter form over spikes, the plain maximum over what does not change."""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from snnconvert.graph import Graph
from snnconvert.network import NormalForm, SpikingNetwork, Traffic, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.window import Window
from snnconvert.simulate import Simulator
from snnconvert.simulate.pools import PoolLayer

WINDOWS = {
    "2x2": Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0)),
    "overlapping": Window((3, 3), (1, 1), (1, 1), (0, 0), (0, 0)),
    "padded": Window((3, 3), (2, 2), (1, 1), (1, 1), (1, 1)),
    "padded unevenly": Window((3, 2), (2, 1), (1, 1), (0, 1), (2, 0)),
    "dilated": Window((2, 2), (1, 1), (2, 2), (1, 1), (1, 1)),
    "global": Window((6, 7), (1, 1), (1, 1), (0, 0), (0, 0)),
}
every_window = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())


def spiking(graph: Graph) -> SpikingNetwork:
    return spiking_network(NormalForm(graph, {}), IntegrateAndFire())


def quarters(*shape: int) -> Tensor:
    return torch.randint(-3, 6, shape, generator=torch.Generator().manual_seed(0)) / 4


@every_window
@pytest.mark.parametrize("block", [1, 4, 30])
def test_pool_over_spikes_emits_spikes_whose_sum_is_the_maximum_of_sums(window: Window, block: int) -> None:
    spikes = (torch.rand((30, 2, 3, 6, 7), generator=torch.Generator().manual_seed(1)) < 0.4).float()
    pool = MaxPool(window)
    layer = PoolLayer(pool, spikes[0])
    emitted = [
        layer.advance(part.flatten(0, 1), len(part), varying=True).unflatten(0, (len(part), 2))
        for part in spikes.split(block)
    ]
    over_time = torch.cat(emitted)
    assert set(over_time.unique().tolist()) == {0.0, 1.0}
    for t in range(30):
        assert torch.equal(over_time[: t + 1].sum(0), pool.evaluate([spikes[: t + 1].sum(0)]))
    assert torch.equal(layer.count, over_time.sum(0))


@every_window
def test_pool_in_a_network_counts_the_maximum_at_every_step(nets: ModuleType, window: Window) -> None:
    net = nets.Net(3, 6, 7)
    pool = net.maximum(net.relu("x", name="relu"), window, name="pool")
    network = spiking(net.graph(net.linear(net.flatten(pool), 2)))
    assert network.traffic["pool"] is Traffic.SPIKES
    for readout in Simulator(network).run(quarters(2, 3, 6, 7), range(1, 20)):
        assert torch.equal(readout.counts["pool"], MaxPool(window).evaluate([readout.counts["relu"]]))


def test_pool_in_one_dimension_counts_the_maximum(nets: ModuleType) -> None:
    net = nets.Net(3, 11)
    window = Window((3,), (2,), (1,), (1,), (0,))
    network = spiking(net.graph(net.maximum(net.relu("x", name="relu"), window, name="pool")))
    for readout in Simulator(network).run(quarters(2, 3, 11), range(1, 20)):
        assert torch.equal(readout.output, MaxPool(window).evaluate([readout.counts["relu"]]))


def test_pools_in_a_row_stay_binary(nets: ModuleType) -> None:
    net = nets.Net(2, 9, 9)
    first = net.maximum(net.relu("x", name="relu"), nets.window(3, 1, 1))
    network = spiking(net.graph(net.maximum(first, nets.window(3, 2, 1), name="last")))
    before: Any = 0
    for readout in Simulator(network).run(quarters(2, 2, 9, 9), range(1, 20)):
        assert set((readout.output - before).unique().tolist()) <= {0.0, 1.0}
        before = readout.output.clone()
    assert before.any()


@every_window
def test_pool_over_signed_currents_sums_up_to_the_maximum_of_sums(nets: ModuleType, window: Window) -> None:
    net = nets.Net(2, 6, 7, dyadic=True)
    weight = -net.draw(3, 2, 3, 3).abs()  # negative on the whole, so that the counters fall
    convolution = Convolution(weight, net.draw(3) - 1, nets.window(3, pad=1))
    current = net.add(convolution, net.relu("x", name="relu"), name="conv")
    network = spiking(net.graph(net.maximum(current, window, name="pool")))
    assert network.graded == ["conv"]
    bias = convolution.evaluate([torch.zeros(1, 2, 6, 7)])
    for readout in Simulator(network).run(quarters(2, 2, 6, 7), range(1, 20)):
        total = convolution.evaluate([readout.counts["relu"]]) + (readout.t - 1) * bias
        assert torch.equal(readout.output, MaxPool(window).evaluate([total]))
    assert readout.output.min() < 0


@every_window
def test_pool_over_the_analog_input_is_the_plain_maximum(nets: ModuleType, window: Window) -> None:
    net = nets.Net(2, 6, 7, dyadic=True)
    pooled = net.maximum(net.conv("x", 3, name="conv"), window, name="pool")
    network = spiking(net.graph(net.relu(pooled, name="relu")))
    x = quarters(2, 2, 6, 7)
    analog = MaxPool(window).evaluate([network.graph.by_name["conv"].operator.evaluate([x])])
    alone = nets.Net(*analog.shape[1:])
    plain = spiking(alone.graph(alone.relu("x", name="relu")))
    runs = (Simulator(each).run(value, range(1, 10)) for each, value in ((network, x), (plain, analog)))
    for pooled_inside, pooled_before in zip(*runs, strict=True):
        assert torch.equal(pooled_inside.output, pooled_before.output)
        assert list(pooled_inside.counts) == ["relu"]
