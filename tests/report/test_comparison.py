"""The page about several runs: what it says, that it is the same in every run, and harmless."""

import base64
import hashlib
import re
from typing import Any

import pytest

from snnconvert.errors import OutputError
from snnconvert.report.comparison import Run, on_front, render_comparison, verdict
from snnconvert.report.tables import steps_to
from tests.report.test_page import HOSTILE, Outline


def run(name: str, accuracies: list[float | None], synops: list[float], **options: object) -> Run:
    steps = [
        {
            "t": 2**k,
            "total_steps": 2**k + 3,
            "accuracy": a,
            "agreement": a,
            "synops_per_sample": s,
            "energy_ratio": s / 2,
        }
        for k, (a, s) in enumerate(zip(accuracies, synops, strict=True))
    ]
    told = {"model": "/models/net.onnx", **{f"convert.{path}": value for path, value in options.items()}}
    return Run(name, f"{name}/report.html", {"ann": {"accuracy": 0.9}, "steps": steps}, told, "digest")


RUNS = [
    run("a", [0.5, 0.8, 0.895], [1e5, 2e5, 4e5], neuron="if", percentile=99.0),
    run("b", [0.6, 0.85, 0.88], [1e5, 3e5, 9e5], neuron="if", percentile=99.9),
    run("c", [0.7, 0.88, 0.9], [5e5, 1e6, 2e6], neuron="lif", percentile=99.9),
]


def test_page_says_who_is_best() -> None:
    assert verdict(RUNS).replace("\N{NO-BREAK SPACE}", " ") == (
        "Most accurate: c, 90.00 % at T = 4. "
        "Cheapest within one point of that: a at T = 4, 89.50 % with 400.00k SynOps."
    )
    assert on_front(RUNS) == [True, False, True]
    assert [steps_to(each.metrics) for each in RUNS] == [7, None, 7]
    outline = Outline(render_comparison(RUNS))
    assert outline.tags.count("tr") == 1 + len(RUNS)
    assert [value for name, value in outline.attributes if name == "href"] == [f"{n}/report.html" for n in "abc"]
    for said in ("3 runs compared", "neuron", "percentile", "89.50", "400.00k", "steps to 99 %", "best"):
        assert said in outline.text, said
    values = re.findall(r'<text class="value"[^>]*>(.*?)</text>', render_comparison(RUNS).decode())
    assert "a: 89.50 % at T = 4, 7 steps" in values
    assert "a: 89.50 % at T = 4, 400.00k SynOps" in values


def test_a_run_that_another_beats_after_fewer_steps_is_not_the_best() -> None:
    long = run("long", [0.9, 0.91], [1e5, 9e5])
    short = run("short", [0.89], [2e5])  # beaten by the first row of the other, and by none of the last ones
    assert on_front([long, short]) == [True, False]
    assert on_front([short, long]) == [False, True]
    assert on_front([long, long]) == [True, True]
    assert on_front([run("none", [], []), short]) == [False, True]


def test_accuracy_and_agreement_are_not_mixed() -> None:
    """A run without labels agrees with its ANN in all samples, and is not the most accurate for that."""
    lone = run("lone", [0.0], [1e5])
    lone.metrics["steps"][0].update({"accuracy": None, "agreement": 1.0})
    mixed = [*RUNS, lone]
    for each in RUNS:
        assert all(row["accuracy"] is not None for row in each.metrics["steps"])
    assert verdict(mixed).startswith("Most true to its ANN: lone, 100.00\N{NO-BREAK SPACE}%")
    text = Outline(render_comparison(mixed)).text
    assert "all are compared by their agreement with the ANN" in text
    assert "Agreement with the ANN against time steps" in text


def test_options_that_are_the_same_have_no_column() -> None:
    text = Outline(render_comparison([run("a", [0.5], [1.0], neuron="if"), run("b", [0.5], [1.0], neuron="if")])).text
    assert "neuron" not in text
    assert "model" not in text.partition("Runs")[2].partition("best:")[0]


def test_options_that_have_no_column_are_told() -> None:
    many = [run(name, [0.5], [1.0], **{f"o{k}": name for k in range(9)}) for name in "ab"]
    assert "The runs differ in 9 options; the table has the first 6 of them." in Outline(render_comparison(many)).text


def test_what_cannot_be_compared_is_said() -> None:
    other = Run("d", None, {"ann": {"accuracy": None}, "steps": []}, {}, "other")
    text = Outline(render_comparison([*RUNS, other])).text
    assert "Not all runs were evaluated on the same samples" in text
    assert "The ANNs are not all the same" in text
    assert verdict([other]) == "No run has an accuracy or an agreement to compare."
    unlabelled = run("e", [0.5], [1.0])
    unlabelled.metrics["steps"][0]["accuracy"] = None  # type: ignore[index]
    assert "Some runs have labels" in Outline(render_comparison([*RUNS, unlabelled])).text
    assert "Most true to its ANN" in verdict([unlabelled])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless(text: str) -> None:
    hostile = [Run(text, text, each.metrics, {"model": text, "convert.x": text + each.name}, text) for each in RUNS]
    page = render_comparison(hostile)
    outline = Outline(page)
    assert outline.tags.count("script") == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", re.sub(r' href="[^"]*"', "", page.decode()))
    assert not [name for name, _ in outline.attributes if name.startswith("on")]


@pytest.mark.parametrize("value", ["<script>", [], {}])
def test_metrics_that_are_no_numbers_are_refused(value: Any) -> None:
    broken = run("a", [0.5], [1.0])
    broken.metrics["steps"][0]["accuracy"] = value  # type: ignore[index]
    with pytest.raises(OutputError, match=r"E403.*expected a number"):
        render_comparison([broken])


def test_only_the_script_that_sorts_may_run() -> None:
    page = render_comparison(RUNS).decode()
    script = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    assert len(script) == 1
    assert f'content="{policy}"' in page.replace("&#39;", "'")
    for forbidden in ("http://", "https://", "src=", "url(", "@import", "<link", "<iframe"):
        assert forbidden not in page


def test_more_runs_than_colours_are_dashed() -> None:
    page = render_comparison([run(f"r{k}", [0.5, 0.6], [1.0, 2.0]) for k in range(30)]).decode()
    assert "--run7" in page
    assert "--run8" not in page
    assert ".curve .line.run9{stroke:var(--run1);stroke-dasharray:7 4}" in page
    assert render_comparison(RUNS) == render_comparison(RUNS)
