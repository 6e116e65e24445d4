"""Compares what a network does with its baseline, and says whether it is still good enough.

Of several gated steps each must PASS, which needs no correction; that one of them FAILs might be chance, the more of
them there are, so their probabilities are corrected (Holm).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from snnconvert.errors import DataError, UsageError
from snnconvert.gate.baseline import dataset_of
from snnconvert.gate.difference import Difference, Verdict, holm
from snnconvert.gate.measurement import Measurement
from snnconvert.gate.paired import paired
from snnconvert.gate.predictions import Predictions
from snnconvert.gate.rails import Finding, judge_rails
from snnconvert.gate.schema import Entry, Gate
from snnconvert.gate.unpaired import unpaired

ANOTHER_SET = "give the samples of the baseline, or write a new one: --update --reason TEXT"
PARTIAL = "check --allow-partial compares those that both have; else give the samples of the baseline"


@dataclass(frozen=True)
class Judgement:
    """All findings on one network, and what has changed since its baseline."""

    name: str
    target: str
    source: str
    samples: int
    labelled: bool
    paired: bool
    changed: tuple[str, ...]
    findings: tuple[Finding, ...]
    left_out: int = 0
    has_classes: bool = True
    missing: int = 0

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings."""
        return max(finding.verdict for finding in self.findings)


def judge(
    entry: Entry, before: Predictions | None, now: Measurement, gate: Gate, where: str, partial: bool = False
) -> Judgement:
    """Compare a network with its entry of the baseline ``where``; ``before`` None where the predictions are missing.

    With ``partial`` samples may be missing: those that both have are compared.

    Raises:
        UsageError: a gated step is not among those measured, or not in the baseline; outputs that are no classes have
            no rail (E303).
        DataError: the samples or their labels are not those of the baseline (E201, E204).
    """
    missing, left_out, after = 0, now.left_out, now.predictions
    if before is not None:
        common = set(before.ids) & set(after.ids)
        if partial and common:
            missing = len(before) - len(common)
            left_out += len(after) - len(common)
            before = before.of([name for name in before.ids if name in common])
            after = after.of(before.ids)
        after = joined(before, after, now.target, where)
        if entry.model.sha256 == now.model.sha256:
            after = after.with_ann(before.ann)  # the same ANN
    elif dataset_of(after) != entry.dataset:
        message = f"{now.target}: not the samples (or labels) of the baseline {where}"
        raise DataError("E201", message, ANOTHER_SET)
    steps = entry.gated(gate)
    for t in steps:
        if now.row(t) is None or all(row.t != t for row in entry.steps):
            side, rows = (now.target, now.rows) if now.row(t) is None else (where, tuple(entry.steps))
            told = ", ".join(str(row.t) for row in rows)
            raise UsageError("E303", f"{side}: has no row of T = {t}, but of {told}", "--data PATH runs any step")
    if entry.has_classes != now.has_classes:
        told = "outputs are classes" if now.has_classes else "outputs are no classes"
        raise UsageError("E303", f"{now.target}: its {told}, other than in {where}", ANOTHER_SET)
    findings: list[Finding] = []
    if now.has_classes:
        differences = [_difference(entry, before, after, t, gate.alpha) for t in steps]
        adjusted = holm([each.p for each in differences])
        findings += [
            _accuracy(before, after, t, difference, gate.margin / 100, p, missing == 0)
            for t, difference, p in zip(steps, differences, adjusted, strict=True)
        ]
    findings += judge_rails(gate.rails, entry, now, after, steps[-1])
    if not findings:
        told = f"{now.target}: its outputs are no classes, so that nothing but rails can gate it, and there is none"
        raise UsageError("E303", told, "--rail min_agreement=95 --rail max_output_error=5 --rail max_synops=10")
    return Judgement(
        entry.name,
        now.target,
        now.source,
        len(after),
        after.labelled,
        before is not None,
        tuple(changes(entry, now)),
        tuple(findings),
        left_out,
        now.has_classes,
        missing,
    )


def require_samples(
    before: Iterable[str], after: Iterable[str], target: str, where: str, partial: bool = False
) -> None:
    """Refuse other samples than the baseline's, told by their names; with ``partial`` some may do (DataError E201)."""
    old, new = set(before), set(after)
    if old != new and not (partial and old & new):
        lacking, more = len(old - new), len(new - old)
        told = f"{lacking} of the {len(old)} samples of the baseline {where} are missing, {more} others are there"
        raise DataError("E201", f"{target}: {told}", PARTIAL if old & new else ANOTHER_SET)


