"""The result of a check for programs and people: JSON, text, JUnit, Markdown, GitHub."""

import dataclasses
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from snnconvert.gate import github
from snnconvert.gate.difference import Verdict
from snnconvert.gate.document import as_document, as_text, overall
from snnconvert.gate.junit import as_junit
from snnconvert.gate.markdown import as_markdown
from snnconvert.gate.rails import Finding
from snnconvert.gate.verdict import Judgement
from snnconvert.report.text import printable

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


def test_text_fits_a_terminal_and_loses_no_word(judged: Callable) -> None:
    found = judged([P, F], [I], changed=("convert.percentile from 99.9 to 99.0", "the calibration samples"))
    plain, broken = as_text(found, False), as_text(found, False, 40)
    assert max(map(len, broken.splitlines())) <= 40 < max(map(len, plain.splitlines()))
    assert broken.split() == plain.split()


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(told=st.text() | st.text("|\\`\n<>*_~[]()!$#@&;: a1-"))
def test_any_text_comes_back_from_junit_and_markdown(judged: Callable, told: str) -> None:
    (judgement,) = judged([F], target=told)
    finding = dataclasses.replace(judgement.findings[0], told=told)
    found = [dataclasses.replace(judgement, findings=(finding,))]
    shown = printable(told, 400)
    failure = parsed(as_junit(found, False)).find(".//failure")
    assert failure is not None
    assert failure.get("message") == re.sub("[\ufffe\uffff]", "\ufffd", shown)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(as_markdown(found, False))
    cells = [after for token, after in pairwise(tokens) if token.type == "td_open"]
    assert [kind(cell) for cell in cells] == [{"text"}] * 4
    assert text_of(cells[3]) == shown.strip()
    (item,) = [after for token, after in pairwise(tokens) if token.type == "paragraph_open"]
    assert kind(item) == {"text"}
    assert text_of(item).startswith(f"net0: {shown}, 1,000 samples, run just now"[:60])


def kind(inline: Any) -> set[str]:
    """What an inline token is made of, comments apart."""
    return {each.type.replace("text_special", "text") for each in inline.children if each.content != "<!-- -->"} or {
        "text"
    }


def text_of(inline: Any) -> str:
    return "".join(each.content for each in inline.children if each.content != "<!-- -->")


def test_markdown_mentions_nobody_and_links_nowhere(judged: Callable) -> None:
    """A backslash does not keep GitHub from it."""
    markdown = as_markdown(judged([P], target="@octocat #1 http://x.org www.x.org"), False)
    assert "@<!-- -->octocat #<!-- -->1 http:<!-- -->//x.org www<!-- -->.x.org" in markdown


def test_markdown_tells_every_note_whole(judged: Callable) -> None:
    markdown = as_markdown(judged([P], missing=7, left_out=9, changed=("x" * 800,), target="t" * 800), False)
    assert "; 7 samples of the baseline are missing: the others are compared; 9 samples of the data" in markdown
    assert max(map(len, markdown.splitlines())) < 1500


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
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    (line,) = github.annotations(
        [Judgement("net", "x", "run", 1, True, True, (), judged([F])[0].findings)], baseline_file
    )
    number = 1 + baseline_file.read_text().splitlines().index('   "name": "net",')
    place = f"::error file=snn-baseline.json,line={number},title=snnconvert check%3A net FAIL::"
    assert line == f"{place}rail0 at T = 8: 90.00 %25 -> 80.00 %25"


def test_annotations_lead_to_the_file_from_where_the_repository_lies(
    judged: Callable, baseline_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(baseline_file.parent)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(baseline_file.parent.parent))
    (line,) = github.annotations(judged([F]), baseline_file)
    assert line.startswith(f"::error file={baseline_file.parent.name}/snn-baseline.json,line=1,")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(told=st.text() | st.text("%\r\n:,=250DA "), name=st.text("%:,=a\n", min_size=1))
def test_any_text_comes_back_from_an_annotation(judged: Callable, tmp_path: Path, told: str, name: str) -> None:
    (judgement,) = judged([F])
    finding = dataclasses.replace(judgement.findings[0], told=told)
    file = tmp_path / "b.json"
    file.write_text("{}")
    (line,) = github.annotations([dataclasses.replace(judgement, name=name, findings=(finding,))], file)
    assert len(line.splitlines()) == 1
    _, command, shown = line.split("::", 2)
    properties = dict(each.split("=", 1) for each in command.removeprefix("error ").split(","))
    assert unescaped(properties["title"]) == printable(f"snnconvert check: {name} FAIL", 400)
    assert unescaped(shown) == printable(f"{finding.title}: {told}", 400)


def unescaped(text: str) -> str:
    """What GitHub makes of it."""
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text
