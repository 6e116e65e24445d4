"""Costs against what NeuroBench would count: its formulas, on the spikes of each step."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from snnconvert.costing import read_energy_model
from snnconvert.errors import UsageError
from snnconvert.graph import Graph
from snnconvert.measure.cost import measure_cost
from snnconvert.measure.energy import EnergyModel
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import NEURONS, make_neuron
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.simulate import Simulator

T = 7


def network(graph: Graph, neuron: str = "if", schedule: Schedule = Schedule(T)) -> SpikingNetwork:  # noqa: B008
    return spiking_network(NormalForm(graph, {}), make_neuron(neuron, {}), "exact", schedule)


def thinned(graph: Graph) -> Graph:
    """A third of the weights are zero."""
    make = torch.Generator().manual_seed(1)

    def thin(tensor: Tensor) -> Tensor:
        return tensor * (torch.rand(tensor.shape, generator=make) > 1 / 3) if tensor.ndim > 1 else tensor

    return graph.mapped(thin)


def sequential(nets: Any) -> Graph:
    """Convolutions with stride, padding and groups, and a fully connected layer, one behind the other."""
    net = nets.Net(2, 9, 8)
    a = net.relu(net.conv("x", 4))
    b = net.relu(net.conv(a, 6, nets.window(3, 2, 1)))
    return thinned(net.graph(net.linear(net.relu(net.linear(net.flatten(b), 5)), 3)))


def spikes_of_steps(found: SpikingNetwork, x: Tensor) -> list[dict[str, Tensor]]:
    """Return the spikes of every step, from the counts after each."""
    before: dict[str, Tensor] = {}
    steps = []
    for readout in Simulator(found, block=1).run(x, range(1, T + 1)):
        counts = {name: readout.counts[name].clone() for name in found.neurons}
        steps.append({name: counts[name] - before.get(name, 0) for name in counts})
        before = counts
    return steps


def operations(operator: Convolution | Linear, x: Tensor) -> float:
    """NeuroBench's ``single_layer_MACs``: what is not zero becomes 1, in inputs and weights."""
    ones, weight = (x != 0).double(), (operator.weight != 0).double()
    if isinstance(operator, Linear):
        return float(F.linear(ones, weight).sum())
    window = operator.window
    return float(F.conv2d(ones, weight, None, window.stride, window.before, window.dilation, operator.groups).sum())


@pytest.mark.parametrize(("neuron", "kind"), [("if", "ACs"), ("if-signed", "ACs"), ("if-multi", "MACs")])
def test_operations_are_those_of_neurobench(nets: ModuleType, neuron: str, kind: str) -> None:
    found = network(sequential(nets), neuron)
    x = 3 * torch.randn((5, *found.graph.input_shape), generator=torch.Generator().manual_seed(0)).clamp(min=0)
    cost = measure_cost(found, x.split(2))
    done = cost["synaptic_operations"]
    weighted = [node for node in found.graph.nodes if isinstance(node.operator, Convolution | Linear)]
    first, *others = weighted
    of_input = operations(first.operator, x) / 5  # type: ignore[arg-type]
    added, values_sent = 0.0, set()
    for spikes in spikes_of_steps(found, x):
        values = dict(spikes)
        values_sent |= {number for sent in spikes.values() for number in sent.unique().tolist()}
        for node in found.graph.nodes:
            if node.name not in values and all(value in values for value in node.inputs):
                values[node.name] = node.operator.evaluate([values[value] for value in node.inputs])
        added += sum(operations(node.operator, values[node.inputs[0]]) for node in others)  # type: ignore[arg-type]
    assert done[f"Effective_{kind}"] - of_input * (kind == "MACs") == pytest.approx(added / 5, rel=1e-12)
    assert done["Effective_MACs"] + done["Effective_ACs"] == pytest.approx(of_input + added / 5, rel=1e-12)
    assert added > 0
    assert (values_sent <= {-1, 0, 1}) == (kind == "ACs")  # what NeuroBench takes for spikes
    every = [torch.ones((1, *found.graph.input_shapes(node)[0])) for node in weighted]
    filled = [type(node.operator).structure(node.operator) for node in weighted]
    dense = [operations(operator, x) for operator, x in zip(filled, every, strict=True)]  # type: ignore[arg-type]
    assert done["Dense"] == dense[0] + T * sum(dense[1:])
    zero = sum(int((node.operator.weight == 0).sum()) for node in weighted)  # type: ignore[attr-defined]
    assert cost["connection_sparsity"] == zero / sum(node.operator.weight.numel() for node in weighted)  # type: ignore[attr-defined]
    assert cost["connection_sparsity"] > 0.2


