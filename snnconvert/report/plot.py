"""What the pictures of a report share: axes, lines with markers, a legend, colours; SVG written by hand.

Colours are CSS variables, so that the same picture fits a light and a dark page. Equal numbers give equal bytes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from snnconvert.report.quantities import count, percent

WIDTH, HEIGHT = 480.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 464.0, 34.0, 268.0
TICK_GAP = 34.0  # room for one label of the time axis, in pixels of the viewBox
MARKER_GAP = 6.0

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
.curve .bound{stroke:var(--muted)}
.curve .line.bound{stroke-dasharray:7 3}
.curve .point.bound{fill:var(--paper);stroke-width:2}
.curve .band{fill:var(--accuracy);opacity:.16}
.curve .hit{fill:transparent;stroke:none}
.curve .potential{fill:none;stroke:var(--accuracy);stroke-width:1.5;stroke-linejoin:round}
.curve .spike{fill:none;stroke:var(--ink)}
.curve .back{stroke:var(--agreement)}
.curve .waits{fill:var(--muted);opacity:.12}
.curve .edge{fill:none;stroke:var(--muted);stroke-width:1.4}
.curve .dot{fill:var(--paper);stroke:var(--muted);stroke-width:1.8}
.curve .dot.synapse{fill:var(--muted)}
.curve .dot.graded{fill:var(--agreement);stroke:var(--agreement)}
.curve .dot.spiking{fill:var(--accuracy);stroke:var(--accuracy)}
.curve .on{paint-order:stroke;stroke:var(--paper);stroke-width:5px}
.curve g:hover>.point{stroke-width:5}
.curve .value{font-weight:600;pointer-events:none}
.curve .value{paint-order:stroke;stroke:var(--paper);stroke-width:5px;stroke-linejoin:round}
.curve g:hover>.value{visibility:visible}
"""


@dataclass(frozen=True)
class Series:
    """A line: its name, its style in ``CURVE_CSS``, and ``points`` of (time steps, fraction).

    ``told`` has the text that each point shows, in HTML, where it is not the usual one.
    """

    name: str
    style: str
    points: tuple[tuple[float, float], ...]
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Axes:
    """Map (time steps, fraction) to pixels; the time axis is logarithmic where the steps span more than 8x."""

    first: float
    last: float
    low: float
    high: float
    logarithmic: bool

    def x(self, t: float) -> float:
        if self.first == self.last:
            return (LEFT + RIGHT) / 2
        first, last, at = (math.log2(v) if self.logarithmic else v for v in (self.first, self.last, t))
        return LEFT + 14 + (at - first) / (last - first) * (RIGHT - LEFT - 28)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return BOTTOM - share * (BOTTOM - TOP)


def axes_of(times: Sequence[float], values: Sequence[float]) -> Axes:
    """Return axes that hold all points; good networks get the upper part of the scale only."""
    first, last = (min(times), max(times)) if times else (1.0, 1.0)
    high = max([1.0, *values])
    low = 0.0
    if values and min(values) >= 0.5 and high == 1.0:  # differences between good networks must be seen
        low = next(edge for edge in (0.98, 0.95, 0.9, 0.8, 0.5) if min(values) >= edge)
    if high > 1.0:  # an output error has no upper end
        unit = 10.0 ** math.floor(math.log10(high))
        high = math.ceil(high / unit) * unit
    return Axes(first, last, low, high, last > 8 * first)


def opening(standalone: bool, identifier: str) -> str:
    """Return the start of a picture that is named by its title and description."""
    names = f'role="img" aria-labelledby="{escape(identifier)}-title {escape(identifier)}-desc"'
    box = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}"'
    if not standalone:
        return f'<svg class="curve" {box} {names}>'
    style = f".curve{{{LIGHT};background:var(--paper)}}\n@media(prefers-color-scheme:dark){{.curve{{{DARK}}}}}\n"
    size = f'width="{WIDTH:.0f}" height="{HEIGHT:.0f}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" class="curve" {size} {box} {names}>'
    return f"{opening}\n<style>\n{style}{CURVE_CSS}</style>"


def description(
    series: Sequence[Series], ann: float | None, at: Callable[[float], str] = lambda t: f"T = {count(t)}"
) -> str:
    """Say in words what the lines show, for those who do not see them; ``at`` tells where a point stands."""
    said = [
        f"{s.name} goes from {percent(s.points[0][1])} at {at(s.points[0][0])}"
        f" to {percent(s.points[-1][1])} at {at(s.points[-1][0])}"
        for s in series
        if s.points
    ]
    if ann is not None:
        said.append(f"the accuracy of the ANN is {percent(ann)}")
    return "; ".join(said).capitalize() + "." if said else "No time step was evaluated."


