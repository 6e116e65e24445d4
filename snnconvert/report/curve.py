"""The picture of a conversion: accuracy and agreement against time steps, as SVG written by hand.

Colours are CSS variables, so that the same picture fits a light and a dark page. Equal numbers give equal bytes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from snnconvert.report.quantities import ann_accuracy, count, interval, number, percent, rows

WIDTH, HEIGHT = 480.0, 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 464.0, 34.0, 268.0
_TICK_GAP = 34.0  # room for one label of the time axis, in pixels of the viewBox
_MARKER_GAP = 6.0

LIGHT = "--ink:#1c2430;--muted:#5a6675;--grid:#dfe4ea;--paper:#ffffff;--accuracy:#0b61c4;--agreement:#b4520a"
DARK = "--ink:#e8ecf1;--muted:#a3afbd;--grid:#333c48;--paper:#14181e;--accuracy:#6db3ff;--agreement:#ffb066"
CURVE_CSS = """\
.curve{font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.curve text{fill:var(--ink)}
.curve .tick{fill:var(--muted)}
.curve .legend{font-size:12px}
.curve .grid{stroke:var(--grid);stroke-width:1}
.curve .axis{stroke:var(--muted);stroke-width:1}
.curve .ann{stroke:var(--muted);stroke-width:1.8;stroke-dasharray:6 4}
.curve .line{fill:none;stroke-width:2.2;stroke-linejoin:round}
.curve .accuracy{stroke:var(--accuracy)}
.curve .agreement{stroke:var(--agreement)}
.curve .point.accuracy{fill:var(--accuracy)}
.curve .point.agreement{fill:var(--paper);stroke-width:2}
.curve .band{fill:var(--accuracy);opacity:.16}
.curve .hit{fill:transparent;stroke:none}
.curve g:hover>.point{stroke-width:5}
"""


@dataclass(frozen=True)
class _Series:
    name: str
    style: str
    points: tuple[tuple[float, float], ...]  # (time steps, fraction)


@dataclass(frozen=True)
class _Axes:
    """Map (time steps, fraction) to pixels; the time axis is logarithmic where the steps span more than 8x."""

    first: float
    last: float
    low: float
    high: float
    logarithmic: bool

    def x(self, t: float) -> float:
        if self.first == self.last:
            return (_LEFT + _RIGHT) / 2
        first, last, at = (math.log2(v) if self.logarithmic else v for v in (self.first, self.last, t))
        return _LEFT + 14 + (at - first) / (last - first) * (_RIGHT - _LEFT - 28)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return _BOTTOM - share * (_BOTTOM - _TOP)


def accuracy_curve_svg(metrics: Mapping[str, Any], *, standalone: bool = False, identifier: str = "curve") -> str:
    """Draw accuracy with its 95 % interval, agreement and the ANN's accuracy; the output error where there is neither.

    ``standalone`` makes it a file of its own, with colours for light and dark; a page has ``CURVE_CSS`` and the
    variables of ``LIGHT`` and ``DARK`` in its style. ``identifier`` must differ between the pictures of one page.
    """
    series = [s for s in (_series(metrics, "accuracy"), _series(metrics, "agreement")) if s.points]
    subject = "Accuracy and agreement"
    if not series:
        series, subject = [_series(metrics, "output_error")], "Relative output error"
    ann = ann_accuracy(metrics)
    if ann is not None and not math.isfinite(ann):
        ann = None
    band = _band(metrics)
    values = [v for s in series for _, v in s.points] + [v for _, *ends in band for v in ends]
    axes = _axes([t for s in series for t, _ in s.points], values + ([] if ann is None else [ann]))
    title = f"{subject} against time steps"
    parts = [
        _opening(standalone, identifier),
        f'<title id="{escape(identifier)}-title">{title}</title>',
        f'<desc id="{escape(identifier)}-desc">{escape(_description(series, ann))}</desc>',
        *_frame(axes, [t for s in series for t, _ in s.points], subject),
        *([_polygon(axes, band)] if band else []),
        *([] if ann is None else [_horizontal(axes, ann)]),
        *(part for s in series for part in _drawn(axes, s)),
        *_legend(series, bool(band), ann),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _series(metrics: Mapping[str, Any], name: str) -> _Series:
    found = [(number(row.get("t")), number(row.get(name))) for row in rows(metrics, "steps")]
    kept = sorted((t, v) for t, v in found if t is not None and v is not None and t > 0 and math.isfinite(t + v))
    style = "agreement" if name == "agreement" else "accuracy"
    return _Series(name.replace("_", " "), style, tuple(kept))


def _band(metrics: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    found = [(number(row.get("t")), interval(row.get("accuracy_ci95"))) for row in rows(metrics, "steps")]
    return sorted((t, *ends) for t, ends in found if t is not None and ends is not None and 0 < t < math.inf)


def _axes(times: Sequence[float], values: Sequence[float]) -> _Axes:
    first, last = (min(times), max(times)) if times else (1.0, 1.0)
    high = max([1.0, *values])
    low = 0.0
    if values and min(values) >= 0.5 and high == 1.0:  # differences between good networks must be seen
        low = next(edge for edge in (0.98, 0.95, 0.9, 0.8, 0.5) if min(values) >= edge)
    if high > 1.0:  # an output error has no upper end
        unit = 10.0 ** math.floor(math.log10(high))
        high = math.ceil(high / unit) * unit
    return _Axes(first, last, low, high, last > 8 * first)


def _opening(standalone: bool, identifier: str) -> str:
    names = f'role="img" aria-labelledby="{escape(identifier)}-title {escape(identifier)}-desc"'
    box = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}"'
    if not standalone:
        return f'<svg class="curve" {box} {names}>'
    style = f".curve{{{LIGHT};background:var(--paper)}}\n@media(prefers-color-scheme:dark){{.curve{{{DARK}}}}}\n"
    size = f'width="{WIDTH:.0f}" height="{HEIGHT:.0f}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" class="curve" {size} {box} {names}>'
    return f"{opening}\n<style>\n{style}{CURVE_CSS}</style>"


def _description(series: Sequence[_Series], ann: float | None) -> str:
    said = [
        f"{s.name} goes from {percent(s.points[0][1])} at T = {count(s.points[0][0])}"
        f" to {percent(s.points[-1][1])} at T = {count(s.points[-1][0])}"
        for s in series
        if s.points
    ]
    if ann is not None:
        said.append(f"the accuracy of the ANN is {percent(ann)}")
    return "; ".join(said).capitalize() + "." if said else "No time step was evaluated."


def _frame(axes: _Axes, times: Iterable[float], subject: str) -> Iterable[str]:
    for value in _value_ticks(axes):
        y = axes.y(value)
        yield f'<line class="grid" x1="{_LEFT:.1f}" y1="{y:.1f}" x2="{_RIGHT:.1f}" y2="{y:.1f}"/>'
        label = f"{100 * value:.4g} %"
        yield f'<text class="tick" x="{_LEFT - 7:.1f}" y="{y + 4.5:.1f}" text-anchor="end">{label}</text>'
    yield f'<line class="axis" x1="{_LEFT:.1f}" y1="{_BOTTOM:.1f}" x2="{_RIGHT:.1f}" y2="{_BOTTOM:.1f}"/>'
    for t in _time_ticks(axes, times):
        x = axes.x(t)
        yield f'<line class="axis" x1="{x:.1f}" y1="{_BOTTOM:.1f}" x2="{x:.1f}" y2="{_BOTTOM + 5:.1f}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{_BOTTOM + 20:.1f}" text-anchor="middle">{count(t)}</text>'
    middle = (_LEFT + _RIGHT) / 2
    scale = " (logarithmic)" if axes.logarithmic else ""
    yield f'<text x="{middle:.1f}" y="{_BOTTOM + 42:.1f}" text-anchor="middle">time steps T{scale}</text>'
    side = f"translate(13 {(_TOP + _BOTTOM) / 2:.1f}) rotate(-90)"
    shown = "share of samples" if subject.startswith("Accuracy") else "relative error"
    yield f'<text transform="{side}" text-anchor="middle">{shown}</text>'


def _value_ticks(axes: _Axes) -> list[float]:
    span = axes.high - axes.low
    step = next((s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if span / s <= 5.01), span / 5)
    return [axes.low + step * k for k in range(round(span / step) + 1)]


def _time_ticks(axes: _Axes, times: Iterable[float]) -> list[float]:
    """Return those of the evaluated steps whose labels do not meet; the last one always."""
    candidates = sorted(set(times))
    doublings = [t for t in candidates if t == axes.last or math.log2(t).is_integer()]
    if axes.logarithmic and len(doublings) > 3:
        candidates = doublings
    kept: list[float] = []
    for t in candidates:
        while t == axes.last and kept and axes.x(t) - axes.x(kept[-1]) < _TICK_GAP:
            kept.pop()
        if not kept or axes.x(t) - axes.x(kept[-1]) >= _TICK_GAP:
            kept.append(t)
    return kept


def _polygon(axes: _Axes, band: Sequence[tuple[float, float, float]]) -> str:
    if len(band) == 1:  # one point has no area: draw its interval as a short bar
        t, low, high = band[0]
        x = axes.x(t)
        corners = [(x - 4, axes.y(low)), (x + 4, axes.y(low)), (x + 4, axes.y(high)), (x - 4, axes.y(high))]
    else:
        corners = [(axes.x(t), axes.y(high)) for t, _, high in band]
        corners += [(axes.x(t), axes.y(low)) for t, low, _ in reversed(band)]
    return f'<polygon class="band" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/>'


def _horizontal(axes: _Axes, ann: float) -> str:
    y = axes.y(ann)
    ends = f'x1="{_LEFT:.1f}" y1="{y:.1f}" x2="{_RIGHT:.1f}" y2="{y:.1f}"'
    return f'<g><title>ANN accuracy: {percent(ann)}</title><line class="ann" {ends}/></g>'


def _drawn(axes: _Axes, series: _Series) -> Iterable[str]:
    corners = [(axes.x(t), axes.y(v)) for t, v in series.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    yield f'<polyline class="line {series.style}" points="{path}"/>'
    drawn_at = -math.inf
    for (t, value), (x, y) in zip(series.points, corners, strict=True):
        if x - drawn_at < _MARKER_GAP and t != series.points[-1][0]:
            continue  # a thousand steps need no thousand markers
        drawn_at = x
        told = f"T = {count(t)}: {series.name} {percent(value)}"
        yield f"<g><title>{told}</title>{_marker(series.style, x, y)}"
        yield f'<circle class="hit" cx="{x:.1f}" cy="{y:.1f}" r="9"/></g>'


def _marker(style: str, x: float, y: float) -> str:
    if style == "agreement":  # another shape, for those who do not tell the colours apart
        return f'<rect class="point agreement" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'
    return f'<circle class="point accuracy" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _legend(series: Sequence[_Series], band: bool, ann: float | None) -> Iterable[str]:
    x, y = 16.0, 16.0
    entries = [(s.name, f"{_line(s.style)}{_marker(s.style, 0, 0)}") for s in series]
    if band:
        entries.insert(1, ("95 % interval", '<rect class="band" x="-11" y="-6" width="22" height="12"/>'))
    if ann is not None:
        entries.append((f"ANN {percent(ann)}", '<line class="ann" x1="-11" y1="0" x2="11" y2="0"/>'))
    for name, symbol in entries:
        words = f'<text class="legend" x="15" y="4.5">{name}</text>'
        yield f'<g transform="translate({x + 11:.1f} {y:.1f})">{symbol}{words}</g>'
        x += 26 + 7.2 * len(name) + 8  # 7.2: the widest of the usual fonts


def _line(style: str) -> str:
    return f'<line class="line {style}" x1="-11" y1="0" x2="11" y2="0"/>'
