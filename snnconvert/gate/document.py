"""The result of a check for programs (``snnconvert/check/1``) and, in plain text, for people."""

import textwrap
from collections.abc import Sequence
from typing import Any

from snnconvert.gate.difference import Verdict
from snnconvert.gate.verdict import Judgement
from snnconvert.report.text import printable

SOURCES = {
    "run": "run just now",
    "converted": "converted and run just now",
    "stored": "stored predictions, nothing was run",
}
MOST = 400  # characters of a line
INDENT = 6 * " "  # of a line that goes on


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """Return the worst verdict."""
    return max(judgement.verdict for judgement in judgements)


def as_document(judgements: Sequence[Judgement], baseline: str, strict: bool) -> dict[str, Any]:
    """Return the ``snnconvert/check/1`` document."""
    return {
        "schema": "snnconvert/check/1",
        "verdict": overall(judgements).name,
        "strict": strict,
        "baseline": baseline,
        "models": [
            {"name": judgement.name, "target": judgement.target, "source": judgement.source, **judged(judgement)}
            for judgement in judgements
        ],
    }


def judged(judgement: Judgement) -> dict[str, Any]:
    """Return what was found out of a network: nothing in it tells where its files are."""
    return {
        "verdict": judgement.verdict.name,
        "samples": judgement.samples,
        "labelled": judgement.labelled,
        "paired": judgement.paired,
        "left_out": judgement.left_out,
        "missing": judgement.missing,
        "changed": list(judgement.changed),
        "findings": [
            {
                "rail": finding.rail,
                "t": finding.t,
                "verdict": finding.verdict.name,
                "message": finding.told,
                **finding.numbers,
            }
            for finding in judgement.findings
        ],
    }


def as_text(judgements: Sequence[Judgement], strict: bool, columns: int | None = None) -> str:
    """Return a paragraph for each network; the last line begins with the verdict. Lines are broken at ``columns``."""
    lines = []
    for judgement in judgements:
        lines.append(f"{judgement.name}: {printable(judgement.target, MOST)}, {about(judgement)}")
        width = max(len(finding.verdict.name) for finding in judgement.findings)
        lines += [
            f"  {finding.verdict.name:<{width}}  {finding.title}: {printable(finding.told, MOST)}"
            for finding in judgement.findings
        ]
        lines += [f"  {note}" for note in notes(judgement)]
    lines.append(last_line(overall(judgements), strict))
    if columns is not None:
        wrapper = textwrap.TextWrapper(
            columns, subsequent_indent=INDENT, break_on_hyphens=False, break_long_words=False
        )
        lines = [part for line in lines for part in wrapper.wrap(line)]
    return "\n".join(lines)


def about(judgement: Judgement) -> str:
    """Tell on what the judgement stands."""
    labels = "" if judgement.labelled else ", no labels: agreement with the ANN stands in for accuracy"
    if not judgement.has_classes:
        labels = ", outputs that are no classes: nothing but rails"
    return f"{judgement.samples:,} samples, {SOURCES[judgement.source]}{labels}"


def notes(judgement: Judgement) -> list[str]:
    """Tell what a reader of the verdict should know."""
    told = []
    if not judgement.paired and judgement.has_classes:
        told.append(
            "the baseline's predictions are missing: its counts are compared, which sees less than sample by sample"
        )
    if judgement.missing:
        told.append(f"{judgement.missing:,} samples of the baseline are missing: the others are compared")
    if judgement.left_out:
        told.append(f"{judgement.left_out:,} samples of the data are none of the baseline's, and were left out")
    if judgement.changed:
        told.append(f"changed since the baseline: {printable(', '.join(judgement.changed), MOST)}")
    return told


def last_line(verdict: Verdict, strict: bool) -> str:
    """Return the verdict, and what an inconclusive one means for the exit status."""
    if verdict is not Verdict.INCONCLUSIVE:
        return verdict.name
    means = "with --strict that is a failure" if strict else "no failure; with --strict it would be"
    return f"{verdict.name}: these samples cannot tell; {means}"
