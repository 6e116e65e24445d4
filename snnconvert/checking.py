"""Measures what is to be compared with a baseline: a bundle, as it says or as it runs, or a model that is converted."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnconvert.config import PERSONAL, Job, absolute_paths, build_job, set_path
from snnconvert.errors import UsageError
from snnconvert.gate.baseline import read_predictions, validated
from snnconvert.gate.measurement import Measurement, model_of, rows_of, run_measurement, stored_measurement
from snnconvert.gate.predictions import read_npz
from snnconvert.gate.schema import Baseline, Entry, Gate, Model, Rails
from snnconvert.gate.verdict import Judgement, judge, require_samples
from snnconvert.progress import Progress, counted
from snnconvert.registry import did_you_mean
from snnconvert.report.manifest import verify_bundle
from snnconvert.yaml_document import parse_yaml, read_document


@dataclass(frozen=True)
class Request:
    """What a user says about the networks to check: samples, and the name in the baseline of a single one.

    ``anew`` where a new baseline is made of them: then they are run at their own steps. ``partial``: some of the
    baseline's samples may be missing.
    """

    baseline: Path
    data: str | None = None
    calib: str | None = None
    name: str | None = None
    trust_model: bool = False
    anew: bool = False
    partial: bool = False


def measured(target: Path, baseline: Baseline | None, request: Request, progress: Progress) -> tuple[str, Measurement]:
    """Return the name of a network in the baseline, and what it does.

    Raises:
        UsageError: the baseline has no network of that name (E303).
        SnnError: what converting and evaluating raise.
    """
    where = str(request.baseline)
    if not target.is_dir():
        name = request.name or target.stem
        if baseline is None:
            raise UsageError(
                "E003", f"{target}: {where} does not say how to convert it", "convert it, check the bundle"
            )
        return name, _converted(target, baseline.entry(name, where), request, progress)
    verify_bundle(target)
    name = request.name or Path(model_of(target).file).stem
    entry = None if baseline is None or request.anew else baseline.entry(name, where)
    if request.data is None:
        return name, stored(target)
    options, reached = _options_of(target), counted(progress, "check")
    if entry is None:
        return name, run_measurement(target, options, request.data, reached, progress.warn)
    before = read_predictions(request.baseline, entry)
    steps, wanted = [row.t for row in entry.steps], None if before is None else frozenset(before.ids)
    return name, run_measurement(target, options, request.data, reached, progress.warn, steps, wanted)


def _converted(target: Path, entry: Entry, request: Request, progress: Progress) -> Measurement:
    """Convert a model as the baseline says, and return what it does; nothing is written."""
    from snnconvert import pipeline  # late: a bundle whose predictions are stored does without torch
    from snnconvert.report.documents import predictions

    document = copy.deepcopy(entry.options)
    paths = {"model": str(target), "calib.path": request.calib, "eval.path": request.data}
    for path, value in {**paths, "trust_model": request.trust_model}.items():
        set_path(document, {}, path, value)
    absolute_paths(document, Path())
    job = build_job(document, f"{request.baseline}: {entry.name}.options")
    if not request.anew:
        _require_samples(job, entry, target, request)
    conversion, outcomes = pipeline.measure(job, progress)
    found = read_npz(predictions(outcomes, conversion.evaluation))
    model = Model(file=conversion.loaded.path.name, sha256=conversion.loaded.sha256)
    rows, calibration = rows_of(found, conversion.metrics), conversion.contents["calibration"]
    return Measurement(str(target), "converted", model, _portable(conversion.job), found, rows, calibration)


def _require_samples(job: Job, entry: Entry, target: Path, request: Request) -> None:
    """Refuse other samples than the baseline's before a network is converted (DataError E201)."""
    from snnconvert.data import DECODING, Preprocessing, select  # late, as above

    before = read_predictions(request.baseline, entry)
    if before is not None:
        sets = (job.calib.path, job.calib.samples), (job.eval.path, job.eval.samples)
        as_stored = Preprocessing.parse(None), ()
        _, evaluation = select(*sets, job.seed, *as_stored, workers=DECODING, skip_bad=job.skip_bad)
        require_samples(before.ids, evaluation.ids, str(target), str(request.baseline), request.partial)


def stored(bundle: Path) -> Measurement:
    """Return what a bundle says that it did.

    Raises:
        SnnError: it is no bundle, or damaged (E001, E403).
    """
    return stored_measurement(bundle, _options_of(bundle))


def compared(
    name: str,
    now: Measurement,
    baseline: Baseline,
    place: Path,
    over: Callable[[Gate], Gate],
    partial: bool = False,
) -> Judgement:
    """Judge a network by its entry in the baseline at ``place``; ``over`` changes the gate that stands there.

    With ``partial`` samples of the baseline may be missing.

    Raises:
        SnnError: there is no such entry, or it is not of these samples and steps (E201, E204, E301, E303).
    """
    entry = completed(baseline.entry(name, str(place)), str(place))
    return judge(entry, read_predictions(place, entry), now, over(entry.gate), str(place), partial)


def completed(entry: Entry, where: str) -> Entry:
    """Return an entry with the defaults of options that did not exist when it was written.

    Raises:
        UsageError: its options are no options (E301).
    """
    document = copy.deepcopy(entry.options)
    for path in ("model", "calib.path"):
        set_path(document, {}, path, "")
    job = build_job(document, f"{where}: {entry.name}.options")
    return entry.model_copy(update={"options": _portable(job)})


def _options_of(bundle: Path) -> dict[str, Any]:
    """Return the options that a bundle was made with."""
    file = bundle / "config.yaml"
    return _portable(build_job(read_document(file)[0], str(file)))


def _portable(job: Job) -> dict[str, Any]:
    """Return the options of a job that mean the same everywhere."""
    found: dict[str, Any] = job.model_dump(mode="json")
    for path in PERSONAL:
        *parents, last = path.split(".")
        place = found
        for part in parents:
            place = place[part]
        del place[last]
    return found


def gate_of(base: Gate, given: Mapping[str, Any]) -> Gate:
    """Return a gate with what a user gives instead of it: ``margin``, ``alpha``, ``steps``, ``rail``; None is nothing.

    A rail is like ``min_accuracy=90``, its value read as YAML.

    Raises:
        UsageError: no such rail, or no such value (E003).
    """
    if given["steps"] is not None:
        from snnconvert.report.evaluator import parse_steps  # late: its imports need torch

        given = {**given, "steps": list(parse_steps(given["steps"]))}
    document = base.model_dump()
    for name in ("margin", "alpha", "steps"):
        if given[name] is not None:
            document[name] = given[name]
            validated(Gate, base.model_dump() | {name: given[name]}, f"--{name}", "E003")
    for assignment in given["rail"]:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError("E003", f"--rail: expected NAME=VALUE, got '{assignment[:80]}'", "min_accuracy=90")
        if name not in Rails.model_fields:
            raise UsageError("E003", f"--rail: no rail '{name[:80]}'", did_you_mean(name, [*Rails.model_fields]))
        document["rails"][name] = parse_yaml(text, f"--rail {name}")[0]
        validated(Gate, base.model_dump() | {"rails": {name: document["rails"][name]}}, f"--rail {name}", "E003")
    return validated(Gate, document, "--rail", "E003")
