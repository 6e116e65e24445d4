"""One HTML page about several conversions: their curves over each other, who is best, a table that sorts, links.

It is complete in itself, readable without the script that sorts, and asks no network for anything.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

from snnconvert import __version__
from snnconvert.report.page import rendered
from snnconvert.report.plot import Series, axes_of, description, drawn, frame, opening, round_numbers
from snnconvert.report.quantities import (
    NOTHING,
    ann_accuracy,
    count,
    number,
    percent,
    plain,
    points,
    rows,
    suffixed,
)
from snnconvert.report.tables import steps_to
from snnconvert.report.text import printable
from snnconvert.report.trade_off import compared_by, pareto

COLOURS = (  # light and dark; told apart by those who do not see all colours, as Okabe and Ito (2008) have them
    ("#0072b2", "#6db3ff"),
    ("#b4520a", "#ffb066"),
    ("#007a55", "#4fd0a5"),
    ("#a3397c", "#f093cc"),
    ("#7a6a00", "#e6d34a"),
    ("#5b4bb5", "#b3a7ff"),
    ("#9c1f2e", "#ff9aa5"),
    ("#4b5563", "#c3ccd6"),
)
DASHES = ("none", "7 4", "2 3")  # of the runs beyond the first eight, and beyond sixteen
DIFFERING = 6  # options that have columns of their own, at most
MISSED = {"convert.steps", "neuron"}  # told by the rows themselves


@dataclass(frozen=True)
class Run:
    """A conversion: name, where its own page is from here, metrics.json, options, and the digest of its samples."""

    name: str
    href: str | None
    metrics: Mapping[str, Any]
    options: Mapping[str, object]
    samples: str | None


@dataclass(frozen=True)
class Cell:
    """A text and what it is sorted by; nothing where it has no value."""

    text: str
    key: str


def render_comparison(runs: Sequence[Run]) -> bytes:
    """Return the page as UTF-8; the same runs give the same bytes. Every text in them may be hostile: it is escaped.

    Raises:
        OutputError: metrics that are no numbers (E403).
    """
    header, table = _table(runs)
    script = resources.files(__package__).joinpath("sort.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    styles = [
        f".curve .line.run{k}{{stroke:var(--run{k % len(COLOURS)});stroke-dasharray:{_dashes(k)}}}"
        f".curve .point.run{k}{{fill:var(--run{k % len(COLOURS)})}}"
        f".key .run{k}{{stroke:var(--run{k % len(COLOURS)});stroke-width:3;stroke-dasharray:{_dashes(k)}}}\n"
        for k in range(len(runs))
    ]
    light, dark = (";".join(f"--run{k}:{each[side]}" for k, each in enumerate(COLOURS)) for side in (0, 1))
    return rendered(
        "compare.html.j2",
        title=f"{len(runs)} runs compared" if len(runs) != 1 else "One run",
        version=__version__,
        verdict=verdict(runs),
        notes=hard_to_compare(runs),
        pictures=[_picture(runs, "total_steps"), _picture(runs, "synops_per_sample")],
        header=header,
        words={*range(header.index("samples")), len(header) - 1},
        reached="steps to 99 %" in header,
        rows=[
            {"name": printable(run.name), "href": run.href, "style": f"run{k}", "cells": table[k]}
            for k, run in enumerate(runs)
        ],
        script=script,
        script_digest=f"sha256-{digest}",
        run_light=light,
        run_dark=dark,
        run_style="".join(styles),
    )


def verdict(runs: Sequence[Run]) -> str:
    """Return in words who is best, and who is cheap."""
    by = _compared_by(runs)
    every = ((run, row, number(row.get(by))) for run in runs for row in rows(run.metrics, "steps"))
    last = [(run, row, found) for run, row, found in every if found is not None]
    if not last:
        return "No run has an accuracy or an agreement to compare."
    what = "accurate" if by == "accuracy" else "true to its ANN"
    run, row, most = max(last, key=lambda each: (each[2], -(number(each[1].get("synops_per_sample")) or 0.0)))
    said = [f"Most {what}: {printable(run.name)}, {percent(most)} at T = {count(number(row.get('t')))}."]
    near = [each for each in last if each[2] >= most - 0.01 and number(each[1].get("synops_per_sample")) is not None]
    if near:
        run, row, found = min(near, key=lambda each: number(each[1].get("synops_per_sample")) or 0.0)
        cost = suffixed(number(row.get("synops_per_sample")))
        said.append(
            f"Cheapest within one point of that: {printable(run.name)} at T = {count(number(row.get('t')))}, "
            f"{percent(found)} with {cost} SynOps."
        )
    return " ".join(said).replace(" %", "\N{NO-BREAK SPACE}%")


def on_front(runs: Sequence[Run]) -> list[bool]:
    """Tell which runs, at their largest T, no other run beats in both quality and SynOps, at any of its steps."""
    by = _compared_by(runs)
    every = [_points(run, by) for run in runs]

    def beaten(k: int) -> bool:
        cost, best = every[k][-1]
        others = (point for j, points in enumerate(every) if j != k for point in points)
        return any(c <= cost and b >= best and (c, b) != (cost, best) for c, b in others)

    return [bool(points) and not beaten(k) for k, points in enumerate(every)]


def _compared_by(runs: Sequence[Run]) -> str:
    return compared_by(row for run in runs for row in rows(run.metrics, "steps"))


def _points(run: Run, by: str) -> list[tuple[float, float]]:
    """Return SynOps and quality at each number of steps."""
    found = [(number(row.get("synops_per_sample")), number(row.get(by))) for row in rows(run.metrics, "steps")]
    return [(cost, best) for cost, best in found if cost is not None and best is not None]


def hard_to_compare(runs: Sequence[Run]) -> list[str]:
    """Return what makes runs hard to compare."""
    notes = []
    if len(differing := _differing(runs)) > DIFFERING:
        notes.append(f"The runs differ in {len(differing)} options; the table has the first {DIFFERING} of them.")
    if len({run.samples for run in runs}) > 1:
        notes.append("Not all runs were evaluated on the same samples: their accuracies differ by chance, too.")
    if len({json.dumps(run.metrics.get("ann"), sort_keys=True) for run in runs}) > 1:
        notes.append("The ANNs are not all the same, or were measured on other samples.")
    kinds = {row.get("accuracy") is not None for run in runs for row in rows(run.metrics, "steps")}
    if len(kinds) > 1:
        notes.append("Some runs have labels and others none: all are compared by their agreement with the ANN.")
    return notes


def _table(runs: Sequence[Run]) -> tuple[list[str], list[list[Cell]]]:
    """Return the header, and the cells of each run but its name."""
    options = _differing(runs)[:DIFFERING]
    models = [str(run.options.get("model", NOTHING)).rpartition("/")[2] for run in runs]
    named = ["model"] if len({*models}) > 1 else []
    told = [path.partition(".")[2].replace("_", " ") for path in options]
    header = ["run", *named, *told, "samples", "T", "accuracy", "vs ANN", "agreement", "SynOps", "energy / ANN"]
    reached = [steps_to(run.metrics) for run in runs]
    header += [*(["steps to 99 %"] if any(ann_accuracy(run.metrics) is not None for run in runs) else []), "best"]
    table = []
    for run, model, first, best in zip(runs, models, reached, on_front(runs), strict=True):
        row = (rows(run.metrics, "steps") or [{}])[-1]
        accuracy, ann = number(row.get("accuracy")), ann_accuracy(run.metrics)
        loss = None if accuracy is None or ann is None else accuracy - ann
        cells = [_word(model) for _ in named]
        cells += [_word(_literal(run.options.get(path))) for path in options]
        cells += [
            _number(number(run.metrics.get("samples")), count),
            _number(number(row.get("t")), count),
            _number(accuracy, percent),
            _number(loss, points),
            _number(number(row.get("agreement")), percent),
            _number(number(row.get("synops_per_sample")), suffixed),
            _number(number(row.get("energy_ratio")), plain),
        ]
        cells += [_number(first, count)] if "steps to 99 %" in header else []
        table.append([*cells, _word("best" if best else "")])
    return header, table


def _differing(runs: Sequence[Run]) -> list[str]:
    """Return the options of conversion in which the runs differ."""
    paths = sorted({path for run in runs for path in run.options if path.startswith(("convert.", "neuron."))})
    values = {path: {_literal(run.options.get(path)) for run in runs} for path in paths if path not in MISSED}
    return [path for path, found in values.items() if len(found) > 1]


def _picture(runs: Sequence[Run], cost: str) -> str:
    """Draw the quality of all runs against what it costs."""
    steps, by = cost == "total_steps", _compared_by(runs)
    label = count if steps else suffixed
    series = []
    for k, run in enumerate(runs):
        found = [(number(row.get(cost)), number(row.get(by)), row) for row in rows(run.metrics, "steps")]
        kept = [(x, y, row) for x, y, row in found if x is not None and y is not None and 0 < x < math.inf]
        kept.sort(key=lambda each: each[0])
        name = printable(run.name, 60)
        unit = "steps" if steps else "SynOps"
        told = tuple(
            escape(f"{name}: {percent(y)} at T = {count(number(row.get('t')))}, {label(x)} {unit}")
            for x, y, row in kept
        )
        series.append(Series(name, f"run{k}", tuple((x, y) for x, y, _ in kept), told))
    every = [point for each in series for point in each.points]
    axes = axes_of([x for x, _ in every], [y for _, y in every])
    ticks = [x for x, _ in every] if steps else round_numbers(axes)
    along = "time steps in all" if steps else "SynOps a sample"
    front = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in pareto(every))
    what = "Accuracy" if by == "accuracy" else "Agreement with the ANN"
    return "\n".join(
        [
            opening(False, cost),
            f'<title id="{cost}-title">{what} against {along}</title>',
            f'<desc id="{cost}-desc">{escape(description(series, None))}</desc>',
            *frame(axes, ticks, what.lower(), along, lambda x: label(x).replace(".00", "")),
            f'<polyline class="line front" points="{front}"/>',
            *(part for each in series for part in drawn(axes, each)),
            "</svg>",
        ]
    )


def _dashes(k: int) -> str:
    return DASHES[k // len(COLOURS) % len(DASHES)]


def _word(text: str) -> Cell:
    return Cell(printable(text, 80), printable(text, 80))


def _number(value: float | None, told: Any) -> Cell:
    return Cell(NOTHING, "") if value is None else Cell(told(value).replace(" %", "\N{NO-BREAK SPACE}%"), repr(value))


def _literal(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
