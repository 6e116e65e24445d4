"""Simulates the evaluation set, compares it with the user's network in ONNX Runtime, and fills in the metrics."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.checkpoints import Checkpoints
from snnconvert.conversion import Conversion, Progress, class_count, operations
from snnconvert.errors import InternalError
from snnconvert.measure import LayerErrors, Outcomes, top1
from snnconvert.network import SpikingNetwork
from snnconvert.simulate import Readout, Simulator


def evaluate(
    conversion: Conversion, device: torch.device, progress: Progress, kept: Checkpoints | None = None
) -> Outcomes:
    """Simulate the evaluation set and fill in the conversion's metrics; go on where a run that was ``kept`` ended."""
    network, chosen, steps = conversion.network, conversion.evaluation, conversion.job.convert.steps
    simulator = Simulator(network, device)
    ann = conversion.folded.mapped(lambda tensor: tensor.to(device))
    axes = {name: layer.axis for name, layer in conversion.statistics.layers.items()}
    layers, outcomes = (
        LayerErrors(network, axes),
        Outcomes(steps, class_count(conversion.folded), network.schedule_document),
    )
    labels, kept = chosen.labels, kept or Checkpoints()
    progress.stage("evaluate", len(chosen))
    if done := kept.resume(outcomes, layers):
        progress.advance(done)
    for batch in chosen.after(done).batches(conversion.job.eval.batch_size, progress.advance):
        x = torch.from_numpy(batch).to(device)
        expected = conversion.loaded.reference.run(batch)
        answers = Answers(steps, expected)
        for readout in simulator.run(x, steps, network.stop_lead):
            leaving = answers.add(network, readout)
            if leaving.any():
                layers.add(ann, x[readout.samples[leaving]], {name: readout.rates[name][leaving] for name in axes})
        truth = None if labels is None else labels[outcomes.samples : outcomes.samples + len(batch)]
        answers.give(outcomes, top1(expected), truth)
        outcomes.add_outputs(answers.errors, float(np.square(expected.astype(np.float64)).sum()))
        kept.keep(outcomes, layers)
    conversion.metrics = {
        **outcomes.document(operations(conversion)),
        "layers": layers.rows(),
        "equivalence": [
            {"stage": each.stage, "compared": each.compared, "max_error": each.max_error, "limit": each.limit}
            for each in conversion.equivalence
        ],
    }
    return outcomes


class Answers:
    """What a batch says at each of ``steps``, beside the ANN's outputs; what stopped goes on saying what it said."""

    def __init__(self, steps: Sequence[int], expected: NDArray[np.float32]) -> None:
        self._steps, self._expected = steps, expected
        self._chosen = top1(expected)
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
        self._chosen[readout.samples] = top1(mean)
        difference = mean.astype(np.float64) - self._expected[readout.samples]
        self._distance[readout.samples] = np.square(difference).reshape(len(mean), -1).sum(1)
        self._answers.append(self._chosen)
        self._errors.append(float(self._distance.sum()))
        self._totals.append(self._gone + np.array([*_events(network, readout.events), readout.t * len(mean)]))
        if readout.settled.any():
            events = {name: events[torch.from_numpy(readout.settled)] for name, events in readout.events.items()}
            self._gone = self._gone + np.array([*_events(network, events), readout.t * readout.settled.sum()])
        return np.ones_like(readout.settled) if readout.t == self._steps[-1] else readout.settled

    def give(self, outcomes: Outcomes, ann: NDArray[np.int32], truth: NDArray[np.int64] | None) -> None:
        """Hand everything over; where all stopped before the last of the steps, the last answers stand."""
        missing = len(self._steps) - len(self._answers)
        spikes, synops, taken = np.stack([*self._totals, *self._totals[-1:] * missing]).T
        outcomes.add(np.stack([*self._answers, *self._answers[-1:] * missing]), spikes, synops, ann, truth, taken)

    @property
    def errors(self) -> NDArray[np.float64]:
        """The squared distance of the outputs to the ANN's at each of the steps."""
        return np.array([*self._errors, *self._errors[-1:] * (len(self._steps) - len(self._errors))])


def _events(network: SpikingNetwork, events: Mapping[str, Tensor]) -> tuple[float, float]:
    """Return how many events there were, and how many SynOps they caused."""
    by_neuron = {name: each.sum(0, dtype=torch.float64).cpu() for name, each in events.items()}
    spikes = sum(float(count.sum()) for count in by_neuron.values())
    return spikes, sum(float((count * network.fan_out[name]).sum()) for name, count in by_neuron.items())
