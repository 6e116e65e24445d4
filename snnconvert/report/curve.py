"""The picture of a conversion: accuracy and agreement against time steps."""

import math
from collections.abc import Mapping, Sequence
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
)
from snnconvert.report.quantities import ann_accuracy, count, interval, number, percent, rows


def accuracy_curve_svg(metrics: Mapping[str, Any], *, standalone: bool = False, identifier: str = "curve") -> str:
    """Draw accuracy with its 95 % interval, agreement and the ANN's accuracy; the output error where there is neither.

    ``standalone`` makes it a file of its own, with colours for light and dark; a page has ``CURVE_CSS`` and the
    variables of ``LIGHT`` and ``DARK`` in its style. ``identifier`` must differ between the pictures of one page.
    """
    series = [s for s in (_series(metrics, "accuracy"), _series(metrics, "agreement")) if s.points]
    subject, shown = "Accuracy and agreement", "share of samples"
    if not series:
        series, subject, shown = [_series(metrics, "output_error")], "Relative output error", "relative error"
    ann = ann_accuracy(metrics)
    if ann is not None and not math.isfinite(ann):
        ann = None
    band = _band(metrics)
    values = [v for s in series for _, v in s.points] + [v for _, *ends in band for v in ends]
    axes = axes_of([t for s in series for t, _ in s.points], values + ([] if ann is None else [ann]))
    title = f"{subject} against time steps"
    parts = [
        opening(standalone, identifier),
        f'<title id="{escape(identifier)}-title">{title}</title>',
        f'<desc id="{escape(identifier)}-desc">{escape(description(series, ann))}</desc>',
        *frame(axes, [t for s in series for t, _ in s.points], shown),
        *([_polygon(axes, band)] if band else []),
        *([] if ann is None else [_horizontal(axes, ann)]),
        *(part for s in series for part in drawn(axes, s)),
        *legend(series, bool(band), ann),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _series(metrics: Mapping[str, Any], name: str) -> Series:
    found = [(number(row.get("t")), number(row.get(name))) for row in rows(metrics, "steps")]
    kept = sorted((t, v) for t, v in found if t is not None and v is not None and t > 0 and math.isfinite(t + v))
    style = "agreement" if name == "agreement" else "accuracy"
    return Series(name.replace("_", " "), style, tuple(kept), tuple(_told(metrics, t) for t, _ in kept))


def _told(metrics: Mapping[str, Any], t: float) -> str:
    """Return all values at a point of time: where curves meet, one point hides another."""
    row = next(row for row in rows(metrics, "steps") if number(row.get("t")) == t)
    names = [name for name in ("accuracy", "agreement") if row.get(name) is not None] or ["output_error"]
    values = [f"{name.replace('_', ' ')} {percent(number(row.get(name)))}" for name in names]
    return f"T = {count(t)}: {', '.join(values)}"


def _band(metrics: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    found = [(number(row.get("t")), interval(row.get("accuracy_ci95"))) for row in rows(metrics, "steps")]
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