def frame(
    axes: Axes,
    times: Iterable[float],
    shown: str,
    along: str = "time steps T",
    label: Callable[[float], str] = count,
) -> Iterable[str]:
    """Draw the grid, the axes and their labels; ``shown`` names what is measured, ``along`` what it depends on."""
    for value in _value_ticks(axes):
        y = axes.y(value)
        yield f'<line class="grid" x1="{LEFT:.1f}" y1="{y:.1f}" x2="{RIGHT:.1f}" y2="{y:.1f}"/>'
        share = f"{100 * value:.4g} %"
        yield f'<text class="tick" x="{LEFT - 7:.1f}" y="{y + 4.5:.1f}" text-anchor="end">{share}</text>'
    yield f'<line class="axis" x1="{LEFT:.1f}" y1="{BOTTOM:.1f}" x2="{RIGHT:.1f}" y2="{BOTTOM:.1f}"/>'
    for t in _time_ticks(axes, times):
        x = axes.x(t)
        yield f'<line class="axis" x1="{x:.1f}" y1="{BOTTOM:.1f}" x2="{x:.1f}" y2="{BOTTOM + 5:.1f}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{BOTTOM + 20:.1f}" text-anchor="middle">{label(t)}</text>'
    middle = (LEFT + RIGHT) / 2
    scale = " (logarithmic)" if axes.logarithmic else ""
    yield f'<text x="{middle:.1f}" y="{BOTTOM + 42:.1f}" text-anchor="middle">{along}{scale}</text>'
    side = f"translate(13 {(TOP + BOTTOM) / 2:.1f}) rotate(-90)"
    yield f'<text transform="{side}" text-anchor="middle">{shown}</text>'


def round_numbers(axes: Axes) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between the ends of an axis."""
    low, high = math.floor(math.log10(axes.first)), math.ceil(math.log10(axes.last))
    found = [lead * 10.0**power for power in range(low, high + 1) for lead in (1, 2, 5)]
    return [value for value in found if axes.first <= value <= axes.last]


def _value_ticks(axes: Axes) -> list[float]:
    span = axes.high - axes.low
    step = next((s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if span / s <= 5.01), span / 5)
    return [axes.low + step * k for k in range(round(span / step) + 1)]


def _time_ticks(axes: Axes, times: Iterable[float]) -> list[float]:
    """Return those of the evaluated steps whose labels do not meet; the last one always."""
    candidates = sorted(set(times))
    doublings = [t for t in candidates if t == axes.last or math.log2(t).is_integer()]
    if axes.logarithmic and len(doublings) > 3:
        candidates = doublings
    kept: list[float] = []
    for t in candidates:
        while t == axes.last and kept and axes.x(t) - axes.x(kept[-1]) < TICK_GAP:
            kept.pop()
        if not kept or axes.x(t) - axes.x(kept[-1]) >= TICK_GAP:
            kept.append(t)
    return kept


def drawn(axes: Axes, series: Series) -> Iterable[str]:
    """Draw a line with a marker at each point, and its value, which shows where it is pointed at."""
    corners = [(axes.x(t), axes.y(v)) for t, v in series.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    yield f'<polyline class="line {series.style}" points="{path}"/>'
    drawn_at = -math.inf
    usual = tuple(f"T = {count(t)}: {series.name} {percent(value)}" for t, value in series.points)
    for (t, _), (x, y), told in zip(series.points, corners, series.told or usual, strict=True):
        if x - drawn_at < MARKER_GAP and t != series.points[-1][0]:
            continue  # a thousand steps need no thousand markers
        drawn_at = x
        yield f'<g class="mark">{_marker(series.style, x, y)}<circle class="hit" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
        yield f"{_value(told, x, y)}</g>"


def _value(told: str, x: float, y: float) -> str:
    """Write what a point stands for above it, or below where there is no room, to the side that has more of it."""
    over = y - 12 if y > TOP + 16 else y + 24
    anchor = "start" if x < WIDTH / 3 else "end" if x > WIDTH * 2 / 3 else "middle"
    return f'<text class="value" visibility="hidden" x="{x:.1f}" y="{over:.1f}" text-anchor="{anchor}">{told}</text>'


def _marker(style: str, x: float, y: float) -> str:
    if style == "agreement":  # another shape, for those who do not tell the colours apart
        return f'<rect class="point agreement" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'
    if style == "bound":
        corners = f"{x:.1f},{y - 5:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 5:.1f} {x - 5:.1f},{y:.1f}"
        return f'<polygon class="point bound" points="{corners}"/>'
    return f'<circle class="point {style}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def legend(series: Sequence[Series], band: bool, ann: float | None) -> Iterable[str]:
    """Draw the names of the lines in one row."""
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
