"""The pictures of a report as files, drawn by matplotlib: for papers and slides."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from snnconvert.report.drawing import styled
from snnconvert.report.quantities import ann_accuracy, count, interval, number, rows, section
from snnconvert.report.text import printable
from snnconvert.report.trade_off import compared_by, scale_of_costs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAUSES = {"clipping": "#7a6a00", "quantisation": "#0072b2", "unevenness": "#b4520a"}
GRID = "#dfe4ea"
MOST = 60  # layers with a bar of their own


def plots(metrics: Mapping[str, Any], kind: str) -> dict[str, bytes]:
    """Return ``curve`` and, where a diagnosis was made, ``layers``, by name of file, as svg or png.

    The same bytes for the same numbers. Raises OutputError E403 for metrics that are no numbers.
    """
    from matplotlib.figure import Figure

    found: dict[str, bytes] = {}
    with styled():
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _curve(left, metrics, "total_steps", "time steps")
        _curve(right, metrics, "synops_per_sample", "synaptic operations a sample")
        labelled = any(row.get("accuracy") is not None for row in rows(metrics, "steps"))
        left.set_ylabel("accuracy [%]" if labelled else "agreement with the ANN [%]")
        left.legend(loc="lower right")
        found[f"curve.{kind}"] = _written(figure, kind)
        layers = rows(section(metrics, "diagnosis"), "layers")
        if any(number(row.get(cause)) for row in layers for cause in CAUSES):
            figure = Figure(figsize=(8, 1.2 + 0.22 * min(len(layers), MOST)), layout="constrained")
            _layers(figure.subplots(), layers, section(metrics, "diagnosis"))
            found[f"layers.{kind}"] = _written(figure, kind)
    return found


def _curve(axes: "Axes", metrics: Mapping[str, Any], cost: str, along: str) -> None:
    steps = [row for row in rows(metrics, "steps") if (number(row.get(cost)) or 0) > 0]
    by = compared_by(steps)
    points = [(number(row.get(cost)) or 0.0, number(row.get(by)), interval(row.get("accuracy_ci95"))) for row in steps]
    kept = [(x, 100 * y, ends) for x, y, ends in points if y is not None]
    if kept:
        axes.plot([x for x, *_ in kept], [y for _, y, _ in kept], marker="o", markersize=4, label="spiking network")
        spans = [(x, 100 * ends[0], 100 * ends[1]) for x, _, ends in kept if ends is not None]
        if spans:
            places, lows, highs = ([span[k] for span in spans] for k in range(3))
            axes.fill_between(places, lows, highs, alpha=0.18, linewidth=0, label="95 % interval")
        scale_of_costs(axes, cost)
    ann = ann_accuracy(metrics)
    if ann is not None:
        axes.axhline(100 * ann, linestyle="--", linewidth=1.2, color="#5a6675", label=f"ANN {100 * ann:.2f} %")
    axes.set_xlabel(along)
    axes.grid(visible=True, color=GRID, linewidth=0.6)


def _layers(axes: "Axes", layers: Sequence[Mapping[str, Any]], diagnosis: Mapping[str, Any]) -> None:
    """Draw the share of each layer in the output error as a bar, in the colours of its causes."""
    told = "" if len(layers) <= MOST else f", the first {MOST} of {len(layers)} layers"
    layers = layers[:MOST]
    places = range(len(layers))
    begins = [0.0] * len(layers)
    for cause, colour in CAUSES.items():
        shares = [100 * (number(row.get(cause)) or 0.0) for row in layers]
        axes.barh(places, shares, left=begins, color=colour, label=cause, height=0.7)
        begins = [begin + share for begin, share in zip(begins, shares, strict=True)]
    axes.set_yticks(places, [printable(str(row.get("name")), 40) for row in layers])
    axes.invert_yaxis()
    axes.set_xlabel(f"share of the output error [%], T = {count(number(diagnosis.get('t')))}{told}")
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right")


def _written(figure: "Figure", kind: str) -> bytes:
    buffer = io.BytesIO()
    nothing = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=200, metadata=nothing)
    return buffer.getvalue()
