"""What a bundle did, in the form in which it is compared with a baseline."""

import json
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnconvert.errors import DataError, UsageError, damaged
from snnconvert.gate.baseline import ann_right, counts, dataset_of
from snnconvert.gate.predictions import MOST_BYTES, Predictions, read_npz
from snnconvert.gate.schema import Entry, Gate, Model, Row
from snnconvert.report.manifest import read_json, verify_bundle
from snnconvert.report.provenance import contents_of


@dataclass(frozen=True)
class Measurement:
    """The answers of a network and what they cost; ``source`` tells whether it was run just now.

    ``calibration`` is the digest of the samples that it was calibrated on, where it is known. ``left_out`` samples of
    the data that it was run on are none of the baseline's.
    """

    target: str
    source: str
    model: Model
    options: dict[str, Any]
    predictions: Predictions
    rows: tuple[Row, ...]
    calibration: str | None = None
    left_out: int = 0

    def entry(self, name: str, gate: Gate) -> Entry:
        """Return what a baseline holds of this; its predictions are still to be stored.

        Raises:
            UsageError: the gate is on steps that were not measured (E003).
        """
        found = self.predictions
        if missing := [t for t in gate.steps if self.row(t) is None]:
            known = ", ".join(str(row.t) for row in self.rows)
            raise UsageError("E003", f"--steps: {self.target} has no row of T = {missing[0]}, but of {known}")
        return Entry(
            name=name,
            model=self.model,
            calibration=self.calibration,
            dataset=dataset_of(found),
            ann_correct=ann_right(found),
            steps=list(self.rows),
            predictions=None,
            gate=gate,
            options=self.options,
        )

    @property
    def has_classes(self) -> bool:
        """Tell whether there are answers that can be right or wrong."""
        return self.rows[-1].right is not None

    def row(self, t: int) -> Row | None:
        """Return the row of a step, or None."""
        return next((row for row in self.rows if row.t == t), None)


def stored_measurement(bundle: Path, options: dict[str, Any]) -> Measurement:
    """Return what a bundle says that it did, after all its files have been compared with its manifest.

    Raises:
        SnnError: it is no bundle, or damaged (E001, E403).
    """
    verify_bundle(bundle)
    metrics = read_json(bundle, "metrics.json")
    file = bundle / "predictions.npz"
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        found = read_npz(file.read_bytes())
        rows, calibration = rows_of(found, metrics), calibration_of(bundle)
        return Measurement(str(bundle), "stored", model_of(bundle), options, found, rows, calibration)
    except (OSError, ValueError, LookupError, TypeError) as problem:
        raise damaged(file, problem) from None


def run_measurement(
    bundle: Path,
    options: dict[str, Any],
    data: str,
    advance: Callable[[int, int], None],
    warn: Callable[[str], None],
    steps: list[int] | None = None,
    wanted: Set[str] | None = None,
) -> Measurement:
    """Run a bundle on samples, as ``snnconvert evaluate`` does: at its own steps, or these; on all, or these.

    ``warn`` is told where that is longer than the network was calibrated for.

    Raises:
        SnnError: what opening and running a bundle raises.
    """
    from snnconvert.gate.run import ChosenSamples  # late: ONNX Runtime and torch

    verify_bundle(bundle)
    evaluator = ChosenSamples(bundle, wanted)
    horizon, last = evaluator.about["schedule"]["T"], max(steps or evaluator.about["steps"])
    if last > horizon:
        warn(f"{bundle}: calibrated for T = {horizon}; {last} is beyond")
    document, outcomes = evaluator.evaluate(data, steps, advance)
    dataset, indices, ids = evaluator.samples(data)
    unknown, has_classes = np.full(len(ids), -1), evaluator.about["classes"] is not None
    label = dataset.labels[indices] if has_classes and dataset.labels is not None else unknown
    ann = outcomes.ann if has_classes else unknown
    snn = outcomes.snn.T if has_classes else np.full((len(ids), len(outcomes.steps)), -1)
    predictions = Predictions(tuple(ids), label, ann, outcomes.steps, snn)
    if has_classes and predictions.truth is None:
        message = f"{data}: no labels, and for some samples the bundle does not hold the ANN's answer"
        raise DataError("E204", message, "give labels, or the samples that the conversion was evaluated on")
    rows = rows_of(predictions, document)
    model, calibration = model_of(bundle), calibration_of(bundle)
    return Measurement(str(bundle), "run", model, options, predictions, rows, calibration, evaluator.left_out)


def rows_of(predictions: Predictions, metrics: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return what a baseline holds of each step in metrics.json (ValueError: it has others than the predictions)."""
    rows, dense = [], metrics["classes"] is None
    if tuple(row["t"] for row in metrics["steps"]) != predictions.steps:
        raise ValueError("metrics.json has other steps")
    for row in metrics["steps"]:
        correct, agreed = counts(predictions, row["t"])
        rows.append(
            Row(
                t=row["t"],
                correct=correct,
                agreed=agreed,
                spikes_per_sample=float(row["spikes_per_sample"]),
                synops_per_sample=float(row["synops_per_sample"]),
                agreement=row["agreement"] if dense else None,
                output_error=row["output_error"] if dense else None,
            )
        )
    return tuple(rows)


def model_of(bundle: Path) -> Model:
    """Return what the bundle says of the model file that it was made of."""
    import onnx  # late: only to read the metadata
    from google.protobuf.message import DecodeError

    file = bundle / "snn.onnx"
    try:
        metadata = onnx.load_model_from_string(file.read_bytes()).metadata_props
        about = json.loads({each.key: each.value for each in metadata}["snnconvert"])["model"]
        return Model(file=about["name"], sha256=about["sha256"])
    except (DecodeError, OSError, ValueError, LookupError, TypeError, RecursionError) as problem:
        raise damaged(file, problem) from None


def calibration_of(bundle: Path) -> str | None:
    """Return the digest of the samples that a bundle was calibrated on; None where it does not tell."""
    found = contents_of(bundle, "calibration")
    return found if isinstance(found, str) and re.fullmatch("[0-9a-f]{64}", found) else None
