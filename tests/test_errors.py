"""Every refusal of a model or of data says what to do."""

import ast
import copy
from pathlib import Path

import pytest

import snnconvert
from snnconvert.errors import HINTS, DataError, ModelError

PACKAGE = Path(snnconvert.__file__).parent
REFUSALS = {"ModelError", "DataError"}


def refusals() -> list[tuple[str, int, str, bool]]:
    """Return file, line and code of every refusal that the package writes out, and whether it has its own hint."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSALS:
                code = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
                found.append((path.name, node.lineno, str(code), len(node.args) + len(node.keywords) > 2))
    return found


def test_every_refusal_of_a_model_or_of_data_has_a_hint() -> None:
    found = refusals()
    assert len(found) > 100
    assert [where for *where, own in found if not own and where[2] and where[2] not in HINTS] == []


@pytest.mark.parametrize("kind", [ModelError, DataError])
def test_own_hint_goes_before_that_of_the_code(kind: type[ModelError | DataError]) -> None:
    assert kind("E116", "x").hint == HINTS["E116"]
    assert kind("E116", "x", "do this").hint == "do this"
    assert copy.copy(kind("E116", "x")).hint == HINTS["E116"]
