"""What is refused is refused with a hint, wherever that happens."""

import ast
from pathlib import Path

import pytest

import snnconvert
from snnconvert.errors import HINTS, DataError, ModelError, first_line
from snnconvert.load.constants import Lost
from snnconvert.operators import Unsupported
from snnconvert.operators.onnx_node import TooLarge

PACKAGE = Path(snnconvert.__file__).parent
RAISED = [
    (path.relative_to(PACKAGE), call)
    for path in sorted(PACKAGE.rglob("*.py"))
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "ModelError"
]


@pytest.mark.parametrize("text", ["", "\n", "\nsecond"])
def test_an_exception_without_a_first_line_tells_its_type(text: str) -> None:
    assert first_line(MemoryError(text)) == "MemoryError"
    assert first_line(ValueError("one\ntwo"), 2) == "on"


def test_the_same_error_tells_where() -> None:
    error = DataError("E203", "broken", "mend it").at("x.npy")
    assert (type(error), error.document["message"]) == (DataError, "x.npy: broken")
    assert (error.code, error.hint) == ("E203", "mend it")


def test_refusal_without_a_hint_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="hint"):
        ModelError("E120", "a reason")  # type: ignore[call-arg]


def test_no_refusal_has_an_empty_hint() -> None:
    """mypy finds what is None or left out; this finds what is written so that it does not look."""
    assert len(RAISED) > 50
    for path, call in RAISED:
        hint = call.args[2] if len(call.args) > 2 else next((each.value for each in call.keywords), None)
        told = not isinstance(hint, ast.Constant) or (isinstance(hint.value, str) and len(hint.value) > 10)
        assert hint is not None, f"{path}:{call.lineno}"
        assert told, f"{path}:{call.lineno}"


@pytest.mark.parametrize("kind", [Unsupported, TooLarge, Lost])
def test_node_that_is_refused_always_has_a_hint(kind: type[Unsupported]) -> None:
    assert kind("a reason").hint


def test_refusal_of_data_has_the_hint_of_its_code_or_its_own() -> None:
    assert {*HINTS} == {"E201", "E202", "E203", "E204"}
    assert DataError("E203", "x").hint == HINTS["E203"]
    assert DataError("E203", "x", "do this").hint == "do this"
