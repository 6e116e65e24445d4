"""The fused step against the neuron's own, bit for bit, on every layout of memory."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numba
import pytest
import torch
from torch import Tensor

from snnconvert.graph import Graph
from snnconvert.network import NormalForm, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.simulate import Simulator
from snnconvert.simulate.fused import CHUNK
from snnconvert.simulate.layers import NeuronLayer


def images(nets: Any, channels: int, height: int, width: int) -> Graph:
    """Neurons under a constant current, then under one that varies."""
    net = nets.Net(2, height, width)
    first = net.relu(net.conv("x", channels))
    return net.graph(net.conv(net.relu(net.conv(first, channels)), 2))


def sequence(nets: Any) -> Graph:
    net = nets.Net(3, 11)
    first = net.relu(net.conv("x", 4, nets.window((3,), 1, 1)))
    return net.graph(net.relu(net.conv(first, 5, nets.window((3,), 2))))


def vectors(nets: Any) -> Graph:
    net = nets.Net(7)
    return net.graph(net.linear(net.relu(net.linear(net.relu(net.linear("x", 9)), 6)), 3))


def input_itself(nets: Any) -> Graph:
    net = nets.Net(3, 5, 4)
    return net.graph(net.relu("x"))


def transposed_rows(nets: Any) -> Graph:
    """Values whose memory a transpose left in another order, constant and varying."""
    net = nets.Net(4, 6)
    first = net.relu(net.transpose("x", 1, 0))
    return net.graph(net.relu(net.transpose(net.linear(first, 5), 1, 0)))


def transposed_images(nets: Any) -> Graph:
    net = nets.Net(4, 6, 5)
    first = net.relu(net.transpose("x", 2, 0, 1))
    return net.graph(net.relu(net.transpose(net.conv(first, 3), 1, 2, 0)))


def four_axes(nets: Any) -> Graph:
    net = nets.Net(6, 3, 4)
    first = net.relu(net.transpose(net.reshape("x", 2, 3, 3, 4), 1, 0, 3, 2))
    return net.graph(net.relu(net.transpose(first, 3, 1, 0, 2)))


def sliced(nets: Any) -> Graph:
    net = nets.Net(4, 8, 8)
    return net.graph(net.relu(net.subsample(net.relu(net.subsample("x", 0)), 1)))


LAYOUTS: dict[str, Callable[[Any], Graph]] = {
    "images": lambda nets: images(nets, 3, 6, 5),
    "one channel": lambda nets: images(nets, 1, 6, 5),
    "one pixel": lambda nets: images(nets, 5, 1, 1),
    "one column": lambda nets: images(nets, 3, 6, 1),
    "one neuron": lambda nets: images(nets, 1, 1, 1),
    "several chunks": lambda nets: images(nets, 3, 40, 41),
    "sequence": sequence,
    "vectors": vectors,
    "input itself": input_itself,
    "transposed rows": transposed_rows,
    "transposed images": transposed_images,
    "four axes": four_axes,
    "sliced": sliced,
}


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("neuron", [IntegrateAndFire(), IntegrateAndFire("zero", 0.25)], ids=["subtract", "zero"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fused_steps_equal_plain_ones(nets: ModuleType, layout: str, neuron: IntegrateAndFire, samples: int) -> None:
    graph = LAYOUTS[layout](nets).mapped(lambda tensor: (64 * tensor).round() / 64)  # sums of these are exact
    network = spiking_network(NormalForm(graph, {}), neuron)
    x = torch.randint(-16, 17, (samples, *graph.input_shape), generator=torch.Generator().manual_seed(2)) / 8
    fused, plain = (Simulator(network, fused=fused).run(x, [1, 2, 6, 19]) for fused in (True, False))
    for left, right in zip(fused, plain, strict=True):
        assert torch.equal(left.output, right.output)
        for name, count in left.counts.items():
            assert torch.equal(count, right.counts[name])
    assert any(count.any() for count in left.counts.values())


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_potentials_are_equal_too_on_all_threads(reset: Any) -> None:
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    neuron = IntegrateAndFire(reset, 0.5)
    make = torch.Generator().manual_seed(3)
    like = torch.zeros(2, 3, 50, 50)
    assert like.numel() > 3 * CHUNK
    layers = [NeuronLayer(neuron, like, fused) for fused in (True, False)]
    for steps, varying in ((4, True), (1, True), (3, False), (1, False), (7, True)):
        block = torch.randn(((steps if varying else 1) * 2, 3, 50, 50), generator=make)
        spikes = [layer.advance(block, steps, varying) for layer in layers]
        assert spikes[0].dtype == torch.bool
        assert torch.equal(spikes[0].float(), spikes[1])
        assert torch.equal(layers[0].state[0], layers[1].state[0])
        assert torch.equal(layers[0].count, layers[1].count)
    assert [layer.fused for layer in layers] == [True, False]


def test_double_precision_is_not_fused() -> None:
    like: Tensor = torch.zeros(2, 3, dtype=torch.float64)
    layer = NeuronLayer(IntegrateAndFire(), like, fused=True)
    assert not layer.fused
    assert layer.advance(like + 0.75, 2, varying=False).tolist() == [[1.0] * 3] * 2 + [[1.0] * 3] * 2
