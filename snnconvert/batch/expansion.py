"""From a batch file to its jobs: defaults, then the matrix, then the job's own options, then those of ``--set``.

What stands further down wins. An option that a job or ``--set`` fixes is not swept for it, and leaves its name.
"""

import hashlib
import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from snnconvert.batch.schema import BASELINE, BatchFile, BatchJob, Defaults, JobGate, Source
from snnconvert.config import PERSONAL, Job, absolute_paths, build_job, refusal, set_option, set_path
from snnconvert.errors import UsageError
from snnconvert.registry import did_you_mean
from snnconvert.yaml_document import yaml_text

MOST_JOBS = 10_000
NAME_LIMIT = 90  # characters; with the key and what staging adds it stays a name that every file system holds


@dataclass(frozen=True)
class Planned:
    """A job of the batch. ``name`` is unique; ``swept`` are its own values of the matrix, by dotted path.

    ``place`` is where the file names it; ``gate`` says what its bundle is compared with, if with anything.
    """

    name: str
    swept: Mapping[str, object]
    job: Job
    place: str
    gate: JobGate | None = None


def expand(source: Source, trust: bool = False) -> list[Planned]:
    """Return every job of the file, in its order, with paths made absolute.

    Raises:
        UsageError: an option that no job can have (E301); names that clash, or too many jobs (E302).
    """
    checked, places = source.checked, source.places
    _check_names(checked, places)
    _check_matrix(source)
    fixed = {each.partition("=")[0] for each in source.overrides}
    counts = [
        math.prod(len(values) for values in _axes(source, index, fixed).values()) for index in range(len(checked.jobs))
    ]
    if sum(counts) > MOST_JOBS:
        where = places.get("matrix", str(source.path))
        raise UsageError("E302", f"{where}: {sum(counts):,} jobs, more than {MOST_JOBS:,}", "sweep over fewer values")
    planned = [each for index in range(len(checked.jobs)) for each in _expanded(source, index, fixed, trust)]
    seen: dict[str, str] = {}
    for each in planned:
        if other := seen.get(each.name.lower()):
            raise UsageError(
                "E302",
                f"{each.place}: two jobs would be named '{each.name}' (the other is at {other})",
                "give one of them another name; values of the matrix must differ",
            )
        seen[each.name.lower()] = each.place
    if not planned:
        raise UsageError("E302", f"{places['matrix.exclude']}: exclude leaves no job")
    of_gates = sorted(path for path in fixed if path.startswith("gate."))
    if of_gates and not any(each.gate for each in planned):
        raise UsageError("E003", f"--set {of_gates[0]}: every job says that it has no gate", "take away gate: null")
    return planned


def select(planned: list[Planned], patterns: tuple[str, ...]) -> list[Planned]:
    """Return the jobs whose names fit one of the patterns, all where there is none.

    Raises:
        UsageError: a pattern fits none (E002).
    """
    for pattern in patterns:
        if not any(fnmatchcase(each.name, pattern) for each in planned):
            hint = did_you_mean(pattern, [each.name for each in planned][:40])
            raise UsageError("E002", f"--only: no job is named '{pattern[:80]}'", hint)
    return [each for each in planned if not patterns or any(fnmatchcase(each.name, one) for one in patterns)]


def _check_names(checked: BatchFile, places: Mapping[str, str]) -> None:
    seen: dict[str, int] = {}
    for index, job in enumerate(checked.jobs):
        if (first := seen.setdefault(job.name.lower(), index)) != index:
            raise UsageError(
                "E302",
                f"{places[f'jobs.{index}.name']}: '{job.name}' is the name of the job at "
                f"{places[f'jobs.{first}.name']}, too",
                "names differ by more than upper and lower case",
            )


def _check_matrix(source: Source) -> None:
    """Refuse axes that are no options, and exclusions that exclude nothing."""
    axes, places = source.checked.matrix.axes, source.places
    known = sorted(_leaves(Job))
    for path, choices in axes.items():
        where = places[f"matrix.{path}"]
        if path not in known and not re.fullmatch(r"neuron\.\w+|gate(\..*)?", path):
            raise UsageError("E301", f"{where}: matrix.{path}: unknown option", did_you_mean(path, known))
        if path in {*PERSONAL} - {"model", "calib.path", "eval.path"} or path.partition(".")[0] == "gate":
            raise UsageError("E301", f"{where}: matrix.{path}: changes no result, and cannot be swept")
        if len({told(value) for value in choices}) != len(choices):
            raise UsageError("E302", f"{where}: matrix.{path}: a value stands there twice")
    for index, excluded in enumerate(source.checked.matrix.exclude):
        for path, value in excluded.items():
            where = places[f"matrix.exclude.{index}.{path}"]
            if path not in axes:
                raise UsageError(
                    "E301", f"{where}: matrix.exclude: '{path}' is not swept over", did_you_mean(path, list(axes))
                )
            if value not in axes[path]:
                values = ", ".join(map(told, axes[path]))
                raise UsageError("E301", f"{where}: matrix.exclude: {path} is never {told(value)}", f"it is {values}")


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every option."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _axes(source: Source, index: int, fixed: set[str]) -> dict[str, list[Any]]:
    """Return what is swept over for a job: no option that the job or ``--set`` fixes."""
    if not source.checked.jobs[index].matrix:
        return {}
    own = source.document["jobs"][index]
    return {
        path: values
        for path, values in source.checked.matrix.axes.items()
        if path not in fixed and not _holds(own, path)
    }


