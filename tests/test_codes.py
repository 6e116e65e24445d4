"""Every code that is raised is explained, and none that is not."""

import importlib
import re
from pathlib import Path

import pytest

import snnconvert
from snnconvert import errors
from snnconvert.codes import CODES

PACKAGE = Path(snnconvert.__file__).parent
RAISED = {
    code
    for path in PACKAGE.rglob("*.py")
    if path.name != "codes.py"
    for code in re.findall(r"\b[EW]\d{3}\b(?=\"|: )", path.read_text(encoding="utf-8"))
}


def test_codes_are_those_that_are_raised() -> None:
    assert set(CODES) == RAISED
    assert list(CODES) == sorted(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_told_in_words(code: str) -> None:
    found = CODES[code]
    assert len(found.title) <= 60
    assert found.title[0].islower() or found.title.split()[0] in ("NIR", "TorchScript")
    assert not found.title.endswith(".")
    for text in (found.meaning, found.advice):
        assert text.endswith((".", "?")) or "--" in text.rsplit(" ", 2)[-2]
        assert "  " not in text


def test_advice_names_files_that_are_there() -> None:
    named = {name for each in CODES.values() for name in re.findall(r"docs/\w+\.md", each.meaning + each.advice)}
    assert named
    assert all((PACKAGE.parent / name).is_file() for name in named)


def test_first_digits_tell_the_kind() -> None:
    kinds = {"0": errors.UsageError, "1": errors.ModelError, "2": errors.DataError, "3": errors.UsageError}
    kinds |= {"4": errors.OutputError, "5": errors.LimitError, "9": errors.InternalError}
    said = importlib.import_module("snnconvert.codes").__doc__
    for digit, kind in kinds.items():
        assert any(code.startswith(f"E{digit}") for code in CODES)
        assert f"({kind.exit_status})" in said
