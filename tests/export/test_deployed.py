"""A step model is read back into the network that was written; what is not what it says is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch

from snnconvert.errors import ModelError, SnnError
from snnconvert.export import step_model
from snnconvert.export.deployed import read_step_model
from snnconvert.fold.max_pool import Pooling, pools_averaged
from snnconvert.graph import Graph
from snnconvert.measure import packed_numbers
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, spiking_network
from snnconvert.neurons import Neuron
from snnconvert.neurons.neuron import EXAMPLES
from snnconvert.simulate import Simulator

FILE = Path("snn.onnx")
NEURONS = [neuron for name in EXAMPLES for neuron in EXAMPLES[name]()]
BLOCKS = ("residual", "projection", "option A", "inception", "maximum", "bottleneck", "preactivation", "shuffle")


def about(network: SpikingNetwork) -> dict[str, object]:
    return {"input": list(network.graph.input_shape), "schedule": network.schedule_document, "scales": {}}


def back(network: SpikingNetwork) -> tuple[bytes, SpikingNetwork]:
    content = step_model(network, about(network))
    return content, read_step_model(FILE, content, "0" * 64).network


def spiking(graph: Graph, neuron: Neuron, pooling: Pooling = "exact", schedule: Schedule | None = None):
    return spiking_network(NormalForm(graph, {}), neuron, pooling, schedule or Schedule(4))


def require_same(one: SpikingNetwork, other: SpikingNetwork, steps: int = 4) -> None:
    x = torch.randint(-6, 7, (3, *one.graph.input_shape), generator=torch.Generator().manual_seed(0)) / 4
    (expected,), (got,) = (list(Simulator(each).run(x, [steps])) for each in (one, other))
    assert expected.counts.keys() == got.counts.keys()
    assert all(torch.equal(expected.counts[name], got.counts[name]) for name in expected.counts)
    assert torch.equal(expected.output, got.output)
    assert any(bool(count.any()) for count in expected.counts.values())


@pytest.mark.parametrize("pooling", ["exact", "gate", "average"])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_network_comes_back_as_it_was(nets: ModuleType, block: str, pooling: Pooling) -> None:
    graph = nets.recipe([block], dyadic=True)
    network = spiking(pools_averaged(graph) if pooling == "average" else graph, NEURONS_BY_NAME["if"], pooling)
    content, read = back(network)
    assert step_model(read, about(network)) == content or block == "preactivation"  # there a shift joins its weights
    require_same(network, read)


NEURONS_BY_NAME = {name: EXAMPLES[name]()[0] for name in EXAMPLES}


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_every_neuron_comes_back(nets: ModuleType, neuron: Neuron) -> None:
    network = spiking(nets.recipe(["chain", "maximum"], dyadic=True), neuron)
    content, read = back(network)
    assert read.neurons == network.neurons
    assert step_model(read, about(network)) == content


@pytest.mark.parametrize(
    "schedule", [Schedule(4, onset_delay=2), Schedule(4, warm_up=1.5), Schedule(4, readout_from=2)]
)
def test_a_schedule_comes_back(nets: ModuleType, schedule: Schedule) -> None:
    network = spiking(nets.recipe(["chain", "residual"], dyadic=True), NEURONS_BY_NAME["if"], "exact", schedule)
    content, read = back(network)
    assert read.schedule == schedule
    assert step_model(read, about(network)) == content


def test_biases_and_potentials_come_back(nets: ModuleType) -> None:
    network = spiking(nets.recipe(["chain", "chain"], dyadic=True), NEURONS_BY_NAME["if"])
    first, second = (node.name for node in network.graph.activations)
    shape = network.graph.shapes[first]
    corrected = SpikingNetwork(
        network.graph,
        network.neurons,
        {},
        "exact",
        network.schedule,
        {first: torch.arange(8).reshape(2, 4, 1, 1) / 64},
        {second: torch.arange(shape[0] * shape[1] * shape[2]).reshape(shape) / 1024},
    )
    content, read = back(corrected)
    assert torch.equal(read.biases[first], corrected.biases[first])
    assert torch.equal(read.potentials[second], corrected.potentials[second])
    assert step_model(read, about(network)) == content


def edited(content: bytes, change: Callable[[onnx.ModelProto, dict], object]) -> bytes:
    model = onnx.load_model_from_string(content)
    (entry,) = model.metadata_props
    document = json.loads(entry.value)
    change(model, document)
    entry.value = json.dumps(document)
    return bytes(model.SerializeToString())


def layer(document: dict) -> dict:
    return next(iter(document["network"]["layers"].values()))


def other_weights(model: onnx.ModelProto, document: dict) -> None:
    tensor = next(each for each in model.graph.initializer if each.name.endswith(".weight"))
    tensor.dims[0] = 2**40


def state(document: dict) -> dict:
    return document["states"][layer(document)["state"]]


def emitter(document: dict) -> dict:
    return next(iter(document["emitters"].values()))


def nested(document: dict) -> None:
    document["preprocess"] = deep = []
    for _ in range(300):
        deep.append(deep := [])


def no_number(document: dict) -> None:
    shape = state(document)["shape"]
    state(document)["initial"] = packed_numbers(np.full(shape, np.nan, np.float32))


CHANGES: dict[str, tuple[Callable[[onnx.ModelProto, dict], object], str]] = {
    "no network": (lambda _, told: told.pop("network"), "older|do not say"),
    "another neuron": (lambda _, told: layer(told).update(neuron="lif", parameters={}), "are no 'lif'"),
    "another reset": (lambda _, told: layer(told)["parameters"].update(reset="zero"), "are no 'if'"),
    "no such neuron": (lambda _, told: layer(told).update(neuron="os.system"), "unknown neuron"),
    "another function": (lambda model, _: model.functions[0].node.pop(), "are no 'if'"),
    "another shape": (lambda _, told: told.update(input=[1, 2, 3]), "samples of shape"),
    "another latency": (lambda _, told: told["schedule"].update(latency=9), "a latency of 9"),
    "an unknown pool": (lambda _, told: told["network"].update(pooling="median"), "pools 'median'"),
    "a layer too few": (lambda _, told: told["network"]["layers"].popitem(), "E114|not what|never|reads"),
    "layers in a list": (lambda _, told: told["network"].update(layers=[1]), "not what its metadata say"),
    "another potential": (
        lambda _, told: told["states"][layer(told)["state"]].update(initial=7.0),
        "an initial potential of 7",
    ),
    "a potential of any size": (
        lambda _, told: told["states"][layer(told)["state"]].update(initial={"shape": [2**40], "data": ""}),
        "potentials of shape",
    ),
    "a potential that is no number": (lambda _, told: no_number(told), "numbers that are not finite"),
    "a number without end": (lambda _, told: told.update(macs=float("inf")), "the number Infinity"),
    "classes in words": (lambda _, told: told.update(classes="ten"), "ten classes"),
    "a model without a name": (lambda _, told: told.update(model={"name": 7}), "no names of a model"),
    "preprocessing without end": (lambda _, told: nested(told), "not what its metadata say"),
    "no steps": (lambda _, told: told["schedule"].update(T=0), "a schedule with T = 0"),
    "half a step": (lambda _, told: told["schedule"].update(T=2.5), r"a schedule with T = 2\.5"),
    "steps without end": (lambda _, told: told["schedule"].update(T=2**40), "a schedule with T = 1099511627776"),
    "a readout before the start": (lambda _, told: told["schedule"].update(readout_from=-4, latency=-4), "= -4"),
    "any lead": (lambda _, told: told["schedule"].update(stop_lead=-1.0), "a stop_lead of -1"),
    "a negative scale": (
        lambda _, told: told.update(scales={next(iter(told["network"]["layers"])): {"values": [-1], "shape": [1]}}),
        "a scale that is not over 0",
    ),
    "a state too many": (lambda _, told: told["states"].update(more=state(told)), "its states are others"),
    "a state of any size": (lambda _, told: state(told).update(shape=[2**40]), "a state '.*' of shape"),
    "a state that becomes another": (lambda _, told: state(told).update(next="output"), "a state '.*' of shape"),
    "a readout that is not empty": (lambda _, told: told["states"]["state.readout"].update(initial=5.0), "begins at 5"),
    "a layer in silence": (lambda _, told: told["emitters"].popitem(), "that send spikes are others"),
    "spikes of another layer": (lambda _, told: emitter(told).update(node="x"), "that send spikes are others"),
    "spikes that are no output": (
        lambda _, told: told["emitters"].update(x=emitter(told)),
        "not what its metadata say",
    ),
    "weights of any size": (other_weights, "expected 79164837199872 of data, got 288"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_the_file_does_not_hold_is_refused(nets: ModuleType, what: str) -> None:
    change, expected = CHANGES[what]
    network = spiking(nets.recipe(["chain", "chain"], dyadic=True), NEURONS_BY_NAME["if"])
    content = edited(step_model(network, about(network)), change)
    with pytest.raises(SnnError, match=expected) as refusal:
        read_step_model(FILE, content, "0" * 64)
    assert refusal.value.exit_status == 3


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(ModelError, match="not an ONNX model"):
        read_step_model(FILE, np.random.default_rng(0).bytes(200), "0" * 64)


def test_no_truncated_file_is_read(nets: ModuleType) -> None:
    network = spiking(nets.recipe(["chain"], dyadic=True), NEURONS_BY_NAME["if"])
    content = step_model(network, about(network))
    for length in range(1, len(content) - 1, 211):
        with pytest.raises(ModelError):
            read_step_model(FILE, content[:length], "0" * 64)
