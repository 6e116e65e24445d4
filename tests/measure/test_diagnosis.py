"""The diagnosis tells the cause that a network was built to have, and its parts add up."""

import math
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from snnconvert.graph import Graph, Node
from snnconvert.measure import Diagnosis
from snnconvert.measure.bound import bounded, reach, reaches, rectifies, saturation
from snnconvert.measure.curves import Nearness, add_bound
from snnconvert.measure.diagnosis import CAUSES, downstream
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import Neuron, make_neuron
from snnconvert.neurons.neuron import EXAMPLES
from snnconvert.operators.activation import ReLU
from snnconvert.operators.linear import Linear
from snnconvert.simulate import Simulator


def layer(weights: list[list[float]], name: str, value: str) -> list[Node]:
    matrix = torch.tensor(weights)
    return [Node(f"{name}w", Linear(matrix, torch.zeros(len(matrix))), (value,)), Node(name, ReLU(), (f"{name}w",))]


def net(*layers: list[list[float]]) -> Graph:
    """Rectified layers of these weights, and a readout that is the sum."""
    nodes: list[Node] = []
    value = "x"
    for index, weights in enumerate(layers):
        nodes += layer(weights, f"r{index}", value)
        value = f"r{index}"
    nodes.append(Node("y", Linear(torch.ones(1, len(layers[-1])), torch.zeros(1)), (value,)))
    return Graph("net", "x", (len(layers[0][0]),), tuple(nodes), "y")


def spiking(graph: Graph, schedule: Schedule, neuron: str = "if", **parameters: Any) -> SpikingNetwork:
    return spiking_network(NormalForm(graph, {}), make_neuron(neuron, parameters), schedule=schedule)


def diagnosed(network: SpikingNetwork, x: Tensor, batch: int = 16, **settings: Any) -> dict[str, Any]:
    diagnosis = Diagnosis(network, network.graph, dict.fromkeys(network.neurons, 0), **settings)
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        (readout,) = Simulator(network).run(part, [network.schedule.steps])
        diagnosis.add(part, readout.estimate, readout.rates)
    return diagnosis.document()


def largest(document: dict[str, Any]) -> str:
    return max(CAUSES, key=lambda cause: document["output_error"][cause])


def test_activations_over_the_threshold_are_clipping() -> None:
    document = diagnosed(spiking(net([[3.0, 0.0], [0.0, 0.5]]), Schedule(64)), torch.rand(16, 2) / 2 + 0.5)
    assert largest(document) == "clipping"
    (row,) = document["layers"]
    assert row["saturated"] == 0.5
    assert row["dead"] == 0
    assert row["clipping"] > 0.95


def test_few_steps_are_quantisation() -> None:
    document = diagnosed(spiking(net([[0.7, 0.1], [0.2, 0.6]]), Schedule(2)), torch.rand(64, 2))
    assert largest(document) == "quantisation"
    assert document["output_error"]["unevenness"] == pytest.approx(0, abs=1e-6)
    assert document["output_error"]["clipping"] == 0


def uneven() -> tuple[Graph, Tensor]:
    """Of the second layer, the first neuron gets a spike in step 1 and two are taken away in step 3: 0 in all."""
    return net([[0.5, 0.0], [0.0, 0.25]], [[1.0, -2.0], [1.0, 0.0]]), torch.ones(4, 2)


def test_late_negative_spikes_are_unevenness() -> None:
    graph, x = uneven()
    document = diagnosed(spiking(graph, Schedule(8), initial_potential=0.0), x)
    errors, (first, second) = document["output_error"], document["layers"]
    assert errors == {"clipping": 0, "quantisation": 0, "unevenness": 0.25, "total": 0.25}  # one spike more, of four
    assert first["fired_wrongly"] == first["silent_wrongly"] == first["unevenness"] == first["output_error"] == 0
    assert (second["fired_wrongly"], second["unevenness"], second["output_error"]) == (0.5, 1, 0.25)
    signed = diagnosed(spiking(graph, Schedule(8), "if-signed", initial_potential=0.0), x)
    assert signed["output_error"]["total"] == 0


@pytest.mark.parametrize(
    "schedule", [Schedule(4), Schedule(4, onset_delay=1), Schedule(6, 0, 1.0), Schedule(4, 0, 0, 3)]
)
@pytest.mark.parametrize("neuron", ["if", "if-multi", "if-signed-multi"])
def test_parts_add_up(nets: ModuleType, schedule: Schedule, neuron: str) -> None:
    make = nets.Net(3, 6, 6, seed=1)
    graph = make.graph(make.linear(make.flatten(make.maximum(nets.chain(make, make.relu(make.conv("x", 4))))), 3))
    x = torch.rand(20, 3, 6, 6)
    document = diagnosed(spiking(graph, schedule, neuron), x, 8)
    errors = document["output_error"]
    assert sum(errors[cause] for cause in CAUSES) == pytest.approx(errors["total"])
    assert (document["samples"], document["t"]) == (20, schedule.steps)
    shares = [row[cause] for row in document["layers"] for cause in CAUSES]
    assert min(shares) >= 0
    positive = {cause: max(errors[cause], 0) for cause in CAUSES}
    there = {cause: any(row[cause] for row in document["layers"]) for cause in CAUSES}
    told = sum(part for cause, part in positive.items() if there[cause])
    assert sum(shares) == pytest.approx(told / sum(positive.values()))
    for row in document["layers"]:
        assert all(math.isfinite(value) for name, value in row.items() if name != "name")
    assert document == diagnosed(spiking(graph, schedule, neuron), x, 8)