def _holds(document: Any, path: str) -> bool:
    """Tell whether there is something at a dotted path."""
    first, _, rest = path.partition(".")
    return isinstance(document, dict) and first in document and (not rest or _holds(document[first], rest))


def _expanded(source: Source, index: int, fixed: set[str], trust: bool) -> Iterator[Planned]:
    axes = _axes(source, index, fixed)
    short = _short_names(axes)
    for positions in itertools.product(*(range(len(values)) for values in axes.values())):
        values = {path: axes[path][at] for path, at in zip(axes, positions, strict=True)}
        if any(_excludes(excluded, values) for excluded in source.checked.matrix.exclude):
            continue
        places = {path: source.places[f"matrix.{path}.{at}"] for path, at in zip(axes, positions, strict=True)}
        job, gate = _job(source, index, values, places, trust)
        settled = job.dotted()
        swept = {path: settled.get(path, value) for path, value in values.items()}
        parts = [f"{short[path]}={_slug(value)}" for path, value in swept.items()]
        name = _bounded("-".join([source.checked.jobs[index].name, *parts]))
        yield Planned(name, swept, job, source.places[f"jobs.{index}"], gate)


def _excludes(excluded: Mapping[str, object], values: Mapping[str, object]) -> bool:
    return all(path in values and values[path] == value for path, value in excluded.items())


def _job(
    source: Source, index: int, swept: Mapping[str, Any], places: dict[str, str], trust: bool
) -> tuple[Job, JobGate | None]:
    """Compose one job and its gate; every option keeps the place where it was given."""
    own = source.document["jobs"][index]
    document: dict[str, Any] = {}
    known: dict[str, str] = {}
    _lay_over(document, known, source.document.get("defaults", {}), source.places, "defaults.")
    for path, value in swept.items():
        set_path(document, known, path, value)
        known[path] = places[path]
    sections = BatchJob.model_fields.keys() - Defaults.model_fields
    mine = {key: value for key, value in own.items() if key not in sections}
    _lay_over(document, known, mine, source.places, f"jobs.{index}.")
    _make_absolute(document, source.path.parent)
    for assignment in source.overrides:
        path = assignment.partition("=")[0]
        if path.startswith("gate.") and document.get("gate", {}) is None:
            continue  # gate: null is a decision, which a part of a gate does not change
        set_option(document, known, assignment)
        known[path] = "--set"
    _make_absolute(document, Path())
    if trust:
        document["trust_model"] = True
    place, gate = source.places[f"jobs.{index}"], document.pop("gate", None)
    return build_job(document, place, known), _gate(gate, source, place, known)


def _make_absolute(document: dict[str, Any], base: Path) -> None:
    absolute_paths(document, base)
    gate = document.get("gate")
    if isinstance(gate, dict) and isinstance(gate.get("baseline"), str) and gate["baseline"]:
        gate["baseline"] = os.path.abspath(base / gate["baseline"])  # noqa: PTH100 - resolve() would follow links


def _gate(document: Any, source: Source, where: str, known: Mapping[str, str]) -> JobGate | None:
    try:
        gate = Defaults.model_validate({"gate": document}).gate
    except ValidationError as problem:
        raise refusal(problem, Defaults, where, known) from None
    if gate is None or gate.baseline is not None:
        return gate
    return gate.model_copy(update={"baseline": os.path.abspath(source.path.parent / BASELINE)})  # noqa: PTH100 - so too


def _lay_over(
    document: dict[str, Any], known: dict[str, str], over: Mapping[str, Any], places: Mapping[str, str], prefix: str
) -> None:
    """Put options over others, section by section; a whole mapping of preprocessing replaces another."""

    def lay(below: dict[str, Any], above: Mapping[str, Any], parents: str) -> None:
        for key, value in above.items():
            path = f"{parents}{key}"
            if isinstance(value, dict) and isinstance(below.get(key), dict) and path != "preprocess":
                lay(below[key], value, f"{path}.")
            else:
                below[key] = _copied(value)
            if f"{prefix}{path}" in places:
                known[path] = places[f"{prefix}{path}"]

    lay(document, over, "")


def _copied(value: Any) -> Any:
    return {key: _copied(each) for key, each in value.items()} if isinstance(value, dict) else value


def _short_names(axes: Mapping[str, object]) -> dict[str, str]:
    """Return the last word of each path, or all of it where another path ends alike."""
    ends = [path.rpartition(".")[2] for path in axes]
    return {path: end if ends.count(end) == 1 else path for path, end in zip(axes, ends, strict=True)}


def told(value: object) -> str:
    """Return a value of an option in short, as YAML writes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(told, value))
    return value if isinstance(value, str) else yaml_text(value)


def _slug(value: object) -> str:
    """Return a value as a part of a name; a long or strange one by its beginning and a digest."""
    text = told(value)
    plain = re.sub(r"[^A-Za-z0-9.,+_-]+", "_", text.rpartition("/")[2])
    if plain == text and len(plain) <= 24:
        return plain
    return f"{plain[:16]}~{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _bounded(name: str) -> str:
    if len(name) <= NAME_LIMIT:
        return name
    return f"{name[: NAME_LIMIT - 9]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
