"""The exported step: a sound ONNX model whose interface is the documented one, and which counts as the engine does."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from snnconvert.bundle import metadata
from snnconvert.calibrate import collect
from snnconvert.config import build_job
from snnconvert.export import step_model
from snnconvert.fold import PASSES
from snnconvert.fold.max_pool import MovePoolBeforeActivation, Pooling, pools_averaged
from snnconvert.graph import Graph, apply_passes
from snnconvert.load import load_model
from snnconvert.measure import unpacked
from snnconvert.network import NormalForm, SpikingNetwork, normal_form, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.pipeline import convert
from snnconvert.progress import Silent
from snnconvert.simulate import Simulator
from tests.percentile import percentile_scales

MODELS = Path(__file__).parents[2] / "models"
CPU = torch.device("cpu")
SUBTRACT, ZERO = IntegrateAndFire(), IntegrateAndFire("zero", 0.25)
HOSTILE = ("input", "output", "step", "readout", "one", "state.readout", "next.readout", "spikes.a", "a", "input.2")


BLOCKS = (
    "chain",
    "clipped",
    "residual",
    "projection",
    "option A",
    "inception",
    "average",
    "maximum",
    "bottleneck",
    "preactivation",
    "joined maximum",
    "shared current",
    "shuffle",
    "per pixel",
    "read twice",
    "neurons on spikes",
)


def plain(graph: Graph, neuron: IntegrateAndFire = SUBTRACT, pooling: Pooling = "exact") -> SpikingNetwork:
    """Take a network as it is for one in normal form: its dyadic weights keep every sum exact."""
    if pooling == "average":
        graph = pools_averaged(graph)
    elif pooling == "before":
        graph = MovePoolBeforeActivation().run(graph)
    return spiking_network(NormalForm(graph, {}), neuron, pooling)


def quarters(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-6, 7, shape, generator=torch.Generator().manual_seed(seed)) / 4


class Exported:
    """A step model in ONNX Runtime, stepped through its interface alone."""

    def __init__(self, content: bytes) -> None:
        self.model = onnx.load_model_from_string(content)
        onnx.checker.check_model(self.model, full_check=True)
        self.about = json.loads({entry.key: entry.value for entry in self.model.metadata_props}["snnconvert"])
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(self, x: np.ndarray, steps: int) -> list[dict[str, np.ndarray]]:
        states = {
            name: np.full((len(x), *each["shape"]), each["initial"], np.float32)
            for name, each in self.about["states"].items()
        }
        names = [output.name for output in self.session.get_outputs()]
        inputs = {value.name for value in self.session.get_inputs()}
        found = []
        for step in range(steps):
            feed = {"input": x, "step": np.asarray(step, np.int64), **states}
            values = self.session.run(None, {name: value for name, value in feed.items() if name in inputs})
            found.append(dict(zip(names, values, strict=True)))
            states = {name: found[-1][each["next"]] for name, each in self.about["states"].items()}
        return found


def assert_same_steps(network: SpikingNetwork, steps: int = 9, seed: int = 0, tolerance: float = 0) -> Exported:
    """Compare output (to within a tolerance) and spike counts of every emitter at every step with the engine's."""
    exported = Exported(step_model(network, {}))
    x = quarters(3, *network.graph.input_shape, seed=seed)
    found = exported.run(x.numpy(), steps)
    totals: dict[str, np.ndarray] = {}
    readouts = Simulator(network).run(x, range(1, steps + 1))
    for readout, step in zip(readouts, found, strict=True):
        mean = readout.output.numpy() / np.float32(readout.t)
        np.testing.assert_allclose(step["output"], mean, rtol=0, atol=tolerance)
        emitters = {each["node"]: name for name, each in exported.about["emitters"].items()}
        assert set(emitters) == set(readout.counts)
        for node, name in emitters.items():
            totals[node] = totals.get(node, 0) + step[name]
            np.testing.assert_array_equal(totals[node], readout.counts[node].numpy(), node)
    return exported


@pytest.fixture(scope="module")
def digits() -> dict[str, tuple[SpikingNetwork, bytes]]:
    found = {}
    for name in ("digits_mlp", "digits_cnn", "digits_resnet"):
        document = {
            "model": str(MODELS / f"{name}.onnx"),
            "calib": {"path": str(MODELS / "digits_calib.npz"), "samples": 64},
            "eval": {"path": str(MODELS / "digits_test.npz"), "samples": 8},
            "preprocess": "scale=1/16",
        }
        conversion = convert(build_job(document, "test"), CPU, Silent())
        found[name] = conversion.network, step_model(conversion.network, metadata(conversion))
    return found


