"""Gathers what a network answered, and turns it into the rows of metrics.json.

This file is carried by the evaluator of every bundle unchanged, so it needs nothing but numpy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ADD_PJ = 0.9  # one addition in float32, 45 nm (Horowitz, ISSCC 2014)
MAC_PJ = 4.6  # one multiplication and addition


def wilson(correct: int, samples: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return the 95 % score interval of a fraction (Wilson 1927)."""
    if samples == 0:
        return 0.0, 1.0
    fraction, spread = correct / samples, z * z / samples
    middle = (fraction + spread / 2) / (1 + spread)
    half = z * np.sqrt(fraction * (1 - fraction) / samples + spread / (4 * samples)) / (1 + spread)
    low = 0.0 if correct == 0 else float(middle - half)  # exactly so; rounding would leave the fraction outside
    return low, 1.0 if correct == samples else float(middle + half)


def top1(output: np.ndarray, binary: bool = False) -> np.ndarray:
    """Return the class of each sample of outputs ``(N, classes)``; of dense outputs, the class at each position.

    ``binary``: there is one output for two classes, a logit, also ``(N,)``: where it is positive, it is class 1. Of one
    output that is none nothing was chosen: -1, as for an answer that is not known.
    """
    if binary:
        positive = np.asarray(output > 0, np.int32)
        return positive.reshape(len(output)) if output.size == len(output) else positive[:, 0]
    output = output if output.ndim > 1 else output[:, None]
    chosen = np.asarray(output.argmax(1), np.int32)
    return chosen if output.shape[1] > 1 else chosen - 1


