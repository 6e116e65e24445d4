"""A picture of one neuron: its membrane potential, its spikes, and its transfer curve beside the rectifier."""

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from snnconvert.errors import OutputError, UsageError
from snnconvert.neurons.run import NeuronRun, transfer

FORMATS = ("svg", "png", "pdf")
INK, SPIKE, QUIET = "#1f4e79", "#c0392b", "#888888"
POINTS = 121  # of the transfer curve


def write_plot(run: NeuronRun, path: Path) -> None:
    """Draw a run into a file, by its suffix; the file is there whole or not at all.

    Raises:
        UsageError: another format (E003).
        OutputError: it cannot be written (E402).
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError("E003", f"--plot: expected a file named .svg, .png or .pdf, got '{path.name[:80]}'")
    content = drawn(run, kind)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as problem:
        with suppress(OSError):
            beside.unlink()
        raise OutputError("E402", f"{path}: cannot be written ({problem.strerror or problem})") from None


def drawn(run: NeuronRun, kind: str) -> bytes:
    """Return the picture; the same bytes for the same run."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}[kind]
    with mpl.rc_context(
        {"svg.hashsalt": "snnconvert", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(8, 5.2), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subfigures(1, 2, width_ratios=[1.5, 1])  # type: ignore[misc]
        trace, raster = left.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        _draw_trace(trace, run)
        _draw_spikes(raster, run)
        _draw_transfer(right.subplots(), run)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=150)
    return buffer.getvalue()


def _threshold(run: NeuronRun) -> float:
    return float(getattr(run.neuron, "threshold", 1.0))


def _draw_trace(axes: Any, run: NeuronRun) -> None:
    axes.plot(run.potentials, color=INK, linewidth=1.2, drawstyle="steps-mid")
    axes.axhline(_threshold(run), color=QUIET, linestyle="--", linewidth=1)
    axes.annotate(
        "threshold",
        (1, _threshold(run)),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        color=QUIET,
        ha="right",
    )
    axes.set_ylabel("membrane potential")
    axes.set_title(f"{run.neuron.name}, current {run.current:g}")


def _draw_spikes(axes: Any, run: NeuronRun) -> None:
    steps = np.flatnonzero(run.spikes)
    axes.vlines(steps, 0, np.asarray(run.spikes)[steps], color=SPIKE, linewidth=1.2)
    axes.axhline(0, color=QUIET, linewidth=0.6)
    axes.set_ylabel("spikes")
    axes.set_xlabel("time step")
    low, high = min(0.0, *run.spikes), max(1.0, *run.spikes)
    axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))


def _draw_transfer(axes: Any, run: NeuronRun) -> None:
    """Spike counts against currents from -2 to 2 thresholds, or further where the run's own current lies there."""
    steps, threshold = len(run.spikes), _threshold(run)
    reach = max(2 * threshold, 1.1 * abs(run.current))
    currents = np.linspace(-reach, reach, POINTS)
    counts = np.array(transfer(run.neuron, currents.tolist(), steps)) * steps
    axes.plot(currents, np.maximum(currents / threshold, 0) * steps, color=QUIET, linestyle="--", label="ReLU")
    axes.plot(currents, counts, color=INK, drawstyle="steps-mid", label="neuron")
    axes.plot([run.current], [run.rate * steps], "o", color=SPIKE, label="this run")
    axes.set_xlabel("current")
    axes.set_ylabel(f"spikes in {steps} steps")
    axes.set_title("transfer curve")
    axes.legend(frameon=False, loc="upper left")
