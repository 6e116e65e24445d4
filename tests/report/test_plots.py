"""The pictures as files: what they show, and that equal numbers give equal bytes."""

import io
from typing import Any

import matplotlib as mpl
import pytest
from PIL import Image

from snnconvert.errors import OutputError
from snnconvert.report.plots import plots

LAYERS = [
    {"name": "conv1", "clipping": 0.1, "quantisation": 0.2, "unevenness": 0.1},
    {"name": "conv2", "clipping": 0.0, "quantisation": 0.1, "unevenness": 0.5},
]


@pytest.fixture
def told(metrics: dict[str, Any]) -> dict[str, Any]:
    return metrics | {"diagnosis": {"t": 32, "layers": LAYERS}}


def test_pictures_show_the_numbers(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found = plots(told, "svg")
    assert set(found) == {"curve.svg", "layers.svg"}
    monkeypatch.setitem(mpl.rcParams, "lines.linewidth", 9.0)  # a user's own settings
    assert plots(told, "svg") == found
    for content in found.values():
        assert content.startswith(b"<?xml")
        assert content.rstrip().endswith(b"</svg>")
        assert b"<dc:date>" not in content


def test_layers_that_have_no_bar_are_told(told: dict[str, Any]) -> None:
    many = [LAYERS[0] | {"name": f"l{k}"} for k in range(70)]
    few = plots(told, "svg")["layers.svg"]
    long = plots(told | {"diagnosis": {"t": 32, "layers": many}}, "svg")["layers.svg"]
    assert b"the first 60 of 70 layers" in long
    assert b"the first 60" not in few


def test_png_is_one(told: dict[str, Any]) -> None:
    found = plots(told, "png")
    assert set(found) == {"curve.png", "layers.png"}
    for content in found.values():
        with Image.open(io.BytesIO(content)) as image:
            assert min(image.size) > 200
    assert plots(told, "png") == found


def test_without_a_diagnosis_or_labels_there_is_less(metrics: dict[str, Any]) -> None:
    assert set(plots(metrics, "svg")) == {"curve.svg"}
    unlabelled = metrics | {"ann": {"accuracy": None}, "steps": [{"t": 4, "total_steps": 4, "agreement": 0.5}]}
    assert set(plots(unlabelled, "svg")) == {"curve.svg"}
    assert set(plots(metrics | {"steps": []}, "svg")) == {"curve.svg"}


def test_metrics_that_are_no_numbers_are_refused(told: dict[str, Any]) -> None:
    told["steps"][0]["accuracy"] = "much"
    with pytest.raises(OutputError, match="E403"):
        plots(told, "svg")