# the interface


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "digits_resnet"])
def test_model_is_sound_and_has_the_documented_interface(
    digits: dict[str, tuple[SpikingNetwork, bytes]], name: str
) -> None:
    network, content = digits[name]
    model = Exported(content).model
    assert model.ir_version == 8
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18, "snnconvert": 1}
    neurons = list(network.neurons)
    emitters = [node.name for node in network.emitters]
    assert [value.name for value in model.graph.input] == [
        "input",
        "step",
        *(f"state.{node}" for node in emitters),
        "state.readout",
    ]
    outputs = [value.name for value in model.graph.output]
    assert outputs[0] == "output"
    assert set(outputs[1:]) == {"next.readout"} | {f"{kind}.{node}" for node in emitters for kind in ("next", "spikes")}
    assert model.graph.input[1].type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert len(model.graph.input[1].type.tensor_type.shape.dim) == 0
    for value in (*model.graph.output, *model.graph.input[:1], *model.graph.input[2:]):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert value.type.tensor_type.shape.dim[0].dim_param == "N"
        assert all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim[1:])
    calls = [node for node in model.graph.node if node.domain == "snnconvert"]
    assert len(calls) == len(neurons)
    assert {node.op_type for node in calls} == {function.name for function in model.functions}
    assert {function.domain for function in model.functions} == {"snnconvert"}
    assert {node.domain for node in model.graph.node} == {"", "snnconvert"}


def test_metadata_tells_all_that_a_simulator_needs(digits: dict[str, tuple[SpikingNetwork, bytes]]) -> None:
    network, content = digits["digits_cnn"]
    about = Exported(content).about
    assert about["schema"] == "snnconvert/step/1"
    assert about["schedule"] == {"T": 32, "onset_delay": 0, "latency": 0}
    assert about["steps"] == [1, 2, 4, 8, 16, 32]
    assert about["encoding"] == "constant"
    assert about["preprocess"] == {"scale": 0.0625}
    assert about["input"] == [1, 8, 8]
    assert about["classes"] == 10
    assert len(about["model"]["sha256"]) == 64
    assert about["version"]
    assert set(about["scales"]) == set(network.neurons)
    for name, scale in about["scales"].items():
        assert np.prod(scale["shape"]) == len(scale["values"])
        np.testing.assert_array_equal(np.reshape(scale["values"], scale["shape"]), network.scales[name].numpy())
    assert {each["node"] for each in about["emitters"].values()} == {node.name for node in network.emitters}
    for each in about["emitters"].values():
        fan_out = network.fan_out[each["node"]].numpy()
        np.testing.assert_array_equal(np.broadcast_to(unpacked(each["fan_out"]), fan_out.shape), fan_out)
        assert each["kind"] == ("neuron" if each["node"] in network.neurons else "pool")


def test_bytes_are_the_same_again(digits: dict[str, tuple[SpikingNetwork, bytes]]) -> None:
    network, content = digits["digits_resnet"]
    assert step_model(network, {}) == step_model(network, {})
    assert step_model(network, {"b": 1, "a": 2}) == step_model(network, {"a": 2, "b": 1})
    assert content.startswith(step_model(network, {})[:1000])


def test_any_batch_runs(digits: dict[str, tuple[SpikingNetwork, bytes]]) -> None:
    exported = Exported(digits["digits_cnn"][1])
    x = np.random.default_rng(0).random((5, 1, 8, 8), np.float32)
    together = exported.run(x, 3)[-1]["output"]
    apart = np.concatenate([exported.run(x[at : at + 1], 3)[-1]["output"] for at in range(5)])
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-5)


# step by step


@pytest.mark.parametrize("neuron", [SUBTRACT, ZERO], ids=["subtract", "zero"])
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_counts_as_the_engine_does(nets: ModuleType, block: str, neuron: IntegrateAndFire) -> None:
    assert_same_steps(plain(nets.recipe(["chain", block], dyadic=True, size=6), neuron))


def test_every_block_is_tried(nets: ModuleType) -> None:
    assert set(nets.BLOCKS) == set(BLOCKS)


@pytest.mark.parametrize("seed", range(6))
def test_random_networks_count_as_the_engine_does(nets: ModuleType, seed: int) -> None:
    blocks = random.Random(seed).choices(BLOCKS, k=3)
    neuron = IntegrateAndFire(("subtract", "zero")[seed % 2], (0.0, 0.25, 0.5)[seed % 3])
    assert_same_steps(plain(nets.recipe(blocks, dyadic=True, seed=seed, size=7), neuron), seed=seed)