def test_charge_that_is_there_at_once_is_never_uneven(nets: ModuleType) -> None:
    """The first layer gets a constant current: what it sends is what is due, to the spike."""
    make = nets.Net(2, 5, 5, seed=3)
    graph = make.graph(make.relu(make.conv("x", 6)))
    for neuron in ("if", "if-multi", "if-signed", "if-signed-multi", "multi-threshold"):
        (row,) = diagnosed(spiking(graph, Schedule(7), neuron), torch.rand(16, 2, 5, 5))["layers"]
        assert row["unevenness"] == pytest.approx(0, abs=1e-6), neuron  # smallest spikes are no binary fractions of T
        assert row["fired_wrongly"] == row["silent_wrongly"] == 0, neuron


def test_dead_and_unused_channels() -> None:
    graph = net([[-1.0, 0.0], [0.0, 0.001], [0.5, 0.5], [1.0, 0.0]])
    (row,) = diagnosed(spiking(graph, Schedule(4)), torch.rand(8, 2) + 0.5)["layers"]
    assert row["dead"] == 0.5
    assert row["unused"] == 0.25


def test_outputs_that_are_zero_have_no_error() -> None:
    document = diagnosed(spiking(net([[-1.0]]), Schedule(4)), torch.ones(3, 1))
    assert set(document["output_error"].values()) == {None}
    assert document["layers"][0]["unused"] == 1
    assert document["layers"][0]["clipping"] is None


def test_of_many_layers_the_worst_are_ablated() -> None:
    graph, x = uneven()
    rows = diagnosed(spiking(graph, Schedule(8)), x, most=1)["layers"]
    assert [row["output_error"] is not None for row in rows].count(True) == 1
    assert all(row["dead"] is not None for row in rows)


def test_downstream_is_the_whole_network(nets: ModuleType) -> None:
    make = nets.Net(3, 6, 6)
    graph = make.graph(nets.residual(make, nets.residual(make, "x")))
    x = torch.rand(4, 3, 6, 6)
    values: dict[str, Tensor] = {"x": x}
    output = graph.run(x, lambda node, value: values.__setitem__(node.name, value))
    for node in graph.activations:
        assert torch.equal(downstream(graph, values, node.name, values[node.name]), output)
        assert not torch.equal(downstream(graph, values, node.name, values[node.name] + 1), output)


def test_bound_is_what_neurons_send_of_a_constant_current() -> None:
    """For every neuron that rectifies: the rate after T steps of a constant current is the rounded activation."""
    currents = torch.linspace(-0.5, 0.97, 50)[None]
    for name in ("if", "if-multi", "if-signed", "if-signed-multi", "multi-threshold"):
        for neuron in EXAMPLES[name]():
            if not rectifies(neuron) or saturation(neuron) < 1:
                continue
            graph = Graph("net", "x", (50,), (Node("r", ReLU(), ("x",)),), "r")
            network = spiking_network(NormalForm(graph, {}), neuron, schedule=Schedule(5))
            (readout,) = Simulator(network).run(currents, [5])
            torch.testing.assert_close(readout.rates["r"], reach(network, "r").rounded(currents.clamp(min=0)))


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        (make_neuron("if", {}), True),
        (make_neuron("if", {"refractory": 2}), True),
        (make_neuron("if", {"reset": "zero"}), False),
        (make_neuron("if", {"leak": 0.1}), False),
        (make_neuron("lif", {}), False),
        (make_neuron("differential", {}), True),
        (make_neuron("if-multi", {"k": None}), True),
    ],
)
def test_who_rectifies(neuron: Neuron, expected: bool) -> None:
    assert rectifies(neuron) == expected


def test_time_that_a_layer_waits_is_no_time_to_fire() -> None:
    network = spiking(net([[1.0]], [[1.0]], [[1.0]]), Schedule(4, warm_up=2.0))
    assert [limit.firing for limit in reaches(network).values()] == [4, 2, 0]
    assert [limit.firing for limit in reaches(network, 2).values()] == [2, 0, 0]
    assert reach(network, "r1").largest == 0.5


def test_many_steps_bound_nothing(nets: ModuleType) -> None:
    make = nets.Net(2, 4, 4)
    graph = make.graph(make.linear(make.flatten(make.relu(make.conv("x", 3))), 4))
    x = torch.rand(8, 2, 4, 4) / 8
    network = spiking(graph, Schedule(4096), "if-multi", k=None)
    torch.testing.assert_close(bounded(graph, x, reaches(network)), graph.run(x), rtol=0, atol=0.01)
    curve = Nearness([1, 4096], classes=True)
    add_bound(curve, network, graph, x, graph.run(x), [1, 4096])
    assert curve.curve[1] == 1.0


def test_nearness_of_dense_outputs() -> None:
    curve = Nearness([1, 2, 4], classes=False)
    curve.add(1, torch.tensor([[3.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    curve.add(2, torch.tensor([[30.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    assert curve.curve == [pytest.approx(0.2), 0.0, None]
