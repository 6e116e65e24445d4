"""Pictures of what neurons do over time: a membrane potential, and under it the spikes of some neurons of its layer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from snnconvert.data import Selection
from snnconvert.measure import Outcomes, Trace, Traced
from snnconvert.report.changes import class_name, thumbnail
from snnconvert.report.plot import WIDTH
from snnconvert.report.quantities import count, plain
from snnconvert.report.text import printable

LEFT, RIGHT = 34.0, WIDTH - 8
TOP, BOTTOM = 10.0, 84.0  # of the potential
ROW, TICK = 10.0, 8.0  # of the raster: a neuron, a spike as large as can be
WINDOW = 128  # steps that are drawn


def traces(traced: Traced, outcomes: Outcomes, evaluation: Selection, steps: int) -> dict[str, Any]:
    """Return what the page says: a sentence, a picture of the sample, and a figure with its caption for each layer.

    ``steps`` is the T of the network.
    """
    number = int(evaluation.indices[traced.at])
    said = f"Sample {count(number)}" + _answers(traced.at, outcomes, evaluation)
    if traced.steps < steps:
        said += f"; the first {count(traced.steps)} of {count(steps)} steps"
    if len(traced.traces) < traced.layers:
        said += f"; {len(traced.traces)} of {traced.layers} layers"
    end = max(each.end for each in traced.traces.values())
    figures: list[tuple[Markup, str]] = []
    for name, each in traced.traces.items():
        first = 0 if end <= WINDOW else each.start
        # of neurons that were asked for, each has a picture of its own; else one stands for the layer
        for column in range(len(each.places)) if name in traced.named else [0]:
            activation, rate = (float(values[name][column]) for values in (traced.activations, traced.rates))
            neuron = ",".join(map(str, np.unravel_index(each.places[column], each.shape)))
            told = f"{printable(name)}, neuron {neuron}: activation {plain(activation)}, rate {plain(rate)}"
            raster = [column] if name in traced.named else list(range(len(each.places)))
            shown = _Shown(each, raster, first, min(WINDOW, end - first))
            figures.append((_svg(shown, f"trace{len(figures)}", told), told))
    return {"sentence": f"{said}.", "picture": thumbnail(evaluation, traced.at), "figures": figures}


def _answers(at: int, outcomes: Outcomes, evaluation: Selection) -> str:
    if outcomes.classes is None or outcomes.classes < 2:
        return ""
    ann, snn = int(outcomes.ann[at]), int(outcomes.snn[-1][at])
    told = f": the ANN says {class_name(evaluation, ann)}, the spiking network {class_name(evaluation, snn)}"
    labels = outcomes.labels
    return printable(told if labels is None else f"{told}, the label {class_name(evaluation, int(labels[at]))}", 300)


@dataclass(frozen=True)
class _Shown:
    """What a picture shows of a trace: ``steps`` from ``first`` of its ``columns``, and the potential of the first."""

    trace: Trace
    columns: Sequence[int]
    first: int
    steps: int

    @property
    def rows(self) -> slice:
        return slice(*(max(each - self.trace.began, 0) for each in (self.first, self.first + self.steps)))

    @property
    def width(self) -> float:
        return (RIGHT - LEFT) / self.steps

    def x(self, row: int) -> float:
        """Return the middle of the step of a row that is shown."""
        return LEFT + (max(self.trace.began - self.first, 0) + row + 0.5) * self.width


def _svg(shown: _Shown, identifier: str, told: str) -> Markup:
    trace = shown.trace
    spikes = trace.spikes[shown.rows, list(shown.columns)].double().numpy()
    height = BOTTOM + 8 + ROW * len(shown.columns) + 20
    waits = min(trace.start - shown.first, shown.steps)
    parts = [
        f'<svg class="curve" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-labelledby="{identifier}">',
        f'<title id="{identifier}">{escape(told)}; {count(float((spikes[:, 0] != 0).sum()))} spikes are shown</title>',
        *([_rectangle(waits * shown.width, height - 20)] if waits > 0 else []),
        *_potential(shown, float(getattr(trace.neuron, "threshold", 1.0))),
        *_raster(shown, spikes, trace.neuron.most),
    ]
    for x, step, anchor in ((LEFT, shown.first, "start"), (RIGHT, shown.first + shown.steps - 1, "end")):
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 6:.1f}" text-anchor="{anchor}">{count(step)}</text>')
    middle = (LEFT + RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle:.1f}" y="{height - 6:.1f}" text-anchor="middle">time step</text>')
    return Markup("\n".join([*parts, "</svg>"]))  # noqa: S704 - words are escaped


def _rectangle(width: float, height: float) -> str:
    return f'<rect class="waits" x="{LEFT:.1f}" y="{TOP:.1f}" width="{width:.1f}" height="{height - TOP:.1f}"/>'


def _potential(shown: _Shown, threshold: float) -> Iterable[str]:
    """Draw each step as what the potential reached and what the spike left of it; a dashed line is the threshold."""
    column = shown.columns[0]
    reached, after = (each[shown.rows, column].tolist() for each in (shown.trace.reached, shown.trace.potentials))
    low: float = min([0.0, *reached, *after])
    high: float = max([1.2 * threshold, *reached])

    def y(value: float) -> float:
        return BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP)

    for value, style in ((0.0, "axis"), (threshold, "ann")):
        at = y(value)
        yield f'<line class="{style}" x1="{LEFT:.1f}" y1="{at:.1f}" x2="{RIGHT:.1f}" y2="{at:.1f}"/>'
        if value == 0 or y(0) - at > 13:  # else the two would meet
            yield f'<text class="tick" x="{LEFT - 5:.1f}" y="{at + 4.5:.1f}" text-anchor="end">{value:g}</text>'
    corners = []
    for row, ends in enumerate(zip(reached, after, strict=True)):
        corners += [f"{shown.x(row):.1f},{y(end):.1f}" for end in dict.fromkeys(ends)]
    yield f'<polyline class="potential" points="{" ".join(corners)}"/>'


def _raster(shown: _Shown, spikes: NDArray[np.float64], most: float) -> Iterable[str]:
    """Draw the spikes of each neuron in a row, larger ones higher; those that take back in another colour."""
    stroke = max(0.8, min(3.0, 0.7 * shown.width))
    for style, sign in (("spike", 1), ("spike back", -1)):
        path = ""
        for step, neuron in zip(*np.nonzero(sign * spikes > 0), strict=True):
            size = max(2.0, TICK * min(1.0, abs(spikes[step, neuron]) / most))
            base = BOTTOM + 8 + ROW * (neuron + 1)
            path += f"M{shown.x(int(step)):.1f} {base:.1f}v{-size:.1f}"
        if path:
            yield f'<path class="{style}" stroke-width="{stroke:.1f}" d="{path}"/>'
    for neuron in range(spikes.shape[1]):
        base = BOTTOM + 8 + ROW * (neuron + 1)
        yield f'<line class="grid" x1="{LEFT:.1f}" y1="{base:.1f}" x2="{RIGHT:.1f}" y2="{base:.1f}"/>'
