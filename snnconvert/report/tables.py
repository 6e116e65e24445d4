"""The steps table that convert and evaluate print, the same rows as CSV, and the result in one sentence."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from snnconvert.errors import OutputError
from snnconvert.report.quantities import (
    ann_accuracy,
    count,
    interval,
    is_dense,
    number,
    percent,
    points,
    rows,
    suffixed,
)
from snnconvert.report.text import printable

ENOUGH = 0.99  # of the ANN's accuracy
_CURVE_COLUMNS = (
    "t",
    "total_steps",
    "accuracy",
    "accuracy_ci95_low",
    "accuracy_ci95_high",
    "agreement",
    "output_error",
    "spikes_per_sample",
    "synops_per_sample",
    "energy_ratio",
)


def steps_table(metrics: Mapping[str, Any]) -> str:
    """Return the table ``steps | accuracy | vs ANN | agreement | spikes/sample | SynOps`` of a metrics.json document.

    ``vs ANN`` is in percentage points. For outputs that are no classes ``output error`` stands in for accuracy. Under
    the table: the accuracy of the ANN and the number of samples, and the total time if it differs from the steps.
    """
    header, cells = steps_cells(metrics)
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [
        " | ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in (header, *cells)
    ]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join([*lines, *_footnotes(metrics)]) + "\n"


def steps_cells(metrics: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the header and the rows of the steps table as texts, for every page and terminal alike."""
    dense, ann = is_dense(metrics), ann_accuracy(metrics)
    quality: tuple[str, ...] = ("output error",) if dense else ("accuracy", "vs ANN")
    cells = []
    for row in rows(metrics, "steps"):
        accuracy = number(row.get("accuracy"))
        loss = None if accuracy is None or ann is None else accuracy - ann
        cells.append(
            (
                count(number(row.get("t"))),
                *((percent(number(row.get("output_error"))),) if dense else (percent(accuracy), points(loss))),
                percent(number(row.get("agreement"))),
                count(number(row.get("spikes_per_sample"))),
                suffixed(number(row.get("synops_per_sample"))),
            )
        )
    return ("steps", *quality, "agreement", "spikes/sample", "SynOps"), cells


def verdict(metrics: Mapping[str, Any]) -> str:
    """Say in words how much of the original network is left at the largest number of steps."""
    steps = rows(metrics, "steps")
    if not steps:
        return "No time step was evaluated."
    row = max(steps, key=lambda row: number(row.get("t")) or 0.0)
    start = f"At T = {count(number(row.get('t')))} the spiking network"
    samples = f"{count(number(metrics.get('samples')))} samples"
    accuracy, agreement, ann = number(row.get("accuracy")), number(row.get("agreement")), ann_accuracy(metrics)
    if is_dense(metrics):
        error = percent(number(row.get("output_error")))
        return f"{start} gives outputs that differ from the original's by {error} (relative L2 distance) on {samples}."
    if accuracy is None or ann is None:
        return f"{start} gives the same answer as the original for {percent(agreement)} of {samples}; none has a label."
    kept = f"keeps {percent(accuracy / ann, 1)} of the original's accuracy" if ann > 0 else "has nothing to keep"
    loss = points(ann - accuracy).lstrip("+-")
    change = "loses nothing" if loss == "0.00" else f"{'loses' if accuracy < ann else 'gains'} {loss} points"
    return f"{start} {kept}: {percent(accuracy)} against {percent(ann)} on {samples}, so it {change}."


def curve_csv(metrics: Mapping[str, Any]) -> bytes:
    """Write the steps rows of a metrics.json document as CSV; numbers keep every digit, null is an empty field.

    The interval takes two columns. A number that this version does not know becomes a column at the right.
    """
    flat = [_flat(row) for row in rows(metrics, "steps")]
    extra = sorted({name for row in flat for name in row} - set(_CURVE_COLUMNS))
    columns = [*_CURVE_COLUMNS, *extra]
    lines = [",".join(columns), *(",".join(_field(row.get(name)) for name in columns) for row in flat)]
    return ("\n".join(lines) + "\n").encode()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == "accuracy_ci95":
            flat["accuracy_ci95_low"], flat["accuracy_ci95_high"] = interval(value) or (None, None)
        elif not name.replace("_", "a").isalnum():
            raise OutputError("E403", f"metrics.json: 'steps': a column cannot be named {printable(repr(name))}")
        else:
            flat[name] = value
    return flat


def _field(value: object) -> str:
    exact = number(value)  # refuses what is no number, so that no field ever needs a quote
    return "" if exact is None else repr(value)


def _footnotes(metrics: Mapping[str, Any]) -> Iterable[str]:
    samples = f"{count(number(metrics.get('samples')))} samples"
    ann = ann_accuracy(metrics)
    if is_dense(metrics):
        yield f"output error: relative L2 distance to the ANN's outputs, {samples}"
    elif ann is None and metrics.get("labelled"):
        yield f"ANN accuracy not known: of these {samples}, the bundle does not hold all of its answers"
    elif ann is None:
        yield f"ANN accuracy not known: {samples} without labels"
    else:
        yield f"ANN accuracy {percent(ann)}, {samples}"
    totals = total_steps(metrics)
    if taken := mean_steps(metrics):
        yield f"mean time steps of a sample: {shortened(taken)}"
    if totals:
        yield f"total time steps of these rows: {shortened(totals)}"


def steps_to(metrics: Mapping[str, Any]) -> float | None:
    """Return the total steps of the first row that keeps :data:`ENOUGH` of the ANN's accuracy; None where none does."""
    row = row_to(metrics)
    total = number(row.get("total_steps"))
    return total if total is not None else number(row.get("t"))


def row_to(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first row that keeps :data:`ENOUGH` of the ANN's accuracy; an empty one where none does."""
    ann = ann_accuracy(metrics)
    for row in rows(metrics, "steps"):
        accuracy = number(row.get("accuracy"))
        if ann is not None and accuracy is not None and accuracy >= ENOUGH * ann:
            return row
    return {}


def total_steps(metrics: Mapping[str, Any]) -> Sequence[str]:
    """Return the total time of every row, or nothing where all rows take as many steps as they say."""
    pairs = [(number(row.get("t")), number(row.get("total_steps"))) for row in rows(metrics, "steps")]
    hidden = any(total is not None and total != t and not math.isnan(total) for t, total in pairs)
    return [count(total) for _, total in pairs] if hidden else []


def mean_steps(metrics: Mapping[str, Any]) -> Sequence[str]:
    """Return the steps that a sample took on average, of every row; nothing where none may stop early."""
    found = [number(row.get("mean_steps")) for row in rows(metrics, "steps")]
    return [f"{each:.1f}" for each in found if each is not None]


def shortened(texts: Sequence[str], limit: int = 46) -> str:
    """Join the texts with commas; where that is too long, leave out those before the last."""
    joined = ", ".join(texts)
    while len(joined) > limit and len(texts) > 2:
        texts = [*texts[:-2], texts[-1]]
        joined = ", ".join([*texts[:-1], "…", texts[-1]])
    return joined
