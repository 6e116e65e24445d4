"""Simulates the evaluation set batch by batch; parts of it may have been measured by other processes."""

import dataclasses
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch

from snnconvert.bench import Bench, pieces
from snnconvert.checkpoints import AGAIN, BROKEN, Arrays, Checkpoints
from snnconvert.conversion import Conversion, operations
from snnconvert.costing import cost_of_conversion
from snnconvert.explanation import Explanation, explain
from snnconvert.measure import Outcomes, top1
from snnconvert.measure.totals import squared
from snnconvert.progress import Progress
from snnconvert.tracing import trace
from snnconvert.workers import Measure, measuring

BY_CHANCE = 0.1  # over the share of one class, that an accuracy may have without anything learnt
CLEARLY = 0.05  # of samples, that more must be right on another scale
LOOKED_AT = 16  # samples on which averaged pools are compared
TRIED = 64  # samples that are brought to another scale, to see whether it suits the ANN better


def evaluate(
    conversion: Conversion, device: torch.device, progress: Progress, kept: Checkpoints | None = None
) -> Outcomes:
    """Simulate the evaluation set, compare with ONNX Runtime on the user's network, and fill in the metrics.

    What is kept of an earlier run, or of parts by other processes, is taken over; no bit depends on that.
    """
    chosen, bench = conversion.evaluation.in_time(conversion.network.bins), Bench.of(conversion, device)
    size = conversion.job.eval.batch_size
    kept = (kept or Checkpoints()).of(conversion.network.digest)
    sums, parts, before = bench.sums(), kept.parts(progress.warn), kept.state(progress.warn)
    progress.stage("evaluate", len(chosen))

    def take_over(states: Sequence[Arrays]) -> None:
        done = sums.outcomes.samples
        try:
            for state in states:
                sums.merge(state)
        except BROKEN:
            progress.warn(f"sample {sums.outcomes.samples}: {AGAIN}")
        if sums.outcomes.samples > done:
            progress.advance(sums.outcomes.samples - done)

    take_over([] if before is None else [before])
    with _measuring(conversion, bench, len(chosen) - sums.outcomes.samples) as measure:
        while (done := sums.outcomes.samples) < len(chosen):
            if done in parts:
                take_over(parts.pop(done))
                continue
            stop = min((start for start in parts if start > done), default=len(chosen))
            for state in measure(pieces(chosen, done, stop, size)):
                sums.merge(state)
                kept.keep(sums.state)
                progress.advance(int(state["samples"]))
    conversion.metrics = {
        **sums.outcomes.document(operations(conversion)),
        "layers": sums.layers.rows(),
        "equivalence": [dataclasses.asdict(each) for each in conversion.equivalence],
    }
    if (doubt := _doubt(conversion)) is not None:
        conversion.warnings.append(doubt)
        progress.warn(doubt)
    return sums.outcomes


def _measuring(conversion: Conversion, bench: Bench, samples: int) -> AbstractContextManager[Measure]:
    """Return what measures that many samples, by no more processes than there are batches."""
    return measuring(bench, min(conversion.job.workers, -(-samples // conversion.job.eval.batch_size)))


def interpret(conversion: Conversion, outcomes: Outcomes, device: torch.device, progress: Progress) -> None:
    """Say of an evaluated network what it costs, where its error comes from, and what single neurons do over time."""
    conversion.metrics |= {"cost": cost_of_conversion(conversion, progress)}
    explanation = explained(conversion, device, progress)
    conversion.metrics |= explanation.metrics
    conversion.densities = explanation.densities
    conversion.traced = trace(conversion, outcomes, device, progress)


def _doubt(conversion: Conversion) -> str | None:
    """Say that preprocessing or labels are rather wrong: the ANN does no better than by chance, or better otherwise.

    The latter is tried where whole numbers went in as they are stored: on a few samples, brought to at most 1.
    """
    metrics, evaluation = conversion.metrics, conversion.evaluation
    accuracy, classes = metrics["ann"]["accuracy"], metrics["classes"]
    if accuracy is None or classes < 2 or evaluation.labels is None:
        return None
    sample = np.asarray(evaluation.dataset.sample(int(evaluation.indices[0])))
    stored = not conversion.job.preprocess and sample.dtype.kind in "iu"
    how = ", which went in as they are stored" if stored else ""
    told = f"W206: the ANN itself is right on {accuracy:.2%} of the samples{how}".replace("%", " %")
    if accuracy <= 1 / classes + BY_CHANCE:
        return f"{told}: do --preprocess and the labels fit the network?"
    if not stored:
        return None
    x, labels = evaluation.first(TRIED), evaluation.labels[:TRIED]
    largest = np.abs(x).max()
    if largest <= 1:
        return None
    reference, binary = conversion.loaded.reference, conversion.folded.binary
    right, scaled = (int((top1(reference.run(each), binary) == labels).sum()) for each in (x, x / largest))
    if scaled <= right + CLEARLY * len(x):
        return None
    return f"{told}; of {len(x)}, {right} as they are and {scaled} with scale=1/{largest:g}: does --preprocess fit?"


def evaluate_part(
    conversion: Conversion, device: torch.device, number: int, parts: int, progress: Progress, kept: Checkpoints
) -> None:
    """Simulate one of several parts of the evaluation set, whole batches of it, and keep what each batch amounts to."""
    chosen, size = conversion.evaluation.in_time(conversion.network.bins), conversion.job.eval.batch_size
    batches = -(-len(chosen) // size)
    start, stop = (min(len(chosen), each * batches // parts * size) for each in (number, number + 1))
    if start == stop:
        return
    bench, states = Bench.of(conversion, device), []
    progress.stage("evaluate", stop - start)
    with _measuring(conversion, bench, stop - start) as measure:
        for state in measure(pieces(chosen, start, stop, size)):
            states.append(state)
            progress.advance(int(state["samples"]))
    kept.of(conversion.network.digest).keep_part(number, parts, start, states)


def explained(conversion: Conversion, device: torch.device, progress: Progress) -> Explanation:
    """Return where the error comes from, what to change, and the three curves."""
    stops = conversion.network.stop_lead is not None  # then outputs are those of fewer steps, which explains them
    evaluated = None if stops else conversion.metrics["steps"][-1]["output_error"]
    return explain(conversion, device, evaluated, _averaged(conversion), progress)


def _averaged(conversion: Conversion) -> float | None:
    """Return the relative L2 distance that averages in the place of max pools move the ANN's outputs by."""
    if conversion.job.convert.max_pool != "average":
        return None
    x = torch.from_numpy(conversion.calib.first(LOOKED_AT))
    with torch.no_grad():
        expected, found = conversion.folded.run(x), conversion.normal.graph.run(x)
    norm = squared(expected)
    return math.sqrt(squared(found - expected) / norm) if norm else None
