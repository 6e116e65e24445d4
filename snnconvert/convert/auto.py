"""``--method auto``: tries recipes on one part of the calibration set and keeps the one that loses least on another.

The loss is the relative L2 distance of the spiking network's outputs to the ANN's, behind T steps; of recipes that come
within 2 % of the best, the one with the fewest synaptic operations is kept. Three rounds: neuron and method; how the
network is corrected; how long layers wait. The defaults are tried last, so that nothing worse than they is chosen. No
label is needed, and no sample of the evaluation set is seen.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from snnconvert.convert.recipe import Recipe
from snnconvert.graph import Graph
from snnconvert.measure.totals import squared
from snnconvert.network import SpikingNetwork, mean_over_time
from snnconvert.neurons import Neuron, make_neuron
from snnconvert.operators.activation import ceiling_of
from snnconvert.simulate import Simulator

Spikes = Literal["binary", "signed", "graded"]
CLOSE = 1.02
CORRECTIONS = (("bias",), ("step-bias",), ("weights",), ("bias", "weights"))
BEST_GUESS = ("step-bias", "weights")
DECODED = ("bias", "weights")  # what neurons that decode rates take
WARM_UPS = (0.25, 0.5, 0.75, 1.0)
BATCH = 32


@dataclass(frozen=True)
class Trial:
    """A recipe, the loss that was measured, and the SynOps of a sample."""

    recipe: Recipe
    loss: float
    synops: float

    @property
    def told(self) -> str:
        """What users read of it."""
        recipe = self.recipe
        numbers = [f"{name}={value}" for name, value in parameters(recipe.neuron).items()]
        parts = [recipe.method, " ".join([recipe.neuron.name, *numbers]), "+".join(recipe.correct) or "uncorrected"]
        parts += [f"warm-up {recipe.schedule.warm_up:g}"] if recipe.schedule.warm_up else []
        return ", ".join(parts)


def parameters(neuron: Neuron) -> dict[str, int]:
    """Return the parameters of a neuron that the search chooses."""
    return {each.name: getattr(neuron, each.name) for each in fields(neuron) if each.name in ("k", "n")}


def choose(
    base: Recipe,
    spikes: Spikes,
    convert: Callable[[Recipe], SpikingNetwork],
    ann: Graph,
    held_out: Tensor,
    heard: Callable[[Trial], None],
) -> Trial:
    """Return the best recipe for the neurons that a class of hardware can run.

    ``convert`` turns a recipe into a network, fitted on other samples than ``held_out``, which are as the engine takes
    them; ``heard`` is told of every trial.
    """
    given = mean_over_time(held_out, base.encoding)
    with torch.no_grad():
        expected = torch.cat([ann.run(given[i : i + BATCH]) for i in range(0, len(given), BATCH)])
    trials: list[Trial] = []

    def best(recipes: Sequence[Recipe]) -> Trial:
        for recipe in recipes:
            if all(trial.recipe != recipe for trial in trials):
                trials.append(_measured(recipe, convert(recipe), held_out, expected))
                heard(trials[-1])
        least = min(trial.loss for trial in trials)
        return min((trial for trial in trials if trial.loss <= CLOSE * least), key=lambda trial: trial.synops)

    steps, clipped = base.schedule.steps, any(ceiling_of(node) is not None for node in ann.activations)
    first = [
        replace(base, method=method, neuron=neuron, correct=DECODED if neuron.decodes else BEST_GUESS)
        for neuron in neurons(base.neuron, spikes, steps)
        for method in ("mse", "percentile")
        if not (neuron.decodes and (base.schedule.onset_delay or base.encoding == "events"))
        and (neuron.saturates or not clipped)
    ]
    found = best(first)
    if not found.recipe.neuron.decodes:
        found = best([replace(found.recipe, correct=correct) for correct in CORRECTIONS])
    if not base.schedule.onset_delay and found.recipe.neuron.keeps_charge:
        depth = convert(replace(found.recipe, correct=())).depths[ann.output]
        waits = [each for each in WARM_UPS if 0 < math.floor(each * depth) <= 3 * steps // 4]
        schedules = [replace(base.schedule, warm_up=each) for each in waits]
        best([replace(found.recipe, schedule=schedule) for schedule in schedules])
    found = best([base])
    defaults = next(trial for trial in trials if trial.recipe == base)
    return found if found.loss <= defaults.loss else defaults


def neurons(base: Neuron, spikes: Spikes, steps: int) -> list[Neuron]:
    """Return the neurons that hardware of a class can run, for so many steps."""
    start = {"initial_potential": getattr(base, "initial_potential", 0.5)}
    found = [make_neuron("if", start)]
    if spikes != "binary":
        found.append(make_neuron("if-signed", start))
    if spikes == "graded":
        found += [make_neuron("if-signed-multi", {**start, "k": k}) for k in (4, 7, 15) if k * steps >= 14]
        found += [make_neuron("differential", {"n": n}) for n in (4, 6, 8) if steps > 1]
    return found


def _measured(recipe: Recipe, network: SpikingNetwork, x: Tensor, expected: Tensor) -> Trial:
    simulator, distance, synops = Simulator(network, x.device), 0.0, 0.0
    for start in range(0, len(x), BATCH):
        batch = x[start : start + BATCH]
        (readout,) = simulator.run(batch, [recipe.schedule.steps])
        distance += squared(readout.estimate - expected[start : start + BATCH])
        for name, events in readout.events.items():
            synops += float((events.double().sum(0).cpu() * network.fan_out[name]).sum())
    norm = squared(expected)
    return Trial(recipe, math.sqrt(distance / norm) if norm else 0.0, synops / len(x))
