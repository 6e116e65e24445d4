"""The page is complete in itself, well formed, the same in every run, and harmless whatever the file was called."""

import copy
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from snnconvert.errors import OutputError
from snnconvert.report.curve import ENERGY, SYNOPS, Along, accuracy_curve_svg
from snnconvert.report.page import render_page
from snnconvert.report.text import printable

VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[2J\x07",
    "a\u202egpj.exe",
    "\ud800",
    "x" * 1_000_000,
    "{{ 7*7 }}",
    "\"'>&",
]


class Outline(HTMLParser):
    """Fails on a tag that closes no open one; collects headings, tags and attributes."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page.decode())
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def poisoned(context: Any, text: str) -> Any:
    """Replace every text of the context, and add it as a key, where names come from files."""
    if isinstance(context, dict):
        return {key: value if key == "schema" else poisoned(value, text) for key, value in context.items()}
    if isinstance(context, list):
        return [poisoned(value, text) for value in context]
    return text if isinstance(context, str) else context


@pytest.mark.parametrize("place", ["agreement", "accuracy", "t", "synops_per_sample"])
def test_metrics_that_are_no_numbers_are_refused(context: dict[str, Any], place: str) -> None:
    context["metrics"]["steps"][2][place] = "<script>"
    with pytest.raises(OutputError, match=r"E403.*expected a number"):
        render_page(context)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless(context: dict[str, Any], text: str) -> None:
    context = poisoned(context, text)
    context["options"] = {text: text, "a": [text]}
    page = render_page(context)
    clean = Outline(render_page(poisoned(context, "x")))
    outline = Outline(page)
    assert outline.tags.count("script") == 0
    assert len(page) < 60_000
    assert sorted(set(outline.tags)) == sorted(set(clean.tags))
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page.decode())[0]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page.decode())
    assert not [name for name, _ in outline.attributes if name.startswith("on")]


def test_page_fetches_nothing(context: dict[str, Any]) -> None:
    page = render_page(context)
    for forbidden in (b"http://", b"https://", b"url(", b"@import", b"<script", b"<link", b"<iframe"):
        assert forbidden not in page
    assert page.count(b"src=") == page.count(b'src="data:image/png;base64,') == 3
    policy = b"default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert page.count(b'<meta http-equiv="Content-Security-Policy" content="' + policy + b'">') == 1
    assert page.index(policy) < page.index(b"<style")


def test_page_is_well_formed(context: dict[str, Any]) -> None:
    outline = Outline(render_page(context))
    headings = [int(tag[1]) for tag in outline.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert outline.tags.count("caption") == outline.tags.count("table") == 10
    scopes = [value for name, value in outline.attributes if name == "scope"]
    assert len(scopes) == outline.tags.count("th")
    identifiers = [value for name, value in outline.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))


def test_page_says_what_was_measured(context: dict[str, Any]) -> None:
    text = Outline(render_page(context)).text.replace("\N{NO-BREAK SPACE}", " ")
    for said in (
        "keeps 89.9 % of the original's accuracy",
        "final Softmax dropped",
        "/layer1/layer1.0/relu1/Relu",
        "ONNX Runtime on the user's graph",
        "exceeded",
        "weighted synapse",
        "data/cifar10:train",
        "convert.percentile",
        "--calib-samples 512",
        "snnconvert 0.1.0",
        "81.7 – 83.2 %",
        "With numpy 2.4.6, torch 2.13.0.",
        "5e4f5e4f5e4f5e4f",
    ):
        assert said in text, said


def test_page_says_what_changed(context: dict[str, Any]) -> None:
    page = render_page(context)
    text = Outline(page).text
    for told in ("640 of 10,000 samples", "5,360", "only the ANN is right", "r = 0.980", "no correlation"):
        assert told in text.replace("\N{NO-BREAK SPACE}", " "), told
    assert b'alt="ANN cat, spiking dog, label cat (sample 17)"' in page
    del context["changes"]["matrix"]
    assert "The most frequent changes" in Outline(render_page(context)).text
    context |= {"changes": None, "densities": []}
    assert "What changed" not in Outline(render_page(context)).text


def test_page_says_what_a_sample_costs(context: dict[str, Any]) -> None:
    text = Outline(render_page(context)).text
    for told in ("Of one sample, T = 32, mean of 16", "1,173,338,304", "87.90", "110 µJ", "x 0.589", "Horowitz"):
        assert told in text
    assert "no chip was measured" in text
    del context["metrics"]["cost"]
    assert "What it costs to run" not in Outline(render_page(context)).text


def test_page_does_not_depend_on_the_order_of_keys(context: dict[str, Any]) -> None:
    page = render_page(context)
    again = copy.deepcopy(context)
    again["options"] = dict(reversed(again["options"].items()))
    again["metrics"] = dict(reversed(again["metrics"].items()))
    assert render_page(again) == page


def test_bare_context_makes_a_page(context: dict[str, Any]) -> None:
    row = {"t": 4, "agreement": 0.5}
    context["metrics"] = {
        "schema": "snnconvert/metrics/1",
        "samples": 3,
        "labelled": False,
        "ann": None,
        "steps": [row],
    }
    for name in ("notes", "equivalence", "data", "nodes", "densities"):
        context[name] = []
    context["changes"] = None
    context["options"] = {}
    outline = Outline(render_page(context))
    assert outline.tags.count("table") == 1


def test_missing_part_is_an_error(context: dict[str, Any]) -> None:
    del context["notes"]
    with pytest.raises(KeyError, match="notes"):
        render_page(context)


def test_standalone_picture_is_xml(context: dict[str, Any]) -> None:
    picture = accuracy_curve_svg(context["metrics"], standalone=True)
    root = ElementTree.fromstring(picture)  # noqa: S314 - we wrote it
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["role"] == "img"
    assert picture.count("http") == 1
    assert "prefers-color-scheme:dark" in picture
    assert picture == accuracy_curve_svg(copy.deepcopy(context["metrics"]), standalone=True)
    told = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "T = 32: accuracy 82.50 %, agreement 83.70 %" in told
    assert "ANN 91.73 %" in told


@pytest.mark.parametrize(
    ("along", "ticks", "value"),
    [
        (SYNOPS, ["2M", "5M", "10M", "20M"], "T = 32, 38.72M SynOps: accuracy 82.50 %, agreement 83.70 %"),
        (ENERGY, ["0.02", "0.05", "0.1"], "T = 32, 0.2 × ANN: accuracy 82.50 %, agreement 83.70 %"),
    ],
)
def test_accuracy_against_what_it_costs(context: dict[str, Any], along: Along, ticks: list[str], value: str) -> None:
    picture = accuracy_curve_svg(context["metrics"], along, identifier="cost")
    assert picture in render_page(context).decode().replace(along.column, "cost")
    said = [element.text for element in ElementTree.fromstring(picture).iter("text")]  # noqa: S314 - our own
    assert [each for each in said if each in ticks] == ticks
    assert value in said
    assert f"{along.name} (logarithmic)" in said
    for row in context["metrics"]["steps"]:
        row[along.column] = None
    assert along.name not in render_page(context).decode()


def test_inline_picture_names_no_address(context: dict[str, Any]) -> None:
    picture = accuracy_curve_svg(context["metrics"], identifier="second")
    assert "http" not in picture
    assert 'aria-labelledby="second-title second-desc"' in picture


@pytest.mark.parametrize(("steps", "logarithmic"), [([1, 8], False), ([1, 9], True), ([4], False), ([], False)])
def test_time_axis(context: dict[str, Any], steps: list[int], logarithmic: bool) -> None:
    row = context["metrics"]["steps"][0]
    context["metrics"]["steps"] = [row | {"t": t} for t in steps]
    picture = accuracy_curve_svg(context["metrics"], standalone=True)
    ElementTree.fromstring(picture)  # noqa: S314 - we wrote it
    assert ("logarithmic" in picture) == logarithmic


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, 0.0, 1.0, 1e-300])
def test_odd_values_make_a_picture(context: dict[str, Any], value: float | None) -> None:
    for row in context["metrics"]["steps"]:
        row |= {"accuracy": value, "accuracy_ci95": [value, value], "agreement": None, "output_error": value}
    context["metrics"]["ann"]["accuracy"] = value
    picture = accuracy_curve_svg(context["metrics"], standalone=True)
    ElementTree.fromstring(picture)  # noqa: S314 - we wrote it
    assert "nan" not in re.sub(r"<(title|desc)[^>]*>[^<]*</\1>", "", picture)
    Outline(render_page(context))


def test_a_thousand_steps_stay_small(context: dict[str, Any]) -> None:
    row = context["metrics"]["steps"][0]
    context["metrics"]["steps"] = [row | {"t": t} for t in range(1, 1001)]
    picture = accuracy_curve_svg(context["metrics"])
    assert len(picture) < 100_000
    assert ">1,000</text>" in picture


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv1", "conv1"),
        ("a\nb\tc\r", "a b c "),
        ("\x1b[31m\x00\x7f\x9b", "\ufffd[31m\ufffd\ufffd\ufffd"),
        ("\u202e\u200b\ud800\u2028", "\ufffd\ufffd\ufffd "),
        ("größe 層", "größe 層"),
        ("abcdefghijklmnop", "abcdef…nop"),
        ("x" * 10, "x" * 10),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text, 10) == shown


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 80])
def test_printable_keeps_its_limit(limit: int) -> None:
    assert len(printable("y" * 10**6, limit)) == limit
