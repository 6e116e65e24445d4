"""The picture of the graph before and after: every node once, every value that is read, and what became of whom."""

from types import ModuleType
from xml.etree import ElementTree

from snnconvert.calibrate import random_scales
from snnconvert.fold import PASSES
from snnconvert.graph import Graph, Node, Origin, apply_passes
from snnconvert.network import SpikingNetwork, normal_form, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.report import graph_picture as module
from snnconvert.report.fates import fates
from snnconvert.report.graph_picture import graph_picture


def residual(nets: ModuleType) -> tuple[Graph, SpikingNetwork]:
    """A block with batch norm and a shortcut, as it is loaded, and converted."""
    net = nets.Net(2, 6, 6)
    first = net.relu(net.norm(net.conv("x", 4, name="conv1"), name="bn1"), name="relu1")
    second = net.norm(net.conv(first, 4, name="conv2"), name="bn2")
    last = net.relu(net.sum(second, first, name="add"), name="relu2")
    output = net.linear(net.flatten(last), 3, name="<fc>")
    nodes = tuple(Node(each.name, each.operator, each.inputs, (each.name,)) for each in net.nodes)
    origins = tuple(Origin(each.name, type(each.operator).__name__) for each in nodes)
    loaded = Graph("net", "x", (2, 6, 6), nodes, output, origins)
    folded, _ = apply_passes(loaded, PASSES, nets.torch.randn(2, 2, 6, 6))
    return loaded, spiking_network(normal_form(folded, random_scales(folded, per_channel=False)), IntegrateAndFire())


def drawn(nets: ModuleType) -> ElementTree.Element:
    loaded, network = residual(nets)
    picture = graph_picture(loaded, network, fates(loaded.origins, network))
    assert picture is not None
    return ElementTree.fromstring(picture)  # noqa: S314 - our own


def test_every_node_has_a_dot_and_every_value_read_a_line(nets: ModuleType) -> None:
    loaded, network = residual(nets)
    root = drawn(nets)
    dots = [each.attrib["cx"] for each in root.iter("circle")]
    assert dots.count(f"{module.BEFORE:.0f}") == 1 + len(loaded.nodes)
    assert dots.count(f"{module.AFTER:.0f}") == 1 + len(network.graph.nodes)
    read = sum(len(set(node.inputs)) for graph in (loaded, network.graph) for node in graph.nodes)
    assert len(root.findall("path")) == read
    styles = [each.attrib["class"] for each in root.iter("circle")]
    assert styles.count("dot spiking") == 2
    assert len({(each.attrib["cx"], each.attrib["cy"]) for each in root.iter("circle")}) == len(dots)


def test_what_became_of_a_node_stands_beside_it(nets: ModuleType) -> None:
    root = drawn(nets)
    lines: dict[str, list[str]] = {}
    for text in root.findall("text"):
        lines.setdefault(text.attrib["y"], []).append(text.text or "")
    beside = {words[0].split()[-1]: words[1] for words in lines.values() if len(words) > 1}
    assert beside["relu1"] == "144 neurons 'if'"
    assert beside["conv1"] == "Convolution: weighted synapse"
    assert beside["bn1"] == "folded into 'conv1'"
    assert beside["<fc>"] == "Linear: weighted synapse"  # escaped where it is written
    shortcut = [words for words in lines.values() if words[0].startswith("Affine")]
    assert shortcut == [["Affine: weighted synapse"]] or "Affine" in beside["add"]


def test_a_graph_of_very_many_nodes_is_left_to_the_table(nets: ModuleType, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST", 5)
    loaded, network = residual(nets)
    assert graph_picture(loaded, network, fates(loaded.origins, network)) is None
