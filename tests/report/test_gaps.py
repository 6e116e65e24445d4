"""The picture of the three curves, and the sentence beside it."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from snnconvert.report.gaps import meaning, three_curves_svg
from snnconvert.report.page import render_page

CURVES = {
    "samples": 64,
    "steps": [1, 4, 32],
    "bound": [0.1, 0.7, 0.99],
    "synchronous": [0.1, 0.2, 0.8],
    "delayed": [0.1, 0.5, 0.95],
    "why": "",
}
ROW = {
    "name": "<script>alert(1)</script>",
    "clipping": 0.1,
    "quantisation": 0.2,
    "unevenness": 0.7,
    "fired_wrongly": 0.13,
    "silent_wrongly": 0.0,
    "dead": 0.25,
    "saturated": None,
    "output_error": 0.3,
}
DIAGNOSIS = {
    "samples": 64,
    "t": 32,
    "output_error": {"clipping": 0.05, "quantisation": 0.1, "unevenness": 0.35, "total": 0.5},
    "layers": [ROW],
    "sentence": "At T = 32 the outputs are off; try --correct step-bias,weights in '<img src=x>'.",
}


def told(**changes: Any) -> str:
    return " ".join(meaning({"classes": 10, "curves": {**CURVES, **changes}}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["99.0 %", "80.0 %", "95.0 %", "mend unevenness", "19.00 points", "wins 15.00 points", "64 calibration"]),
        ({"bound": [0.1, 0.7, 0.9]}, ["levels and unevenness cost about the same"]),
        ({"delayed": [0.1, 0.2, 0.7]}, ["waiting for the input (--onset-delay 1) does not help"]),
        (
            {"synchronous": [0.1, 0.65, 0.98], "delayed": None, "why": "a pool"},
            ["little to win", "No delayed run: a pool"],
        ),
        (
            {"bound": [0.1, 0.3, 0.6], "synchronous": [0.1, 0.3, 0.6], "delayed": [0.1, 0.3, 0.6]},
            ["buy levels", "40.00"],
        ),
        ({"synchronous": [0.1, 0.2, 0.98]}, ["widest at T = 4, 70.0 % against 20.0 %"]),
    ],
)
def test_what_the_gaps_mean(changes: dict[str, Any], words: list[str]) -> None:
    for word in words:
        assert word in told(**changes), told(**changes)


def test_the_delay_is_that_of_the_network() -> None:
    metrics = {"classes": 10, "curves": CURVES, "schedule": {"T": 8, "onset_delay": 8, "latency": 16}}
    assert "(--onset-delay 8) wins 15.00 points" in " ".join(meaning(metrics))


@pytest.mark.parametrize(
    "curves", [None, {}, {**CURVES, "bound": [None] * 3, "synchronous": [None] * 3, "delayed": None}]
)
def test_no_curves_no_picture(curves: Any) -> None:
    assert three_curves_svg({"curves": curves}) is None
    assert meaning({"curves": curves}) == []


def test_picture_is_xml_and_says_its_values() -> None:
    picture = three_curves_svg({"classes": 10, "curves": CURVES})
    assert picture is not None
    root = ElementTree.fromstring(picture)  # noqa: S314 - we wrote it
    values = [element.text for element in root.iter("text")]
    for value in ("T = 4: quantisation bound 70.00 %", "T = 4: synchronous 20.00 %", "T = 4: delayed 50.00 %"):
        assert value in values
    assert "http" not in picture
    assert picture == three_curves_svg({"classes": 10, "curves": dict(reversed(CURVES.items()))})


def test_dense_outputs_are_named() -> None:
    picture = three_curves_svg({"classes": None, "curves": CURVES})
    assert picture is not None
    assert "1 - output error" in picture


def test_page_shows_the_diagnosis(context: dict[str, Any]) -> None:
    context["metrics"] |= {"diagnosis": DIAGNOSIS, "curves": CURVES}
    page = render_page(context | {"changes": None, "densities": [], "traces": None, "graph": None}).decode()
    assert "<script" not in page
    assert "<img" not in page
    assert "<code>--correct</code>" in page
    assert 'data-name="unevenness">70.0\N{NO-BREAK SPACE}%' in page
    assert page.count("<svg") == 4  # accuracy against time, operations and energy, and the three curves
    identifiers = re.findall(r' id="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers)) == 8
    for forbidden in ("http://", "https://", "src=", "url("):
        assert forbidden not in page.replace("&lt;img src=x&gt;", "")


def test_diagnosis_that_was_not_made(context: dict[str, Any]) -> None:
    nothing = {"samples": 0, "t": 32, "output_error": None, "layers": [], "sentence": "Not measured: too large."}
    context["metrics"] |= {"diagnosis": nothing, "curves": None}
    page = render_page(context | {"traces": None, "graph": None}).decode()
    assert "Not measured: too large." in page
    assert page.count("<svg") == 3