def joined(before: Predictions, after: Predictions, target: str, where: str) -> Predictions:
    """Return the new answers in the order of the old ones, sample by sample."""
    require_samples(before.ids, after.ids, target, where)
    after = after.of(before.ids)
    if bool((before.label != after.label).any()):
        index = int((before.label != after.label).argmax())
        told = f"sample {before.ids[index]}: label {after.label[index]}, but {before.label[index]} in {where}"
        raise DataError("E204", f"{target}: {told}", ANOTHER_SET)
    return after


def changes(entry: Entry, now: Measurement) -> list[str]:
    """Name what was converted differently from the baseline."""
    old, new = _dotted(entry.options), _dotted(now.options)
    told = [] if entry.model.sha256 == now.model.sha256 else ["the model file"]
    if None not in (entry.calibration, now.calibration) and entry.calibration != now.calibration:
        told.append("the calibration samples")
    return told + [
        f"{path} from {old.get(path)} to {new.get(path)}"
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path)
    ]


def _dotted(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in options.items():
        found |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _difference(entry: Entry, before: Predictions | None, after: Predictions, t: int, alpha: float) -> Difference:
    if before is None:
        right = entry.row(t).right
        if right is None:
            raise UsageError("E303", f"{entry.name}: has no counts of right answers at T = {t}", ANOTHER_SET)
        return unpaired(right, int(_right(after, t).sum()), len(after), alpha)
    old, new = _right(before, t), _right(after, t)
    return paired(int((old & ~new).sum()), int((~old & new).sum()), len(after), alpha)


def _right(predictions: Predictions, t: int) -> Any:
    truth = predictions.truth
    if truth is None:  # nothing of ours stores such
        raise UsageError("E303", "neither labels nor the ANN's answers are known", "convert with labels")
    return predictions.at(t) == truth


def _accuracy(
    before: Predictions | None,
    after: Predictions,
    t: int,
    difference: Difference,
    margin: float,
    p: float,
    whole: bool,
) -> Finding:
    """Turn a difference into a finding, in words and in numbers.

    That no answer changed is proof enough, unless only a part of the samples was looked at.
    """
    n, new = len(after), int(_right(after, t).sum())
    old = round(difference.drop * n) + new
    what = "accuracy" if after.labelled else "agreement"
    identical = before is not None and bool((before.at(t) == after.at(t)).all())
    verdict = Verdict.PASS if identical and whole else difference.decide(margin, p)
    needed = difference.needed(margin) if verdict is Verdict.INCONCLUSIVE else None
    numbers: dict[str, Any] = {
        "baseline": old / n,
        "measured": new / n,
        "identical": identical,
        "drop_points": 100 * difference.drop,
        "limits_points": [100 * difference.low, 100 * difference.high],
        "margin_points": 100 * margin,
        "p": p,
        "detectable_points": 100 * difference.detectable,
        "samples_needed": needed,
    }
    if identical:
        told = f"{100 * new / n:.2f} %, no prediction changed{'' if whole else ' of those that are there'}"
        told += f"; {_undecided(needed)}" if verdict is Verdict.INCONCLUSIVE else ""
        return Finding(what, t, verdict, told, numbers)
    told = (
        f"{100 * old / n:.2f} % -> {100 * new / n:.2f} %, a drop of {100 * difference.drop:.2f} points "
        f"[{100 * difference.low:.2f}, {100 * difference.high:.2f}], margin {100 * margin:g}"
    )
    if before is not None:
        was, now = _right(before, t), _right(after, t)
        numbers |= {"worse": int((was & ~now).sum()), "better": int((~was & now).sum())}
        told += f"; {numbers['worse']} worse and {numbers['better']} better of {n:,}"
    else:
        told += f"; counts only, of {n:,}: a drop under {100 * difference.detectable:.2f} points may pass unseen"
    if verdict is Verdict.INCONCLUSIVE:
        told += "; " + _undecided(needed)
    return Finding(what, t, verdict, told, numbers)


def _undecided(needed: int | None) -> str:
    if needed is None:
        return "the drop is the margin itself: no number of samples decides"
    return f"about {needed:,} samples would decide"
