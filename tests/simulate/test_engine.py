"""What must not change a result: blocks, batches, the steps that are reported; and what memory may be held."""

import gc
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from snnconvert.graph import Graph
from snnconvert.network import NormalForm, SpikingNetwork, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.simulate import Readout, Simulator

STRUCTURES = (
    ["residual", "maximum"],
    ["inception", "option A"],
    ["shuffle", "bottleneck"],
    ["preactivation", "average"],
)
every_structure = pytest.mark.parametrize("blocks", STRUCTURES, ids=" ".join)


def spiking(graph: Graph) -> SpikingNetwork:
    return spiking_network(NormalForm(graph, {}), IntegrateAndFire())


def quarters(*shape: int) -> Tensor:
    return torch.randint(-6, 7, shape, generator=torch.Generator().manual_seed(0)) / 4


def read(simulator: Simulator, x: Tensor, steps: Sequence[int]) -> list[Readout]:
    """Run and keep copies, as a readout changes when the next one is asked for."""
    return [
        Readout(readout.t, readout.output.clone(), {name: count.clone() for name, count in readout.counts.items()})
        for readout in simulator.run(x, steps)
    ]


def assert_equal(left: Readout, right: Readout) -> None:
    assert left.t == right.t
    assert torch.equal(left.output, right.output)
    assert left.counts.keys() == right.counts.keys()
    assert all(torch.equal(count, right.counts[name]) for name, count in left.counts.items())


@every_structure
def test_length_of_a_block_changes_nothing(nets: ModuleType, blocks: list[str]) -> None:
    network = spiking(nets.recipe(blocks, dyadic=True))
    x = quarters(2, *network.graph.input_shape)
    (expected,) = read(Simulator(network, block=1), x, [13])
    for block in (3, 4, 7, 13, 50):
        assert_equal(read(Simulator(network, block=block), x, [13])[0], expected)


@every_structure
def test_reporting_more_often_changes_nothing(nets: ModuleType, blocks: list[str]) -> None:
    network = spiking(nets.recipe(blocks, dyadic=True))
    x = quarters(2, *network.graph.input_shape)
    (expected,) = read(Simulator(network), x, [8])
    assert_equal(read(Simulator(network), x, [1, 2, 4, 8])[-1], expected)
    often = read(Simulator(network), x, range(1, 9))
    assert_equal(often[-1], expected)
    assert [readout.t for readout in often] == list(range(1, 9))


@every_structure
def test_split_into_batches_changes_nothing(nets: ModuleType, blocks: list[str]) -> None:
    network = spiking(nets.recipe(blocks, dyadic=True))
    x = quarters(5, *network.graph.input_shape)
    simulator = Simulator(network)
    (whole,) = read(simulator, x, [9])
    for split in ([5], [1, 4], [1] * 5):
        parts = [read(simulator, part, [9])[0] for part in x.split(split)]
        assert torch.equal(torch.cat([part.output for part in parts]), whole.output)
        for name, count in whole.counts.items():
            assert torch.equal(torch.cat([part.counts[name] for part in parts]), count)


def test_a_simulator_starts_afresh_at_each_run(nets: ModuleType) -> None:
    network = spiking(nets.recipe(["residual", "maximum"], dyadic=True))
    x = quarters(2, *network.graph.input_shape)
    simulator = Simulator(network)
    before = x.clone()
    (first,), (second,) = read(simulator, x, [6]), read(simulator, x, [6])
    assert_equal(first, second)
    assert torch.equal(x, before)


def test_runs_do_not_share_a_state(nets: ModuleType) -> None:
    network = spiking(nets.recipe(["residual", "maximum"], dyadic=True))
    x = quarters(4, *network.graph.input_shape)
    simulator = Simulator(network)
    expected = [read(simulator, part, [5])[0] for part in (x[:2], x[2:])]
    runs = [simulator.run(part, [2, 5]) for part in (x[:2], x[2:])]
    interleaved = [next(run) for run in runs]
    interleaved = [next(run) for run in runs]
    for got, wanted in zip(interleaved, expected, strict=True):
        assert_equal(got, wanted)


def test_counts_are_of_the_emitters_and_whole(nets: ModuleType) -> None:
    network = spiking(nets.recipe(["residual", "maximum", "clipped"]))
    x = torch.randn((3, *network.graph.input_shape), generator=torch.Generator().manual_seed(0))
    (readout,) = read(Simulator(network), x, [10])
    assert list(readout.counts) == [node.name for node in network.emitters]
    for name, count in readout.counts.items():
        assert count.shape == (3, *network.graph.shapes[name])
        assert torch.equal(count, count.round())
        assert 0 <= count.min() <= count.max() <= 10


def test_constant_values_are_computed_once(nets: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    network = spiking(nets.recipe(["maximum", "chain"]))
    first = type(network.graph.nodes[0].operator)
    evaluated: list[int] = []
    original = first.evaluate

    def evaluate(self: Any, inputs: Sequence[Tensor]) -> Tensor:
        evaluated.append(id(self))
        return original(self, inputs)

    monkeypatch.setattr(first, "evaluate", evaluate)
    simulator = Simulator(network, block=4, fused=False)
    read(simulator, torch.ones(1, *network.graph.input_shape), [40])
    convolutions = [id(node.operator) for node in simulator.graph.nodes if isinstance(node.operator, first)]
    assert [evaluated.count(each) for each in convolutions] == [1, 10]


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def live_elements() -> int:
    gc.collect()
    return sum(each.numel() for each in gc.get_objects() if type(each) is Tensor)


@pytest.mark.parametrize("fused", [True, False])
def test_memory_does_not_grow_with_the_steps(nets: ModuleType, fused: bool) -> None:
    network = spiking(nets.recipe(["residual", "inception", "maximum"]))
    x = torch.ones(2, *network.graph.input_shape)
    block = 4
    simulator = Simulator(network, block=block, fused=fused)
    largest, held = [], []
    for steps in (8, 64):
        with Largest() as mode:
            for _ in simulator.run(x, [steps]):
                held.append(live_elements())
        largest.append(mode.elements)
    assert held[0] == held[1]
    assert (
        largest[0]
        == largest[1]
        <= block * 2 * max(shape.numel() for shape in map(torch.Size, network.graph.shapes.values()))
    )