def test_converted_network_with_scales_counts_as_the_engine_does(nets: ModuleType) -> None:
    graph = nets.recipe(["chain", "residual", "maximum"], size=8)
    samples = torch.randn((20, *graph.input_shape), generator=torch.Generator().manual_seed(1))
    for per_channel in (False, True):
        scales = percentile_scales(collect(graph, [samples.numpy()], per_channel, CPU), 99.9, True)
        network = spiking_network(normal_form(graph, scales), SUBTRACT)
        exported = Exported(step_model(network, {}))
        readout = list(Simulator(network).run(samples, [16]))[-1]
        found = exported.run(samples.numpy(), 16)
        # float32 rounding may move a spike by a step, no more
        np.testing.assert_allclose(found[-1]["output"], readout.output.numpy() / 16, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 1, 0)])
def test_max_pool_over_spikes(nets: ModuleType, kernel: int, stride: int, pad: int) -> None:
    net = nets.Net(2, 7, 7, dyadic=True)
    pooled = net.maximum(net.relu(net.conv("x", 3)), nets.window(kernel, stride, pad), name="pool")
    graph = net.graph(net.linear(net.flatten(net.relu(net.conv(pooled, 2))), 3))
    exported = assert_same_steps(plain(graph))
    assert exported.about["emitters"]["spikes.pool"]["kind"] == "pool"
    assert exported.about["states"]["state.pool"]["shape"] == [3, 7, 7]


def test_max_pool_over_the_input_is_no_emitter(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6, dyadic=True)
    graph = net.graph(net.linear(net.flatten(net.relu(net.conv(net.maximum("x", name="pool"), 2), name="r")), 3))
    exported = assert_same_steps(plain(graph))
    assert [each["node"] for each in exported.about["emitters"].values()] == ["r"]


def test_max_pool_over_graded_currents_keeps_a_state_but_sends_no_spikes(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6, dyadic=True)
    pooled = net.maximum(net.conv(net.relu(net.conv("x", 3), name="r"), 2), name="pool")
    exported = Exported(step_model(plain(net.graph(net.linear(net.flatten(pooled), 3))), {}))
    assert [each["node"] for each in exported.about["emitters"].values()] == ["r"]
    assert "state.pool" in exported.about["states"]
    assert "spikes.pool" not in [value.name for value in exported.model.graph.output]


EVERY_FORM = pytest.mark.parametrize("pooling", ["exact", "gate", "before", "average"])
WINDOWS_AND_SHAPES = {
    "2x2": ({"kernel": 2, "stride": 2}, (2, 6, 6)),
    "overlapping": ({"kernel": 2, "stride": 1}, (2, 6, 5)),
    "padded": ({"kernel": 3, "stride": 2, "pad": 1}, (2, 7, 7)),
    "dilated": ({"kernel": 2, "dilation": 2}, (2, 6, 5)),
    "of a sequence": ({"kernel": (3,), "stride": 2, "pad": 1}, (2, 9)),
    "of a sequence, dilated": ({"kernel": (2,), "dilation": 2}, (2, 9)),
}


@EVERY_FORM
@pytest.mark.parametrize(("where", "shape"), WINDOWS_AND_SHAPES.values(), ids=WINDOWS_AND_SHAPES.keys())
def test_max_pool_in_every_form(
    nets: ModuleType, pooling: Pooling, where: dict[str, int], shape: Sequence[int]
) -> None:
    net = nets.Net(*shape, dyadic=True)
    small = nets.window(3, pad=1, rank=len(shape) - 1)
    pooled = net.maximum(net.relu(net.conv(net.relu("x"), 3, small)), nets.window(**where), name="pool")
    thirds = pooling == "average" and 3 in np.ravel(where["kernel"])  # these have no exact mean: no threshold follows
    x = pooled if thirds else net.relu(net.conv(pooled, 2, small))
    network = plain(net.graph(net.linear(net.flatten(x), 3)), pooling=pooling)
    assert network.pools == {"pool": pooling}
    exported = assert_same_steps(network, tolerance=1e-6 if thirds else 0)
    keeps_a_state = pooling in ("exact", "gate")
    assert ("state.pool" in exported.about["states"]) == keeps_a_state
    assert ("spikes.pool" in exported.about["emitters"]) == keeps_a_state


def test_pools_in_a_row_are_gates_in_a_row(nets: ModuleType) -> None:
    net = nets.Net(2, 7, 7, dyadic=True)
    first = net.maximum(net.relu(net.conv("x", 3)), nets.window(2), name="first")
    pooled = net.maximum(first, nets.window(2, 2), name="second")
    network = plain(net.graph(net.linear(net.flatten(net.relu(net.conv(pooled, 2))), 3)), pooling="gate")
    exported = assert_same_steps(network)
    assert {"spikes.first", "spikes.second"} <= exported.about["emitters"].keys()


