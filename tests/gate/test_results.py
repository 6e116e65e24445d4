"""The result of a check for programs and people: JSON, text, JUnit, Markdown, GitHub."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from snnconvert.gate import github
from snnconvert.gate.difference import Verdict
from snnconvert.gate.document import as_document, as_text, overall
from snnconvert.gate.junit import as_junit
from snnconvert.gate.markdown import as_markdown
from snnconvert.gate.rails import Finding
from snnconvert.gate.verdict import Judgement

NASTY = "net|<b>`x`\n::error::\x1b[31m\ufffe\u202e%"


@pytest.fixture
def judged() -> Callable[..., list[Judgement]]:
    """One network for each list of verdicts."""

    def make(*verdicts: list[Verdict], target: str = "net_snn", **fields: Any) -> list[Judgement]:
        found = []
        for index, each in enumerate(verdicts):
            findings = tuple(Finding(f"rail{at}", 8, verdict, "90.00 % -> 80.00 %") for at, verdict in enumerate(each))
            options = {"source": "run", "samples": 1000, "labelled": True, "paired": True, "changed": (), **fields}
            found.append(Judgement(f"net{index}", target, findings=findings, **options))
        return found

    return make


P, I, F = Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL  # noqa: E741


def parsed(content: bytes) -> ET.Element:
    return ET.fromstring(content)  # noqa: S314 - our own


def test_the_worst_of_all_findings_is_the_verdict(judged: Callable) -> None:
    assert overall(judged([P], [P, P])) is P
    assert overall(judged([P], [I, P])) is I
    assert overall(judged([F], [I, P])) is F


def test_document_is_json_with_every_finding(judged: Callable) -> None:
    found = as_document(judged([P, F], [I]), "b.json", strict=True)
    assert json.loads(json.dumps(found)) == found
    assert (found["schema"], found["verdict"], found["strict"]) == ("snnconvert/check/1", "FAIL", True)
    assert [[each["verdict"] for each in model["findings"]] for model in found["models"]] == [
        ["PASS", "FAIL"],
        ["INCONCLUSIVE"],
    ]


@pytest.mark.parametrize(
    ("verdict", "strict", "last"),
    [
        (P, False, "PASS"),
        (F, True, "FAIL"),
        (I, False, "INCONCLUSIVE: these samples cannot tell; no failure; with --strict it would be"),
        (I, True, "INCONCLUSIVE: these samples cannot tell; with --strict that is a failure"),
    ],
)
def test_last_line_of_the_text_is_the_verdict(judged: Callable, verdict: Verdict, strict: bool, last: str) -> None:
    assert as_text(judged([P], [verdict]), strict).splitlines()[-1] == last


def test_text_says_what_it_stands_on(judged: Callable) -> None:
    text = as_text(
        judged([P], source="stored", paired=False, labelled=False, changed=("the model file",)), strict=False
    )
    assert "stored predictions, nothing was run" in text
    assert "agreement with the ANN stands in" in text
    assert "the baseline's predictions are missing" in text
    assert "changed since the baseline: the model file" in text


@pytest.mark.parametrize("strict", [False, True])
def test_junit_has_a_case_for_each_network_and_rail(judged: Callable, strict: bool) -> None:
    root = parsed(as_junit(judged([P, F], [I]), strict))
    (suite,) = root
    assert [(case.get("classname"), case.get("name")) for case in suite] == [
        ("net0", "rail0 at T = 8"),
        ("net0", "rail1 at T = 8"),
        ("net1", "rail0 at T = 8"),
    ]
    kinds = [[child.tag for child in case if child.tag != "system-out"] for case in suite]
    assert kinds == [[], ["failure"], ["failure" if strict else "skipped"]]
    for each in (root, suite):
        counts = [each.get(name) for name in ("tests", "failures", "skipped", "errors")]
        assert counts == (["3", "2", "0", "0"] if strict else ["3", "1", "1", "0"])


def test_text_of_a_stranger_stays_text(judged: Callable, tmp_path: Path) -> None:
    found = judged([F], target=NASTY, changed=(NASTY,))
    assert parsed(as_junit(found, False)).get("failures") == "1"
    assert "\x1b" not in as_text(found, False)
    assert not any(line.startswith("::") for line in as_text(found, False).splitlines())
    markdown = as_markdown(found, False)
    assert "<b>" not in markdown.replace("\\<b\\>", "")
    assert not any(line.startswith("::") for line in markdown.splitlines())


def test_markdown_is_one_table_with_a_row_for_each_finding(judged: Callable) -> None:
    lines = as_markdown(judged([P, F], [I]), False).splitlines()
    assert lines[0] == "### snnconvert check: ❌ FAIL"
    rows = [line for line in lines if line.startswith("| net") and "verdict" not in line]
    assert len(rows) == 3
    assert rows[1] == "| net0 | rail1 at T = 8 | ❌ FAIL | 90.00 % -\\> 80.00 % |"


def test_summary_is_appended_and_never_longer_than_github_takes(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    github.append_summary(path, "after\n")
    assert path.read_text() == "before\nafter\n"
    path.write_bytes(b"x" * 2**20)
    with pytest.raises(OSError, match="longer than 1 MiB"):
        github.append_summary(path, "more")
    assert path.stat().st_size == 2**20


def test_at_most_three_annotations_failures_first(judged: Callable, baseline_file: Path) -> None:
    assert github.annotations(judged([P, P]), baseline_file) == []
    found = github.annotations(judged([I, I, F], [F, I]), baseline_file)
    assert [line.split(" ")[0] for line in found] == ["::error", "::error", "::warning"]
    assert found[-1].endswith("(and 2 more)")
    assert not any("more" in line for line in found[:-1])


def test_annotations_lead_to_the_line_of_the_network_and_are_escaped(
    judged: Callable, baseline_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(baseline_file.parent)
    (line,) = github.annotations(
        [Judgement("net", "x", "run", 1, True, True, (), judged([F])[0].findings)], baseline_file
    )
    number = 1 + baseline_file.read_text().splitlines().index('   "name": "net",')
    place = f"::error file=snn-baseline.json,line={number},title=snnconvert check%3A net FAIL::"
    assert line == f"{place}rail0 at T = 8: 90.00 %25 -> 80.00 %25"
