"""What GitHub Actions shows of a check: the summary of the job, and annotations in the diff."""

import os
from collections.abc import Sequence
from pathlib import Path

from snnconvert.errors import SnnError
from snnconvert.gate.difference import Verdict
from snnconvert.gate.verdict import Judgement
from snnconvert.report.text import printable

MOST_ANNOTATIONS = 3  # of the ten that GitHub shows of a step: the check is not the only one that has something to say
MOST_SUMMARY_BYTES = 2**20


def append_summary(path: Path, markdown: str) -> None:
    """Add Markdown to the summary of the job.

    Raises:
        OSError: it cannot be written, or would be longer than GitHub takes.
    """
    content = markdown.encode()
    with path.open("ab") as file:
        if file.tell() + len(content) > MOST_SUMMARY_BYTES:
            raise OSError(0, "it would be longer than 1 MiB")
        file.write(content)


def annotations(judgements: Sequence[Judgement], baseline: Path) -> list[str]:
    """Return at most three workflow commands: what failed first, then what is not decided."""
    found = [
        (finding.verdict, judgement.name, f"{finding.title}: {finding.told}")
        for judgement in judgements
        for finding in judgement.findings
        if finding.verdict is not Verdict.PASS
    ]
    found.sort(key=lambda each: -each[0])
    lines = _lines(baseline)
    file = os.path.relpath(baseline, os.environ.get("GITHUB_WORKSPACE") or None)  # GitHub takes it from there
    commands: list[str] = []
    for verdict, name, told in found[:MOST_ANNOTATIONS]:
        left = len(found) - MOST_ANNOTATIONS
        more = f" (and {left} more)" if left > 0 and len(commands) == MOST_ANNOTATIONS - 1 else ""
        kind = "error" if verdict is Verdict.FAIL else "warning"
        place = f"file={_property(file)},line={lines.get(name, 1)}"
        title = _property(f"snnconvert check: {name} {verdict.name}")
        commands.append(f"::{kind} {place},title={title}::{_data(told + more)}")
    return commands


def of_error(error: SnnError) -> str:
    """Return the workflow command of a check that could not be made."""
    return f"::error title={_property(f'snnconvert check: {error.code}')}::{_data(error.message)}"


def _lines(baseline: Path) -> dict[str, int]:
    """Return where in the file each model is named."""
    text = baseline.read_text(encoding="utf-8", errors="replace").splitlines()
    return {
        line.split('"')[3]: number
        for number, line in enumerate(text, start=1)
        if line.strip().startswith('"name": "') and line.count('"') == 4
    }


def _data(text: str) -> str:
    return printable(text, 400).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
