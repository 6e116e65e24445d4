"""What one batch says at each of the steps, some of its samples perhaps for the last time."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.errors import InternalError
from snnconvert.measure.outcomes import Outcomes, top1
from snnconvert.network import SpikingNetwork
from snnconvert.simulate import Readout


class Answers:
    """What a batch says at each of ``steps``, beside the ANN's outputs; what stopped goes on saying what it said."""

    def __init__(self, steps: Sequence[int], expected: NDArray[np.float32], binary: bool) -> None:
        self._steps, self._expected, self._binary = steps, expected, binary
        self._chosen = self._ann = top1(expected, binary)
        self._distance = np.zeros(len(expected))
        self._gone = np.zeros(3)  # spikes, SynOps and steps of the samples that stopped
        self._answers: list[NDArray[np.int32]] = []
        self._totals: list[NDArray[np.float64]] = []
        self._errors: list[float] = []

    def add(self, network: SpikingNetwork, readout: Readout) -> NDArray[np.bool_]:
        """Take the next readout; return which of its samples end here.

        Raises:
            InternalError: an output is not finite (E911).
        """
        mean = readout.estimate.cpu().numpy()
        if not bool(np.isfinite(mean).all()):
            raise InternalError("E911", f"the simulation produced NaN or infinity at step {readout.t}")
        self._chosen = self._chosen.copy()
        self._chosen[readout.samples] = top1(mean, self._binary)
        difference = mean.astype(np.float64) - self._expected[readout.samples]
        self._distance[readout.samples] = np.square(difference).reshape(len(mean), -1).sum(1)
        self._answers.append(self._chosen)
        self._errors.append(float(self._distance.sum()))
        self._totals.append(self._gone + np.array([*_events(network, readout.events), readout.t * len(mean)]))
        if readout.settled.any():
            events = {name: events[torch.from_numpy(readout.settled)] for name, events in readout.events.items()}
            self._gone = self._gone + np.array([*_events(network, events), readout.t * readout.settled.sum()])
        return np.ones_like(readout.settled) if readout.t == self._steps[-1] else readout.settled

    def give(self, outcomes: Outcomes, truth: NDArray[np.int64] | None) -> None:
        """Hand everything over; where all stopped before the last of the steps, the last answers stand."""
        missing = len(self._steps) - len(self._answers)
        spikes, synops, taken = np.stack([*self._totals, *self._totals[-1:] * missing]).T
        answers = np.stack([*self._answers, *self._answers[-1:] * missing])
        outcomes.add(answers, spikes, synops, self._ann, truth, taken)
        errors = np.array([*self._errors, *self._errors[-1:] * missing])
        outcomes.add_outputs(errors, float(np.square(self._expected.astype(np.float64)).sum()))


def _events(network: SpikingNetwork, events: Mapping[str, Tensor]) -> tuple[float, float]:
    """Return how many events the network's own layers sent, and how many SynOps these and the input's caused."""
    by_neuron = {name: each.sum(0, dtype=torch.float64).cpu() for name, each in events.items()}
    spikes = sum(float(count.sum()) for name, count in by_neuron.items() if name != network.graph.input)
    return spikes, sum(float((count * network.fan_out[name]).sum()) for name, count in by_neuron.items())
