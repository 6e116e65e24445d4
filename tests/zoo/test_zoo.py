"""Well-known architectures, narrow and on small images, from the file to the spikes."""

import json
from collections.abc import Callable
from functools import cache

import numpy as np
import onnxruntime
import pytest
import torch

from snnconvert.export import step_model
from snnconvert.graph import Role, relative_error
from snnconvert.load import load_model
from snnconvert.load.asked import Asked
from snnconvert.simulate import Simulator

from .conversion import Conversion
from .exporting import Exporter
from .members import ZOO, populations

EXPORTERS: tuple[Exporter, ...] = ("legacy", "dynamo")
Convert = Callable[[str, Exporter], Conversion]
SLOW = ("ResNet-50", "GoogLeNet", "VGG-16", "DenseNet")  # for the newer exporter; smaller ones have all they have
# a rectifier behind all weights
SPIKES_ALONE = (
    "VGG-11",
    "VGG-16",
    "ResNet-18",
    "ResNet-50",
    "SqueezeNet",
    "GoogLeNet",
    "Inception v3",
    "1-d",
    "grouped",
)
SPIKES_ALONE += ("ceil pooling", "channels last", "explicit padding", "shared", "arithmetic")
every_file = pytest.mark.parametrize(
    ("name", "exporter"),
    [
        pytest.param(name, each, marks=pytest.mark.slow if each == "dynamo" and name in SLOW else ())
        for name in ZOO
        for each in EXPORTERS
    ],
)
every_network = pytest.mark.parametrize("name", ZOO)
both_scales = pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per layer"])


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Export and convert a network when it is first asked for."""

    @cache
    def convert(name: str, exporter: Exporter) -> Conversion:
        return Conversion(ZOO[name], exporter, tmp_path_factory.mktemp("zoo"))

    return convert


@every_network
def test_random_network_has_outputs_of_sane_scale_that_depend_on_the_sample(name: str, converted: Convert) -> None:
    conversion = converted(name, "legacy")
    assert 0.1 < conversion.expected.square().mean().sqrt() < 10
    assert conversion.dependence > 0.05


@every_file
def test_loaded_network_is_the_file_and_the_module(name: str, exporter: Exporter, converted: Convert) -> None:
    conversion = converted(name, exporter)
    assert conversion.loaded.compare(conversion.x.numpy()).max_error <= 5e-5
    with torch.no_grad():
        assert relative_error(conversion.loaded.graph.run(conversion.x), conversion.expected) <= 5e-5


@every_file
def test_every_rectifier_becomes_a_layer_of_neurons(name: str, exporter: Exporter, converted: Convert) -> None:
    conversion = converted(name, exporter)
    network = conversion.network(True)
    rectifiers = [node.name for node in network.graph.nodes if node.operator.role is Role.ACTIVATION]
    assert [*network.neurons] == rectifiers
    assert len(rectifiers) == populations(conversion.net, conversion.x)


@pytest.mark.parametrize("name", SPIKES_ALONE)
@both_scales
def test_nothing_but_spikes_reaches_weights(name: str, per_channel: bool, converted: Convert) -> None:
    assert converted(name, "legacy").network(per_channel).graded == []


@every_file
def test_batch_norms_fold_unless_they_have_nowhere_to_go(name: str, exporter: Exporter, converted: Convert) -> None:
    assert len(converted(name, exporter).norms_left) == ZOO[name].unfolded


@every_file
@both_scales
def test_normal_form_is_the_folded_network(
    name: str, exporter: Exporter, per_channel: bool, converted: Convert
) -> None:
    assert converted(name, exporter).form_error(per_channel) <= 1e-4


@every_network
@both_scales
def test_spikes_approach_the_network_with_time(name: str, per_channel: bool, converted: Convert) -> None:
    conversion = converted(name, "legacy")
    early, late = conversion.output_errors(per_channel, [64, 256])
    assert late < 0.8 * early
    assert late < conversion.dependence  # nearer than an answer that is the same for every sample


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_either_of_two_outputs_can_be_asked_for(exporter: Exporter, converted: Convert) -> None:
    conversion = converted("two heads", exporter)
    with torch.no_grad():
        answers = conversion.net(conversion.x)
        for name, expected in zip(ZOO["two heads"].outputs, answers, strict=True):
            loaded = load_model(conversion.path, Asked(output=name))
            assert relative_error(loaded.graph.run(conversion.x), expected) <= 5e-5


@pytest.mark.parametrize("name", ["MobileNetV2", "GoogLeNet", "ShuffleNetV2", "U-Net, nearest", "PReLU", "1-d"])
def test_exported_step_is_that_of_the_engine(name: str, converted: Convert) -> None:
    conversion = converted(name, "legacy")
    network, x = conversion.network(True), conversion.x
    content = step_model(network, {})
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["snnconvert"])
    names = [output.name for output in session.get_outputs()]
    states = {
        state: np.full((len(x), *each["shape"]), each["initial"], np.float32) for state, each in about["states"].items()
    }
    totals: dict[str, np.ndarray] = {}
    for step, readout in enumerate(Simulator(network).run(x, [1, 2])):
        feed = {"input": x.numpy(), "step": np.asarray(step, np.int64), **states}
        values = dict(zip(names, session.run(None, feed), strict=True))
        states = {state: values[each["next"]] for state, each in about["states"].items()}
        for spikes, each in about["emitters"].items():
            totals[each["node"]] = totals.get(each["node"], 0) + values[spikes]
        assert set(totals) == set(readout.counts)
        different = sum(int((totals[node] != count.numpy()).sum()) for node, count in readout.counts.items())
        assert different <= 1e-4 * sum(count.numel() for count in readout.counts.values())  # rounding at the threshold
        assert relative_error(torch.from_numpy(values["output"]), readout.output / readout.t) < 1e-2
