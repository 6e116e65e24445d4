"""Which sample and which neurons a report shows over time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnconvert import pipeline, tracing
from snnconvert.config import TraceOptions, build_job
from snnconvert.conversion import Conversion
from snnconvert.errors import UsageError
from snnconvert.measure import Outcomes
from snnconvert.progress import Silent
from snnconvert.tracing import check_trace, trace

MODELS = Path(__file__).parents[1] / "models"


def converted(sample: int | None = None, neurons: tuple[str, ...] = (), steps: int = 6, **options: Any) -> Conversion:
    document = {
        "model": str(MODELS / "digits_cnn.onnx"),
        "calib": {"path": str(MODELS / "digits_calib.npz"), "samples": 40},
        "eval": {"path": str(MODELS / "digits_test.npz"), "samples": 12},
        "preprocess": "scale=1/16",
        "convert": {"steps": [steps], "correct": [], **options},
        "trace": {"sample": sample, "neurons": neurons},
    }
    return pipeline.convert(build_job(document, "test"), torch.device("cpu"), Silent())


def outcomes(ann: list[int], snn: list[int], labels: list[int] | None = None) -> Outcomes:
    found = Outcomes([6], 10)
    truth = None if labels is None else np.array(labels)
    found.add(np.array([snn], np.int32), np.zeros(1), np.zeros(1), np.array(ann, np.int32), truth)
    return found


def test_samples_that_changed_come_first_where_the_ann_was_right() -> None:
    assert outcomes([1, 2, 3, -1], [1, 0, 0, 0], [1, 0, 3, 0]).changed.tolist() == [2, 1]
    assert outcomes([1, 2], [1, 2]).changed.tolist() == []
    assert Outcomes([6], None).changed.tolist() == []


def test_some_neurons_of_each_layer_are_traced() -> None:
    conversion = converted()
    found = trace(conversion, outcomes([0] * 12, [0] * 7 + [1] * 5), torch.device("cpu"), Silent())
    assert found is not None
    assert (found.at, found.steps, found.layers) == (7, 6, len(conversion.network.neurons))
    assert [*found.traces] == [*conversion.network.neurons]
    for name, each in found.traces.items():
        assert each.spikes.shape == (6, len(each.places))
        assert 1 < len(each.places) <= tracing.NEURONS
        assert torch.allclose(each.spikes.mean(0), found.rates[name])
        errors = (found.rates[name] - found.activations[name]).abs()
        assert errors.argmax() == 0


def test_what_was_asked_for_is_traced() -> None:
    indices = converted().evaluation.indices
    name = next(iter(converted().network.neurons))
    shape = converted().network.graph.shapes[name]
    conversion = converted(int(indices[4]), (f"{name}:3", f"{name}:1,0,2", f"{name}:3"))
    found = trace(conversion, outcomes([0] * 12, [1] * 12), torch.device("cpu"), Silent())
    assert found is not None
    assert found.at == 4
    assert found.traces[name].places == (3, int(np.ravel_multi_index((1, 0, 2), shape)))
    assert [*found.named] == [name]


@pytest.mark.parametrize(
    ("neuron", "said"),
    [
        ("relu1:0", "no layer of neurons is called 'relu1'"),
        ("no colon", "no layer of neurons is called ''"),
        ("{layer}:99999999", "no such neuron in a layer of shape"),
        ("{layer}:0,0", "no such neuron"),
        ("{layer}:-1", "no such neuron"),
        ("{layer}:", "no such neuron"),
        ("{layer}:1e3", "no such neuron"),
    ],
)
def test_neurons_that_there_are_not_are_refused(neuron: str, said: str) -> None:
    conversion = converted()
    options = TraceOptions(neurons=(neuron.format(layer=next(iter(conversion.network.neurons))),))
    with pytest.raises(UsageError, match=said) as caught:
        check_trace(options, conversion.network, conversion.evaluation)
    assert caught.value.hint


def test_too_many_neurons_and_samples_that_are_not_evaluated_are_refused() -> None:
    conversion = converted()
    name = next(iter(conversion.network.neurons))
    many = TraceOptions(neurons=tuple(f"{name}:{k}" for k in range(tracing.MOST + 1)))
    with pytest.raises(UsageError, match=r"33 neurons of .* at most 32"):
        check_trace(many, conversion.network, conversion.evaluation)
    other = next(k for k in range(600) if k not in conversion.evaluation.indices)
    with pytest.raises(UsageError, match=f"sample {other} is not among those that are evaluated"):
        converted(other)


def test_many_layers_are_thinned_out_and_those_named_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "LAYERS", 2)
    names = [f"layer{k}" for k in range(7)]
    values = {name: torch.rand(5) for name in names}
    assert [*tracing._chosen({"layer3": (1,)}, values, values)] == ["layer0", "layer3", "layer6"]


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    conversion, found = converted(), outcomes([0] * 12, [0] * 12)
    monkeypatch.setattr(tracing, "STEPS", 2)
    traced = trace(conversion, found, torch.device("cpu"), Silent())
    assert traced is not None
    assert {len(each.spikes) for each in traced.traces.values()} == {2}
    monkeypatch.setattr(tracing, "WORK", 1.0)
    assert trace(conversion, found, torch.device("cpu"), Silent()) is None
    assert "neurons over time are not shown: a step takes" in conversion.notes[-1]


def test_layers_that_run_one_after_the_other_are_paid_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    conversion, found = converted(onset_delay=6), outcomes([0] * 12, [0] * 12)
    work = tracing.step_work(conversion.network)
    assert conversion.network.latency >= 6
    monkeypatch.setattr(tracing, "WORK", 6 * work)
    traced = trace(conversion, found, torch.device("cpu"), Silent())
    assert traced is not None
    assert {len(each.spikes) for each in traced.traces.values()} >= {6}
    monkeypatch.setattr(tracing, "WORK", 5 * work)
    assert trace(conversion, found, torch.device("cpu"), Silent()) is None
