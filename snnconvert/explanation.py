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

from snnconvert.calibrate import ActivationStatistics
from snnconvert.config import Job
from snnconvert.data import Selection
from snnconvert.errors import SnnError
from snnconvert.measure import Density, Diagnosis, Nearness, add_bound, step_work
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, whole
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
class Subject:
    """A conversion that is to be explained; ``classes`` tells whether its outputs stand for classes."""

    job: Job
    statistics: ActivationStatistics
    normal: NormalForm
    network: SpikingNetwork
    calib: Selection
    classes: bool
    device: torch.device

    @property
    def batch(self) -> int:
        """How many samples are looked at together."""
        sample = 4 * sum(math.prod(shape) for shape in self.normal.graph.shapes.values())
        return max(1, min(BATCH, MEMORY // sample))

    @property
    def work(self) -> float:
        """The work of a sample and step."""
        return step_work(self.network)


@dataclass(frozen=True)
class Explanation:
    """The ``diagnosis`` and the ``curves`` of metrics.json, and how the rates of layers lie over activations."""

    metrics: dict[str, Any]
    densities: Mapping[str, Density]


def explain(
    subject: Subject,
    evaluated: float | None,
    averaged: float | None,
    stage: Callable[[int], None],
    advance: Callable[[int], None],
) -> Explanation:
    """Explain a conversion.

    ``evaluated`` is the output error on the evaluation set, ``averaged`` that which averages in the place of max pools
    make of the ANN. ``stage`` hears of the number of samples, ``advance`` of each batch done.
    """
    steps = times(subject.job.convert.steps)
    plan = _affordable(subject, steps)
    if not plan.samples:
        stage(0)
        why = f"{LEAST} samples would take {suffixed(_cost(subject, []) * LEAST)} multiply-accumulates"
        nothing: dict[str, Any] = {
            "samples": 0,
            "t": steps[-1],
            "output_error": None,
            "layers": [],
            "sentence": f"Not measured: {why}.",
        }
        return Explanation({"diagnosis": nothing, "curves": None}, {})
    chosen = unfitted(subject.calib, subject).part(plan.samples, subject.job.seed)
    stage(len(chosen))
    with torch.no_grad():
        diagnosis, curves = _measured(subject, chosen, steps, plan, advance)
    told = {**diagnosis.document(), "sentence": ""}
    told["sentence"] = advice(told, curves, recipe_of(subject.job), subject.network, evaluated, averaged)
    return Explanation({"diagnosis": told, "curves": curves}, diagnosis.densities)


def times(steps: Sequence[int]) -> list[int]:
    """Return at most 8 of the reported steps, the first and the last among them."""
    if len(steps) <= TIMES:
        return list(steps)
    return [steps[round(k * (len(steps) - 1) / (TIMES - 1))] for k in range(TIMES)]


def unfitted(calib: Selection, subject: Subject) -> Selection:
    """Return the calibration samples that no correction was fitted on; all, where these are too few."""
    job = subject.job
    if not job.convert.correct:
        return calib
    fitted = calib.part(job.convert.correct_samples, job.seed).indices
    rest = np.setdiff1d(calib.indices, fitted)
    return dataclasses.replace(calib, indices=rest) if len(rest) >= ENOUGH else calib


def _cost(subject: Subject, others: Sequence[int]) -> float:
    """Return the work of a sample: the run itself, bounds at each of the steps, and the same in another schedule."""
    once = subject.network.schedule.steps + subject.network.latency + 2 * TIMES
    return subject.work * (once + sum(others))


@dataclass(frozen=True)
class _Plan:
    """How many samples are looked at, at which steps the other schedule is run, and on how many it is fitted."""

    samples: int
    others: list[int]
    fitted: int = 0


def _affordable(subject: Subject, steps: Sequence[int]) -> _Plan:
    """Return what the budget pays for; at the least, a few samples of the network itself, or nothing."""
    others, left, fitted = list(steps), WORK, 0
    if recipe_of(subject.job).correct:
        once = FITTING * subject.work * sum(others)
        memory = MEMORY * 8 // bytes_a_sample(subject.network)
        fitted = min(FITTED, int(WORK / 2 / once), memory, subject.job.convert.correct_samples, len(subject.calib))
        left = WORK - fitted * once
    unfit = bool(subject.job.convert.correct) and fitted < min(FEWEST, len(subject.calib))
    if unfit or left / _cost(subject, others) < min(ENOUGH, len(subject.calib)):
        others, left, fitted = [], WORK, 0
    count = min(SAMPLES, int(left / _cost(subject, others)))
    return _Plan(max(count, LEAST) if LEAST * _cost(subject, others) <= 10 * WORK else 0, others, fitted)


def _measured(
    subject: Subject, chosen: Selection, steps: list[int], plan: _Plan, advance: Callable[[int], None]
) -> tuple[Diagnosis, dict[str, Any]]:
    """Run the network, its bound and the other schedule on the chosen samples."""
    network, device = subject.network, subject.device
    axes = {name: layer.axis for name, layer in subject.statistics.layers.items()}
    normal = subject.normal.graph.mapped(lambda tensor: tensor.to(device))
    layers = len(network.neurons)
    affordable = int(WORK / 2 / (subject.batch * subject.work * 2))  # half of the network, four times a layer
    diagnosis = Diagnosis(
        network, normal, axes, subject.batch, max(affordable, 1) if affordable < layers else None, device
    )
    bound, own = Nearness(steps, subject.classes), Nearness(steps, subject.classes)
    other, why = Nearness(steps, subject.classes), "it would take too long"
    simulators: dict[Simulator, Sequence[int]] = {}
    if network.bins is not None:
        why = "input events come when they come"
    elif plan.others:
        simulators, why = _other_schedule(subject, plan)
    simulator = Simulator(network, device)
    for batch in chosen.in_time(network.bins).batches(subject.batch, advance):
        presented = torch.from_numpy(batch).to(device)
        x = whole(presented, network.encoding)
        expected = normal.run(x)
        for readout in simulator.run(presented, steps):
            own.add(readout.t, readout.estimate, expected)
        diagnosis.add(x, readout.estimate, readout.rates)
        add_bound(bound, network, normal, x, steps)
        for runner, at in simulators.items():
            for readout in runner.run(x, at):
                other.add(readout.t, readout.estimate, expected)
    runs = own.curve, (other.curve if simulators else None)
    synchronous, delayed = reversed(runs) if network.schedule.onset_delay else runs
    found = {"samples": len(chosen), "steps": steps, "fitted": plan.fitted, "bound": bound.curve, "why": why}
    return diagnosis, {**found, "synchronous": synchronous, "delayed": delayed}


def _other_schedule(subject: Subject, plan: _Plan) -> tuple[dict[Simulator, Sequence[int]], str]:
    """Return simulators of the network with an onset delay of 1 where its own has none, and the steps to read each at.

    Scales are the same; corrections are fitted anew, for each number of steps that a delayed network is made for. A
    synchronous one serves for all. Where the network cannot be run so, there are none, and the text says why.
    """
    recipe, job, steps = recipe_of(subject.job), subject.job, plan.others
    x = torch.zeros(0)
    if recipe.correct:
        chosen = subject.calib.part(job.convert.correct_samples, job.seed).part(plan.fitted, job.seed)
        x = torch.from_numpy(np.ascontiguousarray(chosen.first(len(chosen)))).to(subject.device)

    def made(schedule: Schedule) -> Simulator:
        other = dataclasses.replace(recipe, schedule=schedule)
        return Simulator(other.spiking(subject.normal, subject.statistics, x, lambda _: None), subject.device)

    try:
        if subject.network.schedule.onset_delay:
            return {made(Schedule(steps[-1])): steps}, ""
        return {made(Schedule(t, onset_delay=1)): [t] for t in steps}, ""
    except SnnError as problem:
        return {}, problem.message
