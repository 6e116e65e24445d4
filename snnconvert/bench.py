"""Measures a batch: the converted network beside the one that it came from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from snnconvert.checkpoints import BY_SAMPLE, Arrays
from snnconvert.conversion import Conversion, class_count
from snnconvert.data import Selection
from snnconvert.errors import ModelError
from snnconvert.graph import Graph
from snnconvert.load.reference import Reference
from snnconvert.measure import Answers, LayerErrors, Outcomes
from snnconvert.network import SpikingNetwork, mean_over_time
from snnconvert.simulate import Simulator


class Piece(NamedTuple):
    """A batch as the engine takes it, with its labels, if there are any; it begins at the sample ``first``."""

    x: np.ndarray
    labels: np.ndarray | None
    first: int


def pieces(chosen: Selection, start: int, stop: int, size: int) -> Iterator[Piece]:
    """Yield the samples from one place to before another in batches."""
    labels = chosen.labels
    for x in chosen.between(start, stop).batches(size, lambda _: None):
        yield Piece(x, None if labels is None else labels[start : start + len(x)], start)
        start += len(x)


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


@dataclass(frozen=True)
class Bench:
    """A converted network and the one that it came from, side by side.

    ``axes`` are those of the channels of each layer. ``classes`` is None where the outputs are none.
    """

    network: SpikingNetwork
    folded: Graph
    reference: Reference
    axes: Mapping[str, int]
    steps: Sequence[int]
    classes: int | None
    labelled: bool
    device: torch.device

    @staticmethod
    def of(conversion: Conversion, device: torch.device) -> "Bench":
        """Return the bench of a conversion."""
        classes = class_count(conversion.folded)
        return Bench(
            conversion.network,
            conversion.folded,
            conversion.loaded.reference,
            {name: layer.axis for name, layer in conversion.statistics.layers.items()},
            conversion.job.convert.steps,
            classes,
            conversion.evaluation.labels is not None and classes is not None,
            device,
        )

    @cached_property
    def _simulator(self) -> Simulator:
        return Simulator(self.network, self.device)

    @cached_property
    def _ann(self) -> Graph:
        return self.folded.mapped(lambda tensor: tensor.to(self.device))

    def sums(self) -> Sums:
        """Return the sums of no samples."""
        outcomes = Outcomes(self.steps, self.classes, self.network.schedule_document)
        return Sums(outcomes, LayerErrors(self.network, self.axes), self.labelled)

    def measure(self, piece: Piece) -> Sums:
        """Run a batch and return what it amounts to.

        Added up in the order of the samples, these sums have the same bits wherever each was measured.

        Raises:
            InternalError: an output is no number (E911).
            ModelError: one of the ANN's own is none (E117).
        """
        network, sums = self.network, self.sums()
        x = torch.from_numpy(piece.x).to(self.device)
        given = mean_over_time(x, network.encoding)
        expected = self.reference.run(given.cpu().numpy())
        wrong = ~np.isfinite(expected).reshape(len(expected), -1).all(1)
        if wrong.any():
            raise ModelError(
                "E117",
                f"evaluation sample {piece.first + int(wrong.argmax())}: the ANN's own output is NaN or infinite",
                "is the sample scaled as in training? if so, the network itself overflows",
            )
        answers = Answers(self.steps, expected, self.folded.binary)
        for readout in self._simulator.run(x, self.steps, network.stop_lead):
            ended = answers.add(network, readout)
            if ended.any():
                rates = {name: readout.rates[name][torch.from_numpy(ended)] for name in network.neurons}
                sums.layers.add(self._ann, given[readout.samples[ended]], rates)
        answers.give(sums.outcomes, piece.labels)
        return sums
