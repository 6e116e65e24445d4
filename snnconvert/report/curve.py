"""The pictures of a conversion: accuracy and agreement against time steps, operations or energy."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from snnconvert.report.plot import (
    LEFT,
    RIGHT,
    Axes,
    Series,
    axes_of,
    description,
    drawn,
    frame,
    legend,
    opening,
    round_numbers,
)
from snnconvert.report.quantities import ann_accuracy, count, interval, number, percent, plain, rows, suffixed


@dataclass(frozen=True)
class Along:
    """What an accuracy costs: the column of metrics.json, its name, and how a value is written and told."""

    column: str
    name: str
    write: Callable[[float], str]
    tell: str


TIME = Along("t", "time steps T", count, "T = {}")
SYNOPS = Along("synops_per_sample", "SynOps a sample", suffixed, "{} SynOps")
ENERGY = Along("energy_ratio", "energy, times that of the ANN", lambda x: plain(x, 2), "{} × ANN")


def accuracy_curve_svg(
    metrics: Mapping[str, Any], along: Along = TIME, *, standalone: bool = False, identifier: str = "curve"
) -> str:
    """Draw accuracy with its 95 % interval, agreement and the ANN's accuracy; the output error where there is neither.

    ``along`` is what it is drawn against; the picture is empty where no row has that.
    ``standalone`` makes it a file of its own, with colours for light and dark; a page has ``CURVE_CSS`` and the
    variables of ``LIGHT`` and ``DARK`` in its style. ``identifier`` must differ between the pictures of one page.
    """
    series = [s for s in (_series(metrics, name, along) for name in ("accuracy", "agreement")) if s.points]
    subject, shown = "Accuracy and agreement", "share of samples"
    if not series:
        series, subject, shown = [_series(metrics, "output_error", along)], "Relative output error", "relative error"
    ann = ann_accuracy(metrics)
    if ann is not None and not math.isfinite(ann):
        ann = None
    band = _band(metrics, along)
    values = [v for s in series for _, v in s.points] + [v for _, *ends in band for v in ends]
    every = [x for s in series for x, _ in s.points]
    axes = axes_of(every, values + ([] if ann is None else [ann]))
    ticks = every if along is TIME else round_numbers(axes)
    title = f"{subject} against {along.name}"
    parts = [
        opening(standalone, identifier),
        f'<title id="{escape(identifier)}-title">{title}</title>',
        f'<desc id="{escape(identifier)}-desc">{escape(description(series, ann, _at(along)))}</desc>',
        *frame(axes, ticks, shown, along.name, lambda x: along.write(x).replace(".00", "")),
        *([_polygon(axes, band)] if band else []),
        *([] if ann is None else [_horizontal(axes, ann)]),
        *(part for s in series for part in drawn(axes, s)),
        *legend(series, bool(band), ann),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _at(along: Along) -> Callable[[float], str]:
    return lambda x: along.tell.format(along.write(x))


def _series(metrics: Mapping[str, Any], name: str, along: Along) -> Series:
    found = [(number(row.get(along.column)), number(row.get(name)), row) for row in rows(metrics, "steps")]
    kept = [(x, v, row) for x, v, row in found if x is not None and v is not None and x > 0 and math.isfinite(x + v)]
    kept.sort(key=lambda each: each[:2])
    points, told = tuple((x, v) for x, v, _ in kept), tuple(_told(row, x, along) for x, _, row in kept)
    return Series(name.replace("_", " "), "agreement" if name == "agreement" else "accuracy", points, told)


def _told(row: Mapping[str, Any], x: float, along: Along) -> str:
    """Return all values at a point: where curves meet, one point hides another."""
    names = [name for name in ("accuracy", "agreement") if row.get(name) is not None] or ["output_error"]
    values = [f"{name.replace('_', ' ')} {percent(number(row.get(name)))}" for name in names]
    when = "" if along is TIME else f"T = {count(number(row.get('t')))}, "
    return f"{when}{_at(along)(x)}: {', '.join(values)}"


def _band(metrics: Mapping[str, Any], along: Along) -> list[tuple[float, float, float]]:
    found = [(number(row.get(along.column)), interval(row.get("accuracy_ci95"))) for row in rows(metrics, "steps")]
    return sorted((t, *ends) for t, ends in found if t is not None and ends is not None and 0 < t < math.inf)


def _polygon(axes: Axes, band: Sequence[tuple[float, float, float]]) -> str:
    if len(band) == 1:  # one point has no area: draw its interval as a short bar
        t, low, high = band[0]
        x = axes.x(t)
        corners = [(x - 4, axes.y(low)), (x + 4, axes.y(low)), (x + 4, axes.y(high)), (x - 4, axes.y(high))]
    else:
        corners = [(axes.x(t), axes.y(high)) for t, _, high in band]
        corners += [(axes.x(t), axes.y(low)) for t, low, _ in reversed(band)]
    return f'<polygon class="band" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/>'


def _horizontal(axes: Axes, ann: float) -> str:
    y = axes.y(ann)
    ends = f'x1="{LEFT:.1f}" y1="{y:.1f}" x2="{RIGHT:.1f}" y2="{y:.1f}"'
    return f'<g><title>ANN accuracy: {percent(ann)}</title><line class="ann" {ends}/></g>'
