"""The picture of three curves, and what their gaps mean: quantisation bound, synchronous run, delayed run.

Between 1 and the bound lies what more steps, or more values a step, buy; between the bound and the runs what
unevenness costs; between the two runs what waiting for the input changes.
"""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from snnconvert.report.plot import Series, axes_of, description, drawn, frame, legend, opening
from snnconvert.report.quantities import count, is_dense, number, percent, points, section
from snnconvert.report.text import printable

CURVES = (("bound", "bound", "quantisation bound"), ("synchronous", "accuracy", "synchronous"))
DELAYED = ("delayed", "agreement", "delayed")
Curve = tuple[tuple[float, float], ...]  # of time steps and fractions
CLOSE = 0.02  # gaps that a few samples make


def three_curves_svg(metrics: Mapping[str, Any]) -> str | None:
    """Draw the ``curves`` of a metrics.json document; None where there are none."""
    curves = section(metrics, "curves")
    found = [Series(name, style, _points(curves, key)) for key, style, name in (*CURVES, DELAYED)]
    series = [each for each in found if each.points]
    if not series:
        return None
    values = [value for each in series for _, value in each.points]
    steps = [t for each in series for t, _ in each.points]
    axes = axes_of(steps, values)
    name = "1 - output error" if is_dense(metrics) else "agreement with ANN"
    parts = [
        opening(False, "gaps"),
        '<title id="gaps-title">Quantisation bound and real runs against time steps</title>',
        f'<desc id="gaps-desc">{escape(description(series, None))}</desc>',
        *frame(axes, steps, name),
        *(part for each in series for part in drawn(axes, each)),
        *legend(series, False, None),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def meaning(metrics: Mapping[str, Any]) -> list[str]:
    """Say what the gaps at the last of the steps mean, and on how many samples; nothing where there are no curves."""
    curves = section(metrics, "curves")
    steps, bound, own = (_points(curves, name) for name in ("steps", "bound", "synchronous"))
    if not bound or not own or not steps:
        return []
    delayed, why = _points(curves, "delayed"), printable(str(curves.get("why") or ""), 300)
    (t, best), reached = bound[-1], own[-1][1]
    delay = number(section(metrics, "schedule").get("onset_delay")) or 1  # the other schedule has 1 where this has none
    waits = delayed[-1][1] if delayed else None
    beside = "" if waits is None else f", the delayed one {percent(waits, 1)}"
    told = [
        f"At T = {count(t)} rounding alone leaves {percent(best, 1)}, the synchronous run has {percent(reached, 1)}"
        f"{beside}: {_verdict(best, reached, waits, delay)}{_widest(bound, own)}."
    ]
    unit = "1 less the relative output error" if is_dense(metrics) else "share of samples with the ANN's answer"
    told.append(f"{unit[0].upper()}{unit[1:]}, on {count(number(curves.get('samples')))} calibration samples.")
    if not delayed:
        told.append(f"No delayed run: {why or 'not measured'}.")
    elif fitted := number(curves.get("fitted")):
        told.append(
            f"Corrections of the schedule that is not the network's own were fitted on {count(fitted)} samples."
        )
    return told


def _verdict(bound: float, reached: float, waits: float | None, delay: float) -> str:
    """Say which gap is the wider one, and what waiting does to it."""
    levels, uneven = 1 - bound, bound - reached
    won = 0.0 if waits is None else waits - reached
    if max(levels, uneven, won) <= CLOSE:
        return "there is little to win"
    if abs(levels - uneven) <= CLOSE / 2:
        told = f"levels and unevenness cost about the same, {_points_of(levels)} and {_points_of(uneven)}"
    elif levels > uneven:
        told = f"buy levels, by more steps or more values a step, for they cost {_points_of(levels)}"
        told += f" and unevenness {_points_of(uneven)}" if uneven > 0 else ", and nothing is lost beyond that"
    else:
        told = f"mend unevenness, for it costs {_points_of(uneven)} and levels {_points_of(levels)}"
    if waits is None:
        return told
    if won > CLOSE:
        return f"{told}; waiting for the input (--onset-delay {delay:g}) wins {_points_of(won)}"
    return f"{told}; waiting for the input (--onset-delay {delay:g}) does not help"


def _widest(bound: Curve, own: Curve) -> str:
    """Tell of the gap between bound and run where it is wider, by more than it could be by chance, than at the end."""
    pairs = {t: (best, dict(own)[t]) for t, best in bound if t in dict(own)}
    last = pairs.get(bound[-1][0], (0.0, 0.0))
    t, (best, reached) = max(pairs.items(), key=lambda pair: pair[1][0] - pair[1][1], default=(0.0, last))
    if best - reached <= last[0] - last[1] + CLOSE:
        return ""
    return f"; the gap is widest at T = {count(t)}, {percent(best, 1)} against {percent(reached, 1)}, from unevenness"


def _points_of(difference: float) -> str:
    return f"{points(difference).lstrip('+-')} points"


def _points(curves: Mapping[str, Any], name: str) -> Curve:
    """Return the finite points of a curve; of ``steps`` themselves, each as its own value."""
    steps, values = curves.get("steps") or [], curves.get(name) or []
    found = [(number(t), number(value)) for t, value in zip(steps, values, strict=False)]
    return tuple((t, v) for t, v in found if t is not None and v is not None and t > 0 and math.isfinite(t + v))
