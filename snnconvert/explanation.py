"""Why the numbers are what they are: the diagnosis and the three curves of a conversion, within a budget of work.

Work is counted, not timed, so that equal jobs give equal bytes: multiply-accumulates of a sample and step, and
some for each neuron. All samples are of the calibration set; those that corrections were fitted on are left out.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from snnconvert.conversion import Conversion, class_count
from snnconvert.data import Selection
from snnconvert.errors import SnnError
from snnconvert.measure import Density, Diagnosis, Nearness, add_bound, step_work
from snnconvert.network import Schedule, mean_over_time
from snnconvert.progress import Progress
from snnconvert.recipes import recipe_of
from snnconvert.report.advice import advice
from snnconvert.report.quantities import suffixed
from snnconvert.simulate import Simulator, bytes_a_sample

SAMPLES, ENOUGH, LEAST = 64, 16, 4  # looked at; asked for to draw a curve; to say anything
WORK = 4e11  # about ten seconds of one core
FITTED, FEWEST = 16, 8  # samples that corrections of the other schedule are fitted on, within half of the work
FITTING = 3  # times the work of a run, that corrections take
TIMES = 8  # points of a curve
BATCH, MEMORY = 16, 2**28  # samples at a time, or fewer where all values of these would take more bytes


@dataclass(frozen=True)
class Explanation:
    """The ``diagnosis`` and the ``curves`` of metrics.json, and how the rates of layers lie over activations."""

    metrics: dict[str, Any]
    densities: Mapping[str, Density]


def explain(
    conversion: Conversion,
    device: torch.device,
    evaluated: float | None,
    averaged: float | None,
    progress: Progress,
) -> Explanation:
    """Explain a conversion.

    ``evaluated`` is the output error on the evaluation set, ``averaged`` that which averages in the place of max pools
    make of the ANN.
    """
    steps = times(conversion.job.convert.steps)
    plan = _affordable(conversion, steps)
    if not plan.samples:
        progress.stage("diagnose", 0)
        why = f"{LEAST} samples would take {suffixed(_cost(conversion, []) * LEAST)} multiply-accumulates"
        nothing: dict[str, Any] = {
            "samples": 0,
            "t": steps[-1],
            "output_error": None,
            "layers": [],
            "sentence": f"Not measured: {why}.",
        }
        return Explanation({"diagnosis": nothing, "curves": None}, {})
    chosen = unfitted(conversion).part(plan.samples, conversion.job.seed)
    progress.stage("diagnose", len(chosen))
    with torch.no_grad():
        diagnosis, curves = _measured(conversion, device, chosen, steps, plan, progress.advance)
    told = {**diagnosis.document(), "sentence": ""}
    told["sentence"] = advice(told, curves, recipe_of(conversion.job), conversion.network, evaluated, averaged)
    return Explanation({"diagnosis": told, "curves": curves}, diagnosis.densities)


def times(steps: Sequence[int]) -> list[int]:
    """Return at most 8 of the reported steps, the first and the last among them."""
    if len(steps) <= TIMES:
        return list(steps)
    return [steps[round(k * (len(steps) - 1) / (TIMES - 1))] for k in range(TIMES)]


def unfitted(conversion: Conversion) -> Selection:
    """Return the calibration samples that no correction was fitted on; all, where these are too few."""
    job, calib = conversion.job, conversion.calib
    if not job.convert.correct:
        return calib
    fitted = calib.part(job.convert.correct_samples, job.seed).indices
    rest = np.setdiff1d(calib.indices, fitted)
    return dataclasses.replace(calib, indices=rest) if len(rest) >= ENOUGH else calib


def _cost(conversion: Conversion, others: Sequence[int]) -> float:
    """Return the work of a sample: the run itself, bounds at each of the steps, and the same in another schedule."""
    once = conversion.network.schedule.steps + conversion.network.latency + 2 * TIMES
    return step_work(conversion.network) * (once + sum(others))


@dataclass(frozen=True)
class _Plan:
    """How many samples are looked at, at which steps the other schedule is run, and on how many it is fitted."""

    samples: int
    others: list[int]
    fitted: int = 0


def _affordable(conversion: Conversion, steps: Sequence[int]) -> _Plan:
    """Return what the budget pays for; at the least, a few samples of the network itself, or nothing."""
    others, left, fitted = list(steps), WORK, 0
    if recipe_of(conversion.job).correct:
        once = FITTING * step_work(conversion.network) * sum(others)
        memory = MEMORY * 8 // bytes_a_sample(conversion.network)
        asked = conversion.job.convert.correct_samples
        fitted = min(FITTED, int(WORK / 2 / once), memory, asked, len(conversion.calib))
        left = WORK - fitted * once
    unfit = bool(conversion.job.convert.correct) and fitted < min(FEWEST, len(conversion.calib))
    if unfit or left / _cost(conversion, others) < min(ENOUGH, len(conversion.calib)):
        others, left, fitted = [], WORK, 0
    count = min(SAMPLES, int(left / _cost(conversion, others)))
    return _Plan(max(count, LEAST) if LEAST * _cost(conversion, others) <= 10 * WORK else 0, others, fitted)


def _measured(
    conversion: Conversion,
    device: torch.device,
    chosen: Selection,
    steps: list[int],
    plan: _Plan,
    advance: Callable[[int], None],
) -> tuple[Diagnosis, dict[str, Any]]:
    """Run the network, its bound and the other schedule on the chosen samples."""
    network = conversion.network
    outputs = class_count(conversion.folded) is not None, conversion.folded.binary
    axes = {name: layer.axis for name, layer in conversion.statistics.layers.items()}
    normal = conversion.normal.graph.mapped(lambda tensor: tensor.to(device))
    layers, sample = len(network.neurons), 4 * sum(math.prod(shape) for shape in normal.shapes.values())
    batch_size = max(1, min(BATCH, MEMORY // sample))
    affordable = int(WORK / 2 / (batch_size * step_work(network) * 2))  # half of the network, four times a layer
    diagnosis = Diagnosis(
        network, normal, axes, batch_size, max(affordable, 1) if affordable < layers else None, device
    )
    bound, own, other = (Nearness(steps, *outputs) for _ in range(3))
    why = "it would take too long"
    simulators: dict[Simulator, Sequence[int]] = {}
    if network.bins is not None:
        why = "input events come when they come"
    elif plan.others:
        simulators, why = _other_schedule(conversion, device, plan)
    simulator = Simulator(network, device)
    for batch in chosen.in_time(network.bins).batches(batch_size, advance):
        presented = torch.from_numpy(batch).to(device)
        x = mean_over_time(presented, network.encoding)
        expected = normal.run(x)
        for readout in simulator.run(presented, steps):
            own.add(readout.t, readout.estimate, expected)
        diagnosis.add(x, readout.estimate, readout.rates)
        add_bound(bound, network, normal, x, expected, steps)
        for runner, at in simulators.items():
            for readout in runner.run(x, at):
                other.add(readout.t, readout.estimate, expected)
    runs = own.curve, (other.curve if simulators else None)
    synchronous, delayed = reversed(runs) if network.schedule.onset_delay else runs
    found = {"samples": len(chosen), "steps": steps, "fitted": plan.fitted, "bound": bound.curve, "why": why}
    return diagnosis, {**found, "synchronous": synchronous, "delayed": delayed}


def _other_schedule(
    conversion: Conversion, device: torch.device, plan: _Plan
) -> tuple[dict[Simulator, Sequence[int]], str]:
    """Return simulators of the network with an onset delay of 1 where its own has none, and the steps to read each at.

    Scales are the same; corrections are fitted anew, for each number of steps that a delayed network is made for. A
    synchronous one serves for all. Where the network cannot be run so, there are none, and the text says why.
    """
    recipe, job, steps = recipe_of(conversion.job), conversion.job, plan.others
    x = torch.zeros(0)
    if recipe.correct:
        chosen = conversion.calib.part(job.convert.correct_samples, job.seed).part(plan.fitted, job.seed)
        x = torch.from_numpy(np.ascontiguousarray(chosen.first(len(chosen)))).to(device)

    def made(schedule: Schedule) -> Simulator:
        other = dataclasses.replace(recipe, schedule=schedule)
        return Simulator(other.spiking(conversion.normal, conversion.statistics, x, lambda _: None), device)

    try:
        if conversion.network.schedule.onset_delay:
            return {made(Schedule(steps[-1])): steps}, ""
        return {made(Schedule(t, onset_delay=1)): [t] for t in steps}, ""
    except SnnError as problem:
        return {}, problem.message
