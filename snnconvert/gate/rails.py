"""Limits that a network must keep whatever its baseline did, and limits to what it may cost more."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snnconvert.errors import UsageError
from snnconvert.gate.difference import Verdict
from snnconvert.gate.measurement import Measurement
from snnconvert.gate.predictions import Predictions
from snnconvert.gate.schema import Entry, Rails, Reach, Row

COSTS = ("max_spikes_per_sample", "max_synops")  # compared with those of the baseline
MOST_MORE = 1e9  # percent: more than any limit, and a number that JSON can hold


@dataclass(frozen=True)
class Finding:
    """One thing that was checked at step ``t`` (None: at no single one), in words and in numbers."""

    rail: str
    t: int | None
    verdict: Verdict
    told: str
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name what was checked."""
        return self.rail if self.t is None else f"{self.rail} at T = {self.t}"


def judge_rails(rails: Rails, entry: Entry, now: Measurement, after: Predictions, t: int) -> list[Finding]:
    """Check every limit that is set, at step ``t``; ``after`` are answers of ``now`` on samples of the baseline.

    What is known as a mean only is INCONCLUSIVE where that mean is over other samples, too.

    Raises:
        UsageError: a limit is set on something that is not known of these samples (E303).
    """
    n = len(after)
    own = n == len(now.predictions)
    costs, others = own and n == entry.dataset.samples, own or now.has_classes
    more = f"known as a mean over more samples only, not over the {n:,} that are compared"
    return [
        each if (costs if each.rail in COSTS else others) else _undecided(each, more)
        for each in _judged(rails, entry, now, after, t)
    ]


def _judged(rails: Rails, entry: Entry, now: Measurement, after: Predictions, t: int) -> Iterator[Finding]:
    answers, old, new = after.at(t), entry.row(t), now.row(t)
    if new is None:
        return
    if rails.min_accuracy is not None:
        accuracy = _percent(answers == _labels(after, "min_accuracy"))
        yield _limit("min_accuracy", t, accuracy, rails.min_accuracy, "%", least=True)
    if rails.max_drop_vs_ann is not None:
        label = _labels(after, "max_drop_vs_ann")
        drop = 100 * int((after.ann == label).sum() - (answers == label).sum()) / len(label)
        yield _against_ann(_limit("max_drop_vs_ann", t, drop, rails.max_drop_vs_ann, "points"), after)
    if rails.min_agreement is not None:
        agreement = _percent(answers == after.ann) if now.has_classes else _positions(new, "min_agreement")
        found = _limit("min_agreement", t, agreement, rails.min_agreement, "%", least=True)
        yield _against_ann(found, after) if now.has_classes else found
    if rails.max_spikes_per_sample is not None:
        more = _increase(old.spikes_per_sample, new.spikes_per_sample)
        yield _limit("max_spikes_per_sample", t, more, rails.max_spikes_per_sample, "% more")
    if rails.max_synops is not None:
        more = _increase(old.synops_per_sample, new.synops_per_sample)
        yield _limit("max_synops", t, more, rails.max_synops, "% more")
    if rails.max_output_error is not None:
        if now.has_classes:
            raise UsageError("E303", "max_output_error: the outputs are classes", "min_accuracy, min_agreement")
        error = _share(new.output_error, "max_output_error")
        yield _limit("max_output_error", t, error, rails.max_output_error, "%")
    if rails.max_steps_to_reach is not None:
        yield _reached(rails.max_steps_to_reach, now, after)


def _undecided(finding: Finding, told: str) -> Finding:
    return replace(finding, verdict=Verdict.INCONCLUSIVE, told=told, numbers=finding.numbers | {"measured": None})


def _limit(rail: str, t: int, measured: float, limit: float, unit: str, least: bool = False) -> Finding:
    kept = measured >= limit if least else measured <= limit
    told = f"{_written(measured, limit, kept)} {unit}, {'at least' if least else 'at most'} {limit:g}"
    return Finding(
        rail, t, Verdict.PASS if kept else Verdict.FAIL, told, {"measured": measured, "limit": limit, "unit": unit}
    )


def _written(measured: float, limit: float, kept: bool) -> str:
    """Write a number with two decimals, or as many more as tell it from a limit that it breaks."""
    decimals = next((places for places in range(2, 12) if kept or round(measured - limit, places)), 12)
    return f"{round(measured, decimals) + 0.0:.{decimals}f}"  # -0.0 + 0.0 is 0.0


def _reached(reach: Reach, now: Measurement, after: Predictions) -> Finding:
    truth = after.truth
    if truth is None:
        right = [_positions(row, "max_steps_to_reach") for row in now.rows]
    else:
        right = [_percent(after.at(t) == truth) for t in after.steps]
    first = next((t for t, value in zip(after.steps, right, strict=True) if value >= reach.accuracy), None)
    kept = first is not None and first <= reach.steps
    told = f"{reach.accuracy:g} % reached {'nowhere' if first is None else f'at T = {first}'}, at most {reach.steps}"
    numbers = {"measured": first, "limit": reach.steps, "accuracy": reach.accuracy, "unit": "steps"}
    return Finding("max_steps_to_reach", None, Verdict.PASS if kept else Verdict.FAIL, told, numbers)


def _percent(right: np.ndarray) -> float:
    """Return the share of what is true, rounded once: 97.1 % of 1,000 samples is 97.1 to the bit."""
    return 100 * int(right.sum()) / len(right)


def _positions(row: Row, rail: str) -> float:
    """Return the percentage of positions with the ANN's class, of outputs that are no classes."""
    if row.agreement is None and row.output_error is not None:
        raise UsageError("E303", f"{rail}: the output is a single value, which agrees with nothing", "max_output_error")
    return _share(row.agreement, rail)


def _share(value: float | None, rail: str) -> float:
    """Return a fraction that only a conversion can measure, in percent; 0.57 is 57, not 56.99999999999999."""
    if value is None:
        hint = "give the MODEL with --calib, or leave --data out: then what the conversion measured counts"
        raise UsageError("E303", f"{rail}: is not known, for want of the ANN's outputs", hint)
    return round(100 * value, 9)


def _increase(old: float, new: float) -> float:
    """Return by how many percent something grew; from nothing to something is :data:`MOST_MORE`."""
    return min(round(100 * (new / old - 1), 9), MOST_MORE) if old else (0.0 if new == 0 else MOST_MORE)


def _labels(after: Predictions, rail: str) -> np.ndarray:
    if not after.labelled:
        raise UsageError("E303", f"{rail}: the samples have no labels that count", "min_agreement needs none")
    return after.label


def _against_ann(finding: Finding, after: Predictions) -> Finding:
    """Return a finding that compares with the ANN; INCONCLUSIVE where its answers to some samples are not known."""
    known = int((after.ann >= 0).sum())
    if not known:
        what = f"{finding.rail}: the ANN's answers on these samples are not known"
        raise UsageError("E303", what, "convert again with them")
    if known == len(after):
        return finding
    return _undecided(finding, f"the ANN's answers are known of {known:,} of the {len(after):,} samples only")
