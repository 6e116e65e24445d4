"""What single neurons do over time: the sample and the neurons that a report shows, and their traces.

Work is counted, not timed, so that equal jobs give equal bytes.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from snnconvert.config import TraceOptions
from snnconvert.conversion import Conversion
from snnconvert.data import Selection
from snnconvert.errors import UsageError
from snnconvert.graph import Node
from snnconvert.measure import Outcomes, Traced, record, step_work, telling
from snnconvert.network import SpikingNetwork, mean_over_time
from snnconvert.progress import Progress
from snnconvert.registry import did_you_mean
from snnconvert.report.quantities import suffixed
from snnconvert.simulate import Simulator

STEPS = 128  # of the readout, at most
LAYERS = 24  # chosen, at most; those that the user names are all shown
NEURONS = 8  # of a layer, chosen
MOST = 32  # neurons of a layer that can be named
WORK = 3e10  # some seconds of one core


def check_trace(options: TraceOptions, network: SpikingNetwork, evaluation: Selection) -> None:
    """Refuse a sample that is not evaluated, and neurons that there are not (UsageError E003)."""
    if options.sample is not None and options.sample not in evaluation.indices:
        first, last = int(evaluation.indices.min()), int(evaluation.indices.max())
        hint = f"{len(evaluation)} of the samples {first} to {last} are; predictions.npz lists them as 'index'"
        raise UsageError("E003", f"--trace: sample {options.sample} is not among those that are evaluated", hint)
    for name, places in _named(options, network).items():
        if len(places) > MOST:
            what = f"--trace-neuron: {len(places)} neurons of '{name}': at most {MOST} of a layer"
            raise UsageError("E003", what, "name fewer of them")


def trace(conversion: Conversion, outcomes: Outcomes, device: torch.device, progress: Progress) -> Traced | None:
    """Trace neurons of the sample asked for, or else of the first that changed.

    None, and a note, where it would take too long.
    """
    network, options = conversion.network, conversion.job.trace
    steps = _affordable(network)
    if steps < 1:
        cost = suffixed(step_work(network))
        conversion.notes.append(f"neurons over time are not shown: a step takes {cost} multiply-accumulates")
        progress.note(conversion.notes[-1])
        return None
    progress.stage("trace", 1)
    at, evaluation = _sample(options, outcomes, conversion.evaluation), conversion.evaluation.in_time(network.bins)
    presented = torch.from_numpy(np.ascontiguousarray(evaluation.between(at, at + 1).first(1))).to(device)
    activations: dict[str, Tensor] = {}

    def observe(node: Node, output: Tensor) -> None:
        if node.name in network.neurons:
            activations[node.name] = output[0].flatten().cpu()

    with torch.no_grad():
        normal = conversion.normal.graph.mapped(lambda tensor: tensor.to(device))
        normal.run(mean_over_time(presented, network.encoding), observe)
        (readout,) = Simulator(network, device).run(presented, [network.schedule.steps])
        rates = {name: readout.rates[name][0].flatten().cpu() for name in network.neurons}
        named = _named(options, network)
        chosen = _chosen(named, activations, rates)
        traces = record(network, presented, chosen, steps, device)
    progress.advance(1)

    def of(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: values[name][list(places)] for name, places in chosen.items()}

    return Traced(at, steps, len(network.neurons), named.keys(), traces, of(activations), of(rates))


def _affordable(network: SpikingNetwork) -> int:
    """Return how many steps of the readout are paid for; under an onset delay every layer takes all of its own."""
    wanted, paid = min(network.schedule.steps, STEPS), int(WORK / step_work(network))
    if network.schedule.onset_delay:
        return wanted if paid >= network.schedule.steps else 0
    return min(wanted, paid - network.latency)


def _sample(options: TraceOptions, outcomes: Outcomes, evaluation: Selection) -> int:
    if options.sample is not None:
        return int(np.flatnonzero(evaluation.indices == options.sample)[0])
    return int(outcomes.changed[0]) if len(outcomes.changed) else 0


def _named(options: TraceOptions, network: SpikingNetwork) -> dict[str, tuple[int, ...]]:
    """Return the places in a flattened sample of the neurons that are asked for, by layer."""
    found: dict[str, list[int]] = {}
    for text in options.neurons:
        name, _, place = text.rpartition(":")
        if name not in network.neurons:
            hint = did_you_mean(name, list(network.neurons))
            raise UsageError("E003", f"--trace-neuron {text[:80]}: no layer of neurons is called '{name[:80]}'", hint)
        shape = network.graph.shapes[name]
        where = [int(part) if part.strip().isdecimal() else -1 for part in place.split(",")]
        sizes = (math.prod(shape),) if len(where) == 1 else shape
        if len(where) != len(sizes) or not all(0 <= each < size for each, size in zip(where, sizes, strict=True)):
            last = ",".join(str(size - 1) for size in shape)
            hint = f"{name}:0 to {name}:{math.prod(shape) - 1}, or up to {name}:{last}"
            raise UsageError("E003", f"--trace-neuron {text[:80]}: no such neuron in a layer of shape {shape}", hint)
        found.setdefault(name, []).append(int(np.ravel_multi_index(where, sizes)))
    return {name: tuple(dict.fromkeys(places)) for name, places in found.items()}


def _chosen(
    named: Mapping[str, Sequence[int]], activations: Mapping[str, Tensor], rates: Mapping[str, Tensor]
) -> dict[str, Sequence[int]]:
    """Return the neurons to show: those named; in at most LAYERS layers, spread evenly, some where none is."""
    names = list(activations)
    count = min(len(names), LAYERS)
    spread = {names[round(k * (len(names) - 1) / max(count - 1, 1))] for k in range(count)}
    return {
        name: named.get(name) or telling(activations[name], rates[name], NEURONS)
        for name in names
        if name in spread or name in named
    }
