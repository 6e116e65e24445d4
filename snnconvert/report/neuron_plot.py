"""A picture of one neuron: its membrane potential, its spikes, and its transfer curve beside the rectifier."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snnconvert.errors import UsageError
from snnconvert.neurons.run import NeuronRun, transfer
from snnconvert.report.drawing import QUIET, styled
from snnconvert.report.single_file import check_place, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DATES = {"svg": "Date", "pdf": "CreationDate"}  # left out, so that the same run gives the same bytes
FORMATS = ("svg", "png", "pdf")
INK, SPIKE = "#0b61c4", "#b4520a"
POINTS = 241  # of the transfer curve
SHOWN = 1000  # steps: more of them are a solid block


def check_plot(path: Path) -> None:
    """Refuse a file that could not be drawn.

    Raises:
        UsageError: its suffix is none of FORMATS (E003).
        OutputError: nothing can be written there (E401).
    """
    if _kind(path) not in FORMATS:
        raise UsageError("E003", f"--plot: expected a name that ends in .svg, .png or .pdf, got '{path.name[:80]}'")
    check_place(path)


def write_plot(run: NeuronRun, path: Path) -> None:
    """Draw a run into a file, in the format of its suffix; the file is there whole or not at all.

    Raises:
        UsageError: its suffix is none of FORMATS (E003).
        OutputError: it cannot be written (E401, E402).
    """
    check_plot(path)
    write_whole(path, drawn(run, _kind(path)))


def drawn(run: NeuronRun, kind: str) -> bytes:
    """Return the picture; the same bytes for the same run, whatever the user's own matplotlib is set to."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(9, 4.8), layout="constrained")  # without pyplot: no state outside of it
        places = figure.subplot_mosaic(
            [["trace", "transfer"], ["spikes", "transfer"]], width_ratios=[1.6, 1], height_ratios=[3, 1]
        )
        _draw_trace(places["trace"], run)
        _draw_spikes(places["spikes"], run)
        _draw_transfer(places["transfer"], run)
        places["trace"].sharex(places["spikes"])
        figure.align_ylabels([places["trace"], places["spikes"]])
        buffer = io.BytesIO()
        metadata = {DATES[kind]: None} if kind in DATES else {}
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=150)
    return buffer.getvalue()


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _unit(run: NeuronRun) -> float:
    """Return the threshold in the neuron's own units, which are thresholds for all but a few."""
    return float(getattr(run.neuron, "threshold", 1.0))


def _draw_trace(axes: "Axes", run: NeuronRun) -> None:
    """Draw each step as what the potential reached, and what the spike left of it."""
    shown = min(SHOWN, len(run.potentials))
    ends = np.array([run.reached[:shown], run.potentials[:shown]]).T
    axes.plot(np.repeat(np.arange(shown), 2), ends.ravel(), color=INK, linewidth=1.1, marker="." if shown == 1 else "")
    thresholds = [_unit(run) * 2.0**-power for power in range(getattr(run.neuron, "n", 1))]
    for threshold in thresholds:
        axes.axhline(threshold, color=QUIET, linestyle="--", linewidth=0.9 if threshold == thresholds[0] else 0.4)
    axes.margins(y=0.12)
    axes.annotate(
        "threshold" if len(thresholds) == 1 else "thresholds",
        (1, thresholds[0]),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        color=QUIET,
        verticalalignment="center",
    )
    axes.tick_params(labelbottom=False)
    axes.set_ylabel("membrane potential" if hasattr(run.neuron, "threshold") else "membrane potential [thresholds]")
    axes.set_title(f"{run.neuron.name} under a current of {run.current:g}")


def _draw_spikes(axes: "Axes", run: NeuronRun) -> None:
    shown = min(SHOWN, len(run.spikes))
    spikes = np.array(run.spikes[:shown])
    steps = np.flatnonzero(spikes)
    axes.vlines(steps, 0, spikes[steps], color=SPIKE, linewidth=min(1.4, max(0.4, 300 / shown)))
    axes.axhline(0, color=QUIET, linewidth=0.6)
    low, high = min(0.0, float(spikes.min())), float(spikes.max())
    high = high if high > 0 else 1.0
    axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    axes.set_xlim(-0.5, shown - 0.5)
    axes.locator_params(axis="x", integer=True)
    axes.locator_params(axis="y", nbins=3, integer=run.neuron.spikes != "graded" or high > 2)
    axes.set_ylabel("spikes")
    axes.set_xlabel("time step" if shown == len(run.spikes) else f"time step (first {shown:,} of {len(run.spikes):,})")


def _draw_transfer(axes: "Axes", run: NeuronRun) -> None:
    """Draw spike counts against currents up to 2 thresholds, or further where the run's own current lies there."""
    steps, unit = len(run.spikes), _unit(run)
    reach = max(2 * unit, 1.2 * abs(run.current))
    currents = np.linspace(-reach if run.current < 0 else -reach / 2, reach, POINTS)
    counts = np.array(transfer(run.neuron, currents.tolist(), steps)) * steps
    rectifier = np.maximum(currents / unit, 0) * steps
    axes.plot(currents, rectifier, color=QUIET, linestyle="--", linewidth=1, label="ReLU")
    axes.plot(currents, counts, color=INK, linewidth=1.3, drawstyle="steps-mid", label="neuron")
    axes.plot([run.current], [run.rate * steps], "o", color=SPIKE, label="this run")
    top = float(min(rectifier.max(), max(2.5 * counts.max(), 5)))  # a neuron far under the rectifier is to be seen
    axes.set_ylim(min(0.0, float(counts.min())) - 0.04 * top, 1.06 * top)
    axes.set_xlabel("current" if hasattr(run.neuron, "threshold") else "current [thresholds]")
    axes.set_ylabel(f"decoded rate x {steps:,} steps" if run.neuron.decodes else f"spikes in {steps:,} steps")
    axes.set_title("transfer curve")
    axes.legend(loc="upper left")
