"""The result of a check as Markdown, for a comment or GitHub's summary of a job."""

import re
from collections.abc import Sequence

from snnconvert.errors import SnnError
from snnconvert.gate.difference import Verdict
from snnconvert.gate.document import MOST, about, last_line, notes, overall
from snnconvert.gate.verdict import Judgement
from snnconvert.report.text import printable

SIGNS = {Verdict.PASS: "✅", Verdict.INCONCLUSIVE: "❔", Verdict.FAIL: "❌"}


def as_markdown(judgements: Sequence[Judgement], strict: bool) -> str:
    """Return a table with a row for each network and rail."""
    worst = overall(judgements)
    lines = [f"### snnconvert check: {SIGNS[worst]} {last_line(worst, strict)}", ""]
    lines += ["| network | checked | verdict | |", "|---|---|---|---|"]
    for judgement in judgements:
        for finding in judgement.findings:
            verdict = f"{SIGNS[finding.verdict]} {finding.verdict.name}"
            lines.append(f"| {_plain(judgement.name)} | {_plain(finding.title)} | {verdict} | {_plain(finding.told)} |")
    lines.append("")
    for judgement in judgements:
        told = "; ".join(map(_plain, [f"{judgement.target}, {about(judgement)}", *notes(judgement)]))
        lines.append(f"- {_plain(judgement.name)}: {told}")
    return "\n".join(lines) + "\n"


def of_error(error: SnnError) -> str:
    """Return the page of a check that could not be made."""
    hint = f" ({_plain(error.hint)})" if error.hint else ""
    return f"### snnconvert check: ❌ ERROR {error.code}\n\n{_plain(error.message)}{hint}\n"


def _plain(text: str) -> str:
    """Return text that means nothing but itself in a cell of a table.

    What GitHub looks for after the Markdown, as people to mention and links, is broken by a comment that nobody sees.
    """
    escaped = re.sub(r"([\\`*_{}\[\]<>|~&!$])", r"\\\1", printable(text, MOST))
    return re.sub(r"[@#]|:(?=//)|www(?=\.)", r"\g<0><!-- -->", escaped)