class Outcomes:
    """Answers at each of ``steps``, batch by batch; labels, and the ANN's answers, may be missing.

    ``classes`` is None for outputs that are no classes (dense prediction, regression): these have no accuracy. Of dense
    ones it is counted how many positions agree; the answers are not kept. ``schedule`` is that of metrics.json: T,
    delays, the ``latency``, the steps that pass before the first one that counts, and the ``stop_lead`` that settles a
    sample, where samples may stop early: their answers, spikes and SynOps then stand for all later steps.
    """

    def __init__(self, steps: Sequence[int], classes: int | None, schedule: Mapping[str, Any] | None = None) -> None:
        self.steps = tuple(steps)
        self.schedule = {"T": max(steps), "onset_delay": 0, "latency": 0} if schedule is None else dict(schedule)
        self.classes = classes
        self.samples = 0
        self._labels: list[np.ndarray] = []
        self._ann: list[np.ndarray] = []
        self._snn: list[np.ndarray] = []
        self._agreed = np.zeros(len(self.steps))
        self._compared = 0
        self._spikes = np.zeros(len(self.steps))
        self._synops = np.zeros(len(self.steps))
        self._taken = np.zeros(len(self.steps))
        self._squared_error = np.zeros(len(self.steps))
        self._squared_norm = 0.0

    def add(
        self,
        snn: np.ndarray,
        spikes: np.ndarray,
        synops: np.ndarray,
        ann: np.ndarray,
        labels: np.ndarray | None,
        taken: np.ndarray | None = None,
    ) -> None:
        """Take one batch: answers ``(steps, N, ...)``, totals of spikes and SynOps ``(steps,)``, the ANN's answers.

        Spikes are those of neurons and of pools over spikes, which send events on just as neurons do.

        ``ann`` is ``(N, ...)``, negative where it is not known; ``labels`` is ``(N,)``; ``taken`` is the total of the
        steps that the samples took, ``(steps,)``, fewer than those of the row where samples stopped.
        """
        self.samples += snn.shape[1]
        known = ann.reshape(len(ann), -1)[:, 0] >= 0
        self._agreed += (snn[:, known] == ann[known]).reshape(len(snn), -1).sum(1)
        self._compared += int(ann[known].size)
        if self.classes is not None:
            self._snn.append(snn)
            self._ann.append(ann)
            if labels is not None:
                self._labels.append(labels)
        self._spikes += spikes
        self._synops += synops
        self._taken += snn.shape[1] * np.array(self.steps) if taken is None else taken

    def add_outputs(self, squared_error: np.ndarray, squared_norm: float) -> None:
        """Take the squared distance of outputs ``(steps,)`` to the ANN's, and the squared length of the ANN's."""
        self._squared_error += squared_error
        self._squared_norm += squared_norm

    def state(self) -> dict[str, np.ndarray]:
        """Return all that was gathered, for :meth:`merge`."""
        kept = {"snn": self.snn, "ann": self.ann} | ({} if self.labels is None else {"labels": self.labels})
        numbers = {"samples": self.samples, "compared": self._compared, "squared_norm": self._squared_norm}
        sums = {
            "agreed": self._agreed,
            "spikes": self._spikes,
            "synops": self._synops,
            "taken": self._taken,
            "squared_error": self._squared_error,
        }
        return kept | {name: np.array(value) for name, value in numbers.items()} | sums

    def merge(self, state: Mapping[str, np.ndarray]) -> None:
        """Add what another one had gathered of the samples that come next, for the same steps and classes.

        To nothing it adds, to the bit, what that was.
        """
        self.samples += int(state["samples"])
        self._compared += int(state["compared"])
        self._squared_norm += float(state["squared_norm"])
        self._agreed += state["agreed"]
        self._spikes += state["spikes"]
        self._synops += state["synops"]
        self._taken += state["taken"]
        self._squared_error += state["squared_error"]
        if self.classes is not None:
            self._snn.append(state["snn"])
            self._ann.append(state["ann"])
            if "labels" in state:
                self._labels.append(state["labels"])

    @property
    def snn(self) -> np.ndarray:
        """Classes ``(steps, N)``; ``(steps, 0)`` where the outputs are none."""
        return np.concatenate(self._snn, axis=1) if self._snn else np.zeros((len(self.steps), 0), np.int32)

    @property
    def ann(self) -> np.ndarray:
        """The ANN's classes ``(N,)``, negative where not known; empty where the outputs are no classes."""
        return np.concatenate(self._ann) if self._ann else np.zeros(0, np.int32)

    @property
    def labels(self) -> np.ndarray | None:
        """Labels ``(N,)``, or None where there are none, or the outputs are no classes."""
        return np.concatenate(self._labels) if self._labels else None

    @property
    def changed(self) -> np.ndarray:
        """Samples that are answered otherwise than by the ANN at the largest T; those where it is right come first."""
        ann, labels = self.ann, self.labels
        found = np.flatnonzero((self.snn[-1] != ann) & (ann >= 0)) if len(ann) else np.zeros(0, np.int64)
        return found if labels is None else found[np.argsort(ann[found] != labels[found], kind="stable")]

    def document(self, macs: Mapping[str, int]) -> dict[str, object]:
        """Return samples, classes, labelled, ann, steps and macs_per_sample of a metrics.json document.

        ``macs`` are those of one sample: ``ann``, ``snn_first_layer`` (once) and ``snn_graded_per_step``. What compares
        classes with the ANN's is None, unless all of these are known: of some of them it would be another number.
        """
        snn, ann, truth = self.snn, self.ann, self.labels
        known = bool(self._compared) and bool((ann >= 0).all())
        rows = []
        for index, step in enumerate(self.steps):
            correct = None if truth is None else int((snn[index] == truth).sum())
            agreement = float(self._agreed[index] / self._compared) if known else None
            error = float(np.sqrt(self._squared_error[index] / self._squared_norm)) if self._squared_norm else None
            synops = float(self._synops[index]) / self.samples
            taken = float(self._taken[index]) / self.samples
            multiplied = macs["snn_first_layer"] + macs["snn_graded_per_step"] * (taken + self.schedule["latency"])
            energy = ADD_PJ * synops + MAC_PJ * multiplied
            rows.append(
                {
                    "t": step,
                    "total_steps": step + self.schedule["latency"],
                    "accuracy": None if correct is None else correct / self.samples,
                    "accuracy_ci95": None if correct is None else list(wilson(correct, self.samples)),
                    "agreement": agreement,
                    "output_error": error,
                    "spikes_per_sample": float(self._spikes[index]) / self.samples,
                    "synops_per_sample": synops,
                    "energy_ratio": energy / (MAC_PJ * macs["ann"]) if macs["ann"] else None,
                    **({"mean_steps": taken} if "stop_lead" in self.schedule else {}),
                }
            )
        ann_accuracy = float((ann == truth).mean()) if known and truth is not None else None
        return {
            "schema": "snnconvert/metrics/1",
            "samples": self.samples,
            "classes": self.classes,
            "labelled": truth is not None,
            "ann": {"accuracy": ann_accuracy},
            "schedule": self.schedule,
            "steps": rows,
            "macs_per_sample": dict(macs),
        }
