"""The result of a check as JUnit XML, which GitLab, Jenkins and others show: one test case a network and rail."""

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from snnconvert.errors import SnnError
from snnconvert.gate.difference import Verdict
from snnconvert.gate.document import MOST, about, notes
from snnconvert.gate.verdict import Judgement
from snnconvert.report.text import printable


def as_junit(judgements: Sequence[Judgement], strict: bool) -> bytes:
    """Return the file; an inconclusive case counts as skipped, with ``strict`` as failed."""
    findings = [finding for judgement in judgements for finding in judgement.findings]
    undecided = sum(finding.verdict is Verdict.INCONCLUSIVE for finding in findings)
    failed = sum(finding.verdict is Verdict.FAIL for finding in findings) + strict * undecided
    counts = {
        "tests": str(len(findings)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(0 if strict else undecided),
    }
    root, suite = _suite(counts)
    for judgement in judgements:
        for finding in judgement.findings:
            told = _text(finding.told)
            case = ET.SubElement(suite, "testcase", {"classname": judgement.name, "name": finding.title})
            if finding.verdict is Verdict.FAIL or (strict and finding.verdict is Verdict.INCONCLUSIVE):
                ET.SubElement(case, "failure", {"message": told, "type": finding.verdict.name}).text = told
            elif finding.verdict is Verdict.INCONCLUSIVE:
                ET.SubElement(case, "skipped", {"message": told})
            lines = [told, f"{judgement.target}, {about(judgement)}", *notes(judgement)]
            ET.SubElement(case, "system-out").text = "\n".join(map(_text, lines))
    return _written(root)


def of_error(error: SnnError) -> bytes:
    """Return the file of a check that could not be made: one test case with an error."""
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
    root, suite = _suite(counts)
    case = ET.SubElement(suite, "testcase", {"classname": "snnconvert check", "name": "the check itself"})
    told = _text(error.message)
    ET.SubElement(case, "error", {"message": told, "type": error.code}).text = _text(f"{told}; {error.hint or ''}")
    return _written(root)


def _suite(counts: Mapping[str, str]) -> tuple[ET.Element, ET.Element]:
    """Return the root of a file, and the one suite in it."""
    root = ET.Element("testsuites", {"name": "snnconvert check", **counts})
    return root, ET.SubElement(root, "testsuite", {"name": "snnconvert check", **counts})


def _written(root: ET.Element) -> bytes:
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'.encode()


def _text(text: str) -> str:
    """Return one line of characters that XML can hold."""
    return re.sub("[\ufffe\uffff]", "\ufffd", printable(text, MOST))
