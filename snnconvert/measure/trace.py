"""What chosen neurons do while one sample is presented: their membrane potentials and spikes, step by step."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snnconvert.measure.watched import Watched, watching
from snnconvert.network import SpikingNetwork
from snnconvert.neurons import Neuron


@dataclass(frozen=True)
class Trace:
    """Some neurons of a layer: their ``places`` in the flattened ``shape``, and what they did, ``(steps, neurons)``.

    ``reached`` is the potential that a step compares with the threshold, ``potentials`` the one behind the step. The
    first row is step ``began`` of the network; in step ``start`` the layer may fire for the first time.
    """

    neuron: Neuron
    shape: tuple[int, ...]
    places: tuple[int, ...]
    began: int
    start: int
    reached: Tensor
    potentials: Tensor
    spikes: Tensor

    @property
    def end(self) -> int:
        """The step behind the last row."""
        return self.began + len(self.spikes)


@dataclass(frozen=True)
class Traced:
    """Traces of neurons over the first ``steps`` steps of the sample that is ``at`` in the evaluation set.

    ``activations`` of the ANN, in units of the scale, and ``rates`` of all steps, in spikes a step, are those of the
    neurons of each trace; those of the layers ``named`` were asked for. ``layers`` counts those that there are.
    """

    at: int
    steps: int
    layers: int
    named: Collection[str]
    traces: Mapping[str, Trace]
    activations: Mapping[str, Tensor]
    rates: Mapping[str, Tensor]


class Recorded(Watched):
    """A layer of neurons that writes down what some of them do, for a batch of one sample."""

    def __init__(self, neuron: Neuron, places: Sequence[int]) -> None:
        super().__init__(neuron)
        self._places = torch.tensor(places)
        self.silent_steps = 0
        self.rows: list[tuple[Tensor, Tensor, Tensor]] = []

    def note(self, before: Tensor, reached: Tensor, after: Tensor, spikes: Tensor | None) -> None:
        self.silent_steps += spikes is None
        sent = torch.zeros_like(after) if spikes is None else spikes
        reached, after, sent = (each[0].flatten().cpu()[self._places] for each in (reached, after, sent))
        self.rows.append((reached, after, sent))


def record(
    network: SpikingNetwork,
    x: Tensor,
    chosen: Mapping[str, Sequence[int]],
    steps: int,
    device: torch.device | str = "cpu",
) -> dict[str, Trace]:
    """Present a sample ``(1, ...)`` until the readout has seen ``steps`` steps; return a trace of each layer chosen."""
    recorded = {name: Recorded(network.neurons[name], places) for name, places in chosen.items()}
    for _ in watching(network, recorded, device).run(x, [steps]):
        pass
    traces = {}
    for name, each in recorded.items():
        start = network.schedule.start(network.depths[name])
        columns = [torch.stack(column) for column in zip(*each.rows, strict=True)]
        shape, places = network.graph.shapes[name], tuple(chosen[name])
        traces[name] = Trace(network.neurons[name], shape, places, start - each.silent_steps, start, *columns)
    return traces


def telling(activations: Tensor, rates: Tensor, most: int) -> tuple[int, ...]:
    """Return the places of up to ``most`` neurons that show what a layer does, of activations and rates ``(neurons,)``.

    The first is the one whose rate strays furthest from its activation; the others are spread evenly over those that
    are active, the most active one first.
    """
    furthest = int((rates - activations).abs().argmax())
    order = activations.argsort(descending=True, stable=True)
    active = int((activations > 0).sum())
    spread = [int(order[round(k * (active - 1) / max(most - 2, 1))]) for k in range(most - 1)] if active else []
    return tuple(dict.fromkeys([furthest, *spread]))
