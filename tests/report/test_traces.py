"""Pictures of neurons over time: as many ticks as spikes, where they belong."""

import re
from xml.etree import ElementTree

import numpy as np
import torch

from snnconvert.data import Dataset, Preprocessing, Selection
from snnconvert.measure import Outcomes, Trace, Traced
from snnconvert.neurons import make_neuron
from snnconvert.report.traces import LEFT, RIGHT, WINDOW, traces

SPIKES = torch.tensor([[0, 0], [1, 0], [1, -1], [0, 1], [1, 0]])


def told(spikes: torch.Tensor = SPIKES, began: int = 0, start: int = 0, name: str = "relu", named: bool = False):
    reached = spikes + 0.5
    trace = Trace(make_neuron("if-signed", {}), (4, 3), (5, 11), began, start, reached, reached - spikes, spikes)
    outcomes = Outcomes([5], 3)
    outcomes.add(np.full((1, 1), 2), np.zeros(1), np.zeros(1), np.array([1]), np.array([0]))
    dataset = Dataset("x", "npz", None, ("cat", "dog", "emu"), np.zeros((40, 3, 3), np.uint8))
    evaluation = Selection(dataset, np.array([17]), Preprocessing(), (3, 3))
    values = {name: torch.tensor([0.25, 0.75])}
    found = Traced(0, len(spikes), 3, [name] if named else [], {name: trace}, values, values)
    return traces(found, outcomes, evaluation, 5)


def ticks(figure: str) -> dict[str, list[float]]:
    root = ElementTree.fromstring(figure)  # noqa: S314 - our own
    return {
        path.attrib["class"]: [float(x) for x in re.findall(r"M([\d.]+) ", path.attrib["d"])]
        for path in root.findall("path")
    }


def test_every_spike_is_a_tick_in_its_step() -> None:
    ((figure, caption),) = told()["figures"]
    assert caption == "relu, neuron 1,2: activation 0.25, rate 0.25"
    found = ticks(figure)
    assert (len(found["spike"]), len(found["spike back"])) == (4, 1)
    width = (RIGHT - LEFT) / 5
    steps = [round((x - LEFT) / width - 0.5, 2) for x in found["spike"]]
    assert steps == [1, 2, 3, 4]
    assert "3 spikes are shown" in figure


def test_a_layer_that_waits_begins_later() -> None:
    ((figure, _),) = told(began=2, start=3)["figures"]
    root = ElementTree.fromstring(figure)  # noqa: S314 - our own
    width = (RIGHT - LEFT) / 7  # steps 0 to 6
    assert float(root.find("rect").attrib["width"]) == round(3 * width, 1)  # type: ignore[union-attr]
    assert min(ticks(figure)["spike"]) == round(LEFT + 3.5 * width, 1)


def test_long_runs_show_each_layer_from_where_it_fires() -> None:
    spikes = torch.ones(WINDOW + 50, 2)
    ((figure, _),) = told(spikes, began=100, start=110)["figures"]
    assert len(ticks(figure)["spike"]) == 2 * WINDOW
    labels = [each.text for each in ElementTree.fromstring(figure).findall("text")]  # noqa: S314 - our own
    assert labels[-3:] == ["110", str(110 + WINDOW - 1), "time step"]


def test_neurons_that_were_asked_for_have_a_picture_each() -> None:
    (first, one), (second, other) = told(named=True)["figures"]
    assert (one.split(":")[0], other.split(":")[0]) == ("relu, neuron 1,2", "relu, neuron 3,2")
    assert len(ticks(first)["spike"]) == 3
    assert {name: len(each) for name, each in ticks(second).items()} == {"spike": 1, "spike back": 1}


def test_the_sentence_says_which_sample_and_what_is_left_out() -> None:
    found = told()
    assert found["sentence"] == ("Sample 17: the ANN says dog, the spiking network emu, the label cat; 1 of 3 layers.")
    assert found["picture"].startswith("data:image/png")


def test_names_are_escaped() -> None:
    ((figure, caption),) = told(name="<b>&\u202e")["figures"]
    assert "<b>" not in figure
    assert "\u202e" not in figure + caption
    ElementTree.fromstring(figure)  # noqa: S314 - our own