@EVERY_FORM
def test_real_network_with_every_form_of_pool_counts_nearly_as_the_engine_does(
    shared_data: Path, pooling: Pooling
) -> None:
    graph = load_model(shared_data / "models" / "squeezenet1.1_imagenet.onnx").graph
    x = torch.randn((2, *graph.input_shape), generator=torch.Generator().manual_seed(0))
    form = {"before": MovePoolBeforeActivation().run, "average": pools_averaged}.get(pooling, lambda same: same)
    graph = form(apply_passes(graph, PASSES, x)[0])
    scales = percentile_scales(collect(graph, [x.numpy()], False, CPU), 99.9, True)
    network = spiking_network(normal_form(graph, scales), SUBTRACT, pooling)
    exported, steps = Exported(step_model(network, {})), 3
    found = exported.run(x.numpy(), steps)
    (readout,) = Simulator(network).run(x, [steps])
    assert any(readout.counts[name].any() for name in network.pools if name in readout.counts) or pooling == "average"
    for name, each in exported.about["emitters"].items():
        sent = sum(step[name].sum(dtype=np.float64) for step in found)
        # float32 rounding may move a spike by a step, and others with it
        assert sent == pytest.approx(float(readout.counts[each["node"]].double().sum()), rel=0.01, abs=10)


def test_network_that_ends_in_a_relu(nets: ModuleType) -> None:
    net = nets.Net(2, 6, 6, dyadic=True)
    net.relu(net.linear(net.flatten(net.relu(net.conv("x", 2))), 3), name="last")
    exported = assert_same_steps(plain(net.graph("last")))
    assert "spikes.last" in exported.about["emitters"]
    scales = {name: torch.full((1,) * rank, 2.0).double() for name, rank in (("last", 1), (net.nodes[1].name, 3))}
    network = spiking_network(normal_form(net.graph("last"), scales), SUBTRACT)
    assert network.graph.output != "last"  # a synapse brings it back to the units of the original output
    assert_same_steps(network)


def test_convolution_over_a_sequence(nets: ModuleType) -> None:
    net = nets.Net(3, 9, dyadic=True)
    x = net.relu(net.conv("x", 4, nets.window((3,), 1, 1)))
    x = net.relu(net.conv(net.maximum(x, nets.window((2,), 2)), 2, nets.window((3,), 2, 0)))
    assert_same_steps(plain(net.graph(net.linear(net.flatten(x), 3))))


def test_dense_output(nets: ModuleType) -> None:
    net = nets.Net(2, 5, 5, dyadic=True)
    exported = assert_same_steps(plain(net.graph(net.conv(net.relu(net.conv("x", 3)), 4))))
    assert [dim.dim_value for dim in exported.model.graph.output[0].type.tensor_type.shape.dim[1:]] == [4, 5, 5]


# names


def hostile(nets: ModuleType, names: Sequence[str]) -> Graph:
    net = nets.Net(2, 5, 5, dyadic=True)
    x = "x"
    for name in names:
        x = net.relu(net.conv(x, 2), name=name)
    return net.graph(net.linear(net.flatten(x), 3, name="next.a"))


def test_names_of_the_interface_may_be_names_of_nodes(nets: ModuleType) -> None:
    exported = assert_same_steps(plain(hostile(nets, HOSTILE)))
    assert exported.about["emitters"].keys() <= {value.name for value in exported.model.graph.output}
    assert {each["node"] for each in exported.about["emitters"].values()} == set(HOSTILE)


def test_names_of_any_kind(nets: ModuleType) -> None:
    names = ("/layer1/relu/Relu", "a b", "ü…", "x:0", "a\nb\x1b[31m", "<script>", "../x", "n" * 10_000, "x" * 3)
    assert_same_steps(plain(hostile(nets, names)))


def test_node_of_the_name_of_the_function(nets: ModuleType) -> None:
    assert_same_steps(plain(hostile(nets, ("IntegrateAndFire_subtract", "snnconvert", "potential", "threshold"))))


def test_network_whose_name_is_no_unicode(nets: ModuleType) -> None:
    graph = hostile(nets, ("a",))
    assert_same_steps(plain(Graph("\udcff", graph.input, graph.input_shape, graph.nodes, graph.output)))


def test_user_network_whose_values_have_names_of_the_interface(save_onnx) -> None:
    nodes = [
        onnx.helper.make_node("Flatten", ["x"], ["output"], name="step"),
        onnx.helper.make_node("Gemm", ["output", "one"], ["state.readout"], name="input"),
        onnx.helper.make_node("Relu", ["state.readout"], ["input"], name="readout"),
        onnx.helper.make_node("Gemm", ["input", "two"], ["next.readout"], name="output"),
    ]
    weights = {"one": quarters(12, 5).numpy(), "two": quarters(5, 3).numpy()}
    assert_same_steps(plain(load_model(save_onnx(nodes, weights, (3, 2, 2))).graph))
