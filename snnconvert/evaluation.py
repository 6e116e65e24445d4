"""Simulates the evaluation set batch by batch; parts of it may have been measured by other processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from snnconvert.checkpoints import Checkpoints
from snnconvert.conversion import Conversion, Progress, class_count, operations
from snnconvert.explanation import Subject, explain
from snnconvert.measure import Answers, LayerErrors, Outcomes
from snnconvert.simulate import Simulator


@dataclass
class Sums:
    """What the samples so far amount to."""

    outcomes: Outcomes
    layers: LayerErrors

    def state(self) -> dict[str, Any]:
        """Return all that was gathered."""
        return {**self.outcomes.state(), **self.layers.state()}

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add what other sums gathered of the samples that come next."""
        self.outcomes.merge(state)
        self.layers.merge(state)


class Bench:
    """A converted network and the one that it came from, side by side."""

    def __init__(self, conversion: Conversion, device: torch.device) -> None:
        self._conversion = conversion
        self._device = device
        self._simulator = Simulator(conversion.network, device)
        self._ann = conversion.folded.mapped(lambda tensor: tensor.to(device))
        self._axes = {name: layer.axis for name, layer in conversion.statistics.layers.items()}

    def sums(self) -> Sums:
        """Return the sums of no samples."""
        network, steps = self._conversion.network, self._conversion.job.convert.steps
        outcomes = Outcomes(steps, class_count(self._conversion.folded), network.schedule_document)
        return Sums(outcomes, LayerErrors(network, self._axes))

    def measure(self, batch: np.ndarray, first: int, sums: Sums) -> None:
        """Run a batch, which begins at the sample ``first``, and add what comes of it.

        Raises:
            InternalError: an output is no number (E911).
        """
        network = self._conversion.network
        x = torch.from_numpy(batch).to(self._device)
        expected = self._conversion.loaded.reference.run(batch)
        answers = Answers(self._conversion.job.convert.steps, expected)
        for readout in self._simulator.run(x, self._conversion.job.convert.steps, network.stop_lead):
            ended = answers.add(network, readout)
            if ended.any():
                rates = {name: readout.rates[name][torch.from_numpy(ended)] for name in network.neurons}
                sums.layers.add(self._ann, x[readout.samples[ended]], rates)
        labels = self._conversion.evaluation.labels
        answers.give(sums.outcomes, None if labels is None else labels[first : first + len(batch)])


def evaluate(
    conversion: Conversion, device: torch.device, progress: Progress, kept: Checkpoints | None = None
) -> Outcomes:
    """Simulate the evaluation set, compare with ONNX Runtime on the user's network, and fill in the metrics.

    What is kept of an earlier run, or of parts by other processes, is taken over; no bit depends on that.
    """
    chosen, bench, kept = conversion.evaluation, Bench(conversion, device), kept or Checkpoints()
    sums, parts = bench.sums(), kept.parts()
    progress.stage("evaluate", len(chosen))
    if done := kept.resume(sums.outcomes, sums.layers):
        progress.advance(done)
    while done < len(chosen):
        if done in parts:
            for state in parts.pop(done):
                sums.merge(state)
            progress.advance(sums.outcomes.samples - done)
        else:
            stop = min((start for start in parts if start > done), default=len(chosen))
            for batch in chosen.between(done, stop).batches(conversion.job.eval.batch_size, progress.advance):
                bench.measure(batch, sums.outcomes.samples, sums)
                kept.keep(sums.outcomes, sums.layers)
        done = sums.outcomes.samples
    conversion.metrics = {
        **sums.outcomes.document(operations(conversion)),
        "layers": sums.layers.rows(),
        "equivalence": [
            {"stage": each.stage, "compared": each.compared, "max_error": each.max_error, "limit": each.limit}
            for each in conversion.equivalence
        ],
    }
    conversion.metrics |= explained(conversion, device, progress)
    return sums.outcomes


def evaluate_part(
    conversion: Conversion, device: torch.device, number: int, parts: int, progress: Progress, kept: Checkpoints
) -> None:
    """Simulate one of several parts of the evaluation set, whole batches of it, and keep what each batch amounts to."""
    chosen, size = conversion.evaluation, conversion.job.eval.batch_size
    batches = -(-len(chosen) // size)
    start, stop = (min(len(chosen), each * batches // parts * size) for each in (number, number + 1))
    if start == stop or start in kept.parts():
        return
    bench, states, at = Bench(conversion, device), [], start
    progress.stage("evaluate", stop - start)
    for batch in chosen.between(start, stop).batches(size, progress.advance):
        sums = bench.sums()  # of this batch alone: added up in the order of the samples, all bits are as undivided
        bench.measure(batch, at, sums)
        states.append(sums.state())
        at += len(batch)
    kept.keep_part(start, states)


def explained(conversion: Conversion, device: torch.device, progress: Progress) -> dict[str, Any]:
    """Return where the error comes from, what to change, and the three curves."""
    subject = Subject(
        conversion.job,
        conversion.statistics,
        conversion.normal,
        conversion.network,
        conversion.calib,
        class_count(conversion.folded) is not None,
        device,
    )
    stops = conversion.network.stop_lead is not None  # then outputs are those of fewer steps, which explains them
    evaluated = None if stops else conversion.metrics["steps"][-1]["output_error"]
    return explain(subject, evaluated, lambda samples: progress.stage("diagnose", samples), progress.advance)
