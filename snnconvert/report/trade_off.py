"""A picture of many conversions: accuracy against synaptic operations and against time steps, and who is best."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from snnconvert.report.drawing import styled
from snnconvert.report.quantities import number, suffixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 12  # lines with a name in the legend; more would hide the picture
FRONT = "#1c2430"
Points = list[tuple[float, float]]


def pareto(points: Sequence[tuple[float, float]]) -> Points:
    """Return the points of (cost, accuracy) that no other one beats in both, from the cheapest on."""
    front: Points = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or accuracy > front[-1][1]:
            front.append((cost, accuracy))
    return front


def compared_by(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return what rows of metrics.json are compared by: accuracy, or agreement with the ANN where one has no labels."""
    return "accuracy" if all(row.get("accuracy") is not None for row in rows) else "agreement"


def trade_off_svg(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """Return the picture of the rows of metrics.json by name; the same bytes for the same numbers."""
    from matplotlib.figure import Figure

    by = compared_by(row for rows in curves.values() for row in rows)
    with styled():
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _draw(left, curves, by, "synops_per_sample")
        _draw(right, curves, by, "total_steps")
        left.set_xlabel("synaptic operations a sample")
        right.set_xlabel("time steps")
        left.set_ylabel("accuracy [%]" if by == "accuracy" else "agreement with the ANN [%]")
        handles, names = right.get_legend_handles_labels()
        if handles:
            figure.legend(handles, names, loc="outside lower center", ncols=3)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _draw(axes: "Axes", curves: Mapping[str, Sequence[Mapping[str, Any]]], by: str, cost: str) -> None:
    every: Points = []
    for index, (name, rows) in enumerate(curves.items()):
        found = [(number(row.get(cost)), number(row.get(by))) for row in rows]
        points = [(x, 100 * y) for x, y in found if x is not None and x > 0 and y is not None]
        label = name if index < NAMED else f"and {len(curves) - NAMED} more" if index == NAMED else None
        axes.plot(*_columns(points), marker="o", markersize=3, linewidth=0.9, color=f"C{index % 10}", label=label)
        every += points
    front = pareto(every)
    axes.plot(*_columns(front), drawstyle="steps-post", color=FRONT, linewidth=1.4, linestyle="--", label="best")
    if every:
        scale_of_costs(axes, cost)
    axes.grid(visible=True, color="#dfe4ea", linewidth=0.6)


def scale_of_costs(axes: "Axes", cost: str) -> None:
    """Make the axis of costs logarithmic: time steps in powers of two, operations with k, M and G."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set_xscale("log", base=2 if cost == "total_steps" else 10)
    axes.xaxis.set_major_locator(LogLocator(2) if cost == "total_steps" else LogLocator(10, (1, 2, 5), numticks=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: suffixed(value).replace(".00", "")))


def _columns(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
