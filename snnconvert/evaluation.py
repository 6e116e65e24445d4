"""Simulates the evaluation set batch by batch; parts of it may have been measured by other processes."""

from collections.abc import Sequence

import numpy as np
import torch

from snnconvert.checkpoints import AGAIN, BROKEN, BY_SAMPLE, Arrays, Checkpoints
from snnconvert.conversion import Conversion, Progress, class_count, operations
from snnconvert.costing import cost_of_conversion
from snnconvert.errors import ModelError
from snnconvert.explanation import Explanation, explain
from snnconvert.measure import Answers, LayerErrors, Outcomes, top1
from snnconvert.network import whole
from snnconvert.simulate import Simulator
from snnconvert.tracing import trace

BY_CHANCE = 0.1  # over the share of one class, that an accuracy may have without anything learnt
CLEARLY = 0.05  # of samples, that more must be right on another scale
LOOKED_AT = 16  # samples on which averaged pools are compared
TRIED = 64  # samples that are brought to another scale, to see whether it suits the ANN better


class Sums:
    """What the samples so far amount to: ``outcomes`` and ``layers``, of ``labelled`` samples or others."""

    def __init__(self, outcomes: Outcomes, layers: LayerErrors, labelled: bool) -> None:
        self.outcomes, self.layers = outcomes, layers
        self._form = self.state()
        if labelled:
            self._form["labels"] = np.zeros(0, np.int64)

    def state(self) -> Arrays:
        """Return all that was gathered."""
        return {**self.outcomes.state(), **self.layers.state()}

    def merge(self, state: Arrays) -> None:
        """Add what other sums gathered of the samples that come next; all of it, or nothing.

        Raises:
            ValueError: they are no sums of this network and set of samples.
        """
        if state.keys() != self._form.keys():
            raise ValueError(f"{[*self._form]} expected, got {[*state]}")
        for name, array in self._form.items():
            found, axis = state[name], BY_SAMPLE.get(name)
            shape = list(found.shape)
            if axis is not None and found.ndim == array.ndim:
                if shape[axis] not in (int(state["samples"]), array.shape[axis]):
                    raise ValueError(f"{name}: {shape[axis]} samples of {int(state['samples'])}")
                shape[axis] = array.shape[axis]
            if shape != [*array.shape] or found.dtype != array.dtype:
                raise ValueError(f"{name}: {array.dtype} {array.shape} expected, got {found.dtype} {found.shape}")
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
        classes = class_count(self._conversion.folded)
        outcomes = Outcomes(steps, classes, network.schedule_document)
        labelled = self._conversion.evaluation.labels is not None and classes is not None
        return Sums(outcomes, LayerErrors(network, self._axes), labelled)

    def measure(self, batch: np.ndarray, first: int) -> Sums:
        """Run a batch, as the engine takes it, which begins at the sample ``first``; return what it amounts to.

        Added up in the order of the samples, these sums have the same bits wherever each was measured.

        Raises:
            InternalError: an output is no number (E911).
            ModelError: one of the ANN's own is none (E117).
        """
        network, sums = self._conversion.network, self.sums()
        x = torch.from_numpy(batch).to(self._device)
        given = whole(x, network.encoding)
        expected = self._conversion.loaded.reference.run(given.cpu().numpy())
        wrong = ~np.isfinite(expected).reshape(len(expected), -1).all(1)
        if wrong.any():
            raise ModelError(
                "E117",
                f"evaluation sample {first + int(wrong.argmax())}: the ANN's own output is NaN or infinite",
                "is the sample scaled as in training? if so, the network itself overflows",
            )
        answers = Answers(self._conversion.job.convert.steps, expected)
        for readout in self._simulator.run(x, self._conversion.job.convert.steps, network.stop_lead):
            ended = answers.add(network, readout)
            if ended.any():
                rates = {name: readout.rates[name][torch.from_numpy(ended)] for name in network.neurons}
                sums.layers.add(self._ann, given[readout.samples[ended]], rates)
        labels = self._conversion.evaluation.labels
        answers.give(sums.outcomes, None if labels is None else labels[first : first + len(batch)])
        return sums


def evaluate(
    conversion: Conversion, device: torch.device, progress: Progress, kept: Checkpoints | None = None
) -> Outcomes:
    """Simulate the evaluation set, compare with ONNX Runtime on the user's network, and fill in the metrics.

    What is kept of an earlier run, or of parts by other processes, is taken over; no bit depends on that.
    """
    chosen, bench = conversion.evaluation.in_time(conversion.network.bins), Bench(conversion, device)
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
    while (done := sums.outcomes.samples) < len(chosen):
        if done in parts:
            take_over(parts.pop(done))
            continue
        stop = min((start for start in parts if start > done), default=len(chosen))
        for batch in chosen.between(done, stop).batches(conversion.job.eval.batch_size, progress.advance):
            sums.merge(bench.measure(batch, sums.outcomes.samples).state())
            kept.keep(sums.state)
    conversion.metrics = {
        **sums.outcomes.document(operations(conversion)),
        "layers": sums.layers.rows(),
        "equivalence": [
            {"stage": each.stage, "compared": each.compared, "max_error": each.max_error, "limit": each.limit}
            for each in conversion.equivalence
        ],
    }
    if (doubt := _doubt(conversion)) is not None:
        conversion.warnings.append(doubt)
        progress.warn(doubt)
    return sums.outcomes


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
    right, scaled = (int((top1(conversion.loaded.reference.run(each)) == labels).sum()) for each in (x, x / largest))
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
    bench, states, at = Bench(conversion, device), [], start
    progress.stage("evaluate", stop - start)
    for batch in chosen.between(start, stop).batches(size, progress.advance):
        states.append(bench.measure(batch, at).state())
        at += len(batch)
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
    return float((found - expected).norm() / expected.norm()) if bool(expected.any()) else None
