"""Reads ``snn-baseline.json`` and the predictions beside it, as a stranger's files.

Both are committed; the predictions lie in ``<name of the file>/MODEL-<digest>.npz``.
"""

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from snnconvert.errors import UsageError
from snnconvert.gate.predictions import MOST_BYTES, Predictions, read_npz
from snnconvert.gate.schema import SCHEMA, Baseline, Dataset, Entry, Part
from snnconvert.report.text import printable

MOST_JSON_BYTES = 2**24
MOST_NESTED = 32  # ours are nested 7 deep; copying and comparing options recurses

P = TypeVar("P", bound=Part)


def digest(content: bytes) -> str:
    """Return the sha256 of a file in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def limited(path: Path, most: int) -> bytes:
    """Return what a stranger's file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, or has more than ``most`` bytes.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise ValueError("is no file")
    if status.st_size > most:
        raise ValueError(f"has {status.st_size} bytes, expected at most {most}")
    with path.open("rb") as file:
        return file.read(most)


def read_baseline(path: Path) -> tuple[Baseline, bytes]:
    """Read and check a baseline; return it and its bytes.

    Raises:
        UsageError: no such file (E001); it is no baseline of ours, or too large (E303).
    """
    try:
        content = limited(path, MOST_JSON_BYTES)
    except (OSError, ValueError) as problem:
        hint = "snnconvert check BUNDLE --baseline FILE --update --reason TEXT writes one"
        raise UsageError("E001", f"{_shown(path)}: {_reason(problem)}", hint) from None
    try:
        document = json.loads(content, object_pairs_hook=_each_key_once, parse_constant=_no_number)
    except RecursionError:
        raise _refusal(path, "is nested too deep") from None
    except ValueError as problem:
        raise _refusal(path, f"is no JSON document ({problem})") from None
    if not _shallow(document):
        raise _refusal(path, "is nested too deep")
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise _refusal(path, f"got schema {printable(json.dumps(schema))}, expected '{SCHEMA}'")
    return validated(Baseline, document, _shown(path)), content


def validated(kind: type[P], document: Mapping[str, Any], where: str, code: str = "E303") -> P:
    """Check a part of a baseline.

    Raises:
        UsageError: an unknown key, a wrong type or value, told with its dotted path.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as problem:
        first = problem.errors()[0]
        path = ".".join(map(str, first["loc"]))
        unknown = first["type"] == "extra_forbidden"
        message = "unknown key" if unknown else first["msg"].removeprefix("Value error, ")
        got = "" if isinstance(first["input"], dict | list) or unknown else f", got {str(first['input'])[:80]!r}"
        told = f"{where}: {path}: {message}{got}" if path else f"{where}: {message}"
        raise UsageError(code, printable(told, 500), "snnconvert schema baseline prints what may stand there") from None


def read_predictions(path: Path, entry: Entry) -> Predictions | None:
    """Return the predictions of an entry of the baseline at ``path``; None where there are none.

    Raises:
        UsageError: they are not those that the baseline names, or do not give its steps and counts (E303).
    """
    if entry.predictions is None:
        return None
    file, sha256 = path.parent / entry.predictions.path, entry.predictions.sha256
    try:
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise _refusal(file, f"leads out of the folder of {path.name}")
        content = limited(file, MOST_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, ValueError) as problem:  # RuntimeError: links in a circle
        raise _refusal(file, _reason(problem)) from None
    if digest(content) != sha256:
        raise _refusal(file, f"got sha256 {digest(content)[:16]}…, expected {sha256[:16]}… by {path.name}")
    try:
        found = read_npz(content)
    except ValueError as problem:
        raise _refusal(file, f"is no file of predictions: {problem}") from None
    if found.steps != (steps := tuple(row.t for row in entry.steps)):
        raise _refusal(file, f"got T = {_listed(found.steps)}, expected {_listed(steps)} by {path.name}")
    if (
        dataset_of(found) != entry.dataset
        or any((row.correct, row.agreed) != counts(found, row.t) for row in entry.steps)
        or entry.ann_correct != ann_right(found)
    ):
        raise _refusal(file, f"does not give the counts that {path.name} holds")
    return found


def dataset_of(predictions: Predictions) -> Dataset:
    """Return what a baseline says of the samples."""
    return Dataset(samples=len(predictions), labelled=predictions.labelled, sha256=predictions.digest)


def counts(predictions: Predictions, t: int) -> tuple[int | None, int | None]:
    """Return how many answers at ``t`` are right, and how many are the ANN's; None where that is not known."""
    answers = predictions.at(t)
    right = int((answers == predictions.label).sum()) if predictions.labelled else None
    known = bool((predictions.ann >= 0).all())
    return right, int((answers == predictions.ann).sum()) if known else None


def ann_right(predictions: Predictions) -> int | None:
    """Return how many of the ANN's answers are right; None where that is not known."""
    known = predictions.labelled and bool((predictions.ann >= 0).all())
    return int((predictions.ann == predictions.label).sum()) if known else None


def _shallow(document: Any) -> bool:
    """Tell whether nothing in a document is nested deeper than :data:`MOST_NESTED`."""
    level = [document]
    for _ in range(MOST_NESTED):
        level = [
            each
            for part in level
            if isinstance(part, dict | list)
            for each in (part.values() if isinstance(part, dict) else part)
        ]
    return not level


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _listed(steps: Sequence[int]) -> str:
    return printable(", ".join(map(str, steps)), 80)


def _reason(problem: Exception) -> str:
    return f"cannot be read ({problem.strerror})" if isinstance(problem, OSError) else str(problem)


def _shown(path: Path) -> str:
    return printable(str(path), 400)


def _refusal(path: Path, what: str) -> UsageError:
    hint = "take the file from git again, or write a new one: --update --reason TEXT"
    return UsageError("E303", f"{_shown(path)}: {printable(what, 300)}", hint)