def test_sparsity_and_spikes_are_those_of_the_engine(nets: ModuleType) -> None:
    found = network(sequential(nets))
    x = torch.rand((4, *found.graph.input_shape), generator=torch.Generator().manual_seed(2))
    cost = measure_cost(found, [x])
    (readout,) = Simulator(found).run(x, [T])
    spikes = {name: float(readout.counts[name].sum()) / 4 for name in found.neurons}
    assert {each["name"]: each["spikes"] for each in cost["layers"]} == spikes
    places = T * sum(readout.counts[name][0].numel() for name in spikes)
    assert cost["activation_sparsity"] == pytest.approx(1 - sum(spikes.values()) / places)


def test_steps_before_the_readout_count(nets: ModuleType) -> None:
    found = network(sequential(nets), schedule=Schedule(T, readout_from=5))
    x = 9 * torch.rand((2, *found.graph.input_shape), generator=torch.Generator().manual_seed(3))
    cost = measure_cost(found, [x])
    plain = measure_cost(network(sequential(nets), schedule=Schedule(T + 5)), [x])
    assert {**cost, "steps": T + 5} == plain


def test_membranes_that_stay_what_they_are_are_not_updated(nets: Any) -> None:
    net = nets.Net(3)
    found = network(net.graph(net.relu("x")))
    x = torch.tensor([[0.25, 0.0, 1.0]])  # the second never changes, and neither does the third: it gets what it sends
    cost = measure_cost(found, [x, x])
    assert cost["membrane_updates"] == 3 + (T - 1)  # the first step counts for all


def test_potentials_are_told_in_the_unit_of_their_channel_before_a_reset(nets: Any) -> None:
    net = nets.Net(2)
    weights = torch.tensor([[0.375, 0.0], [0.0, -1.0]])  # 96 units of 1/256, and 64 of 1/64
    graph = net.graph(net.relu(net.add(Linear(weights, None), "x")))
    for x, largest in (([1.0, 0.0], 256 * (0.5 + 2 * 0.375)), ([1.0, 1.0], 64 * (T - 0.5))):
        cost = measure_cost(network(graph), [torch.tensor([x])])
        assert cost["layers"][0]["largest_potential_in_units"] == largest
    other = graph.mapped(lambda tensor: tensor / 3)
    assert measure_cost(network(other), [torch.ones(1, 2)])["layers"][0]["largest_potential_in_units"] is None


@pytest.mark.parametrize("name", sorted(NEURONS))
@pytest.mark.parametrize("schedule", [Schedule(T), Schedule(T, onset_delay=1), Schedule(T, warm_up=1.0)], ids=str)
def test_every_neuron_and_schedule_has_a_cost(nets: ModuleType, name: str, schedule: Schedule) -> None:
    waits = schedule.onset_delay or schedule.warm_up
    if waits and not make_neuron(name, {}).keeps_charge:
        pytest.skip("it may not wait")
    found = network(nets.recipe(["chain", "maximum"]), name, schedule)
    cost = measure_cost(found, [torch.rand(2, *found.graph.input_shape)])
    assert 0 <= cost["activation_sparsity"] <= 1
    assert cost["membrane_updates"] > 0
    done = cost["synaptic_operations"]
    assert 0 <= done["Effective_ACs"] <= done["Dense"]
    assert done["Effective_ACs"] == 0 or make_neuron(name, {}).spikes != "graded"
    assert cost["footprint"] > 0


def test_energy_is_operations_times_prices() -> None:
    assert EnergyModel("m", 0.5, 2.0, "s").joules(10, 3) == pytest.approx(11e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nsource: b\nac_pj: 1\n", "mac_pj: Field required|mac_pj"),
        ("name: a\nsource: b\nac_pj: -1\nmac_pj: 1\n", "m.yaml:3:1: ac_pj"),
        ("name: a\nsource: b\nac_pj: .inf\nmac_pj: 1\n", "m.yaml:3:1: ac_pj"),
        ("name: a\nsource: b\nac_pj: 1\nmac_pj: 1\nmore: 1\n", "m.yaml:5:1: more"),
        ("- 1\n", "expected a mapping"),
    ],
)
def test_energy_model_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(UsageError, match=f"E301.*{words}"):
        read_energy_model(tmp_path / "m.yaml")
