"""From a job's options to a recipe, and from a recipe to a network: what the pipeline does after calibration."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from snnconvert.calibrate import ActivationStatistics
from snnconvert.config import ConvertOptions, Job
from snnconvert.convert.auto import Trial, choose, parameters
from snnconvert.convert.corrections import check_corrections, shortened
from snnconvert.convert.method import METHODS
from snnconvert.convert.recipe import Recipe
from snnconvert.data import Selection
from snnconvert.errors import UsageError
from snnconvert.graph import Graph
from snnconvert.network import NormalForm, Schedule, SpikingNetwork
from snnconvert.neurons import NEURONS, Neuron, make_neuron
from snnconvert.registry import did_you_mean
from snnconvert.simulate import bytes_a_sample, leads

TRIED_ON = 96  # samples that recipes are fitted on, and as many others that they are compared on
WHOLE = ": whole numbers from -127 to 127 times a power of two for each channel"
MEMORY = 2**32  # bytes that fitting corrections may take; fewer samples are used where they would take more


def neuron_of(job: Job) -> Neuron:
    """Return the neuron model that the job asks for; its general options are parameters of those that have them.

    Raises:
        UsageError: no such neuron (E002), a wrong parameter, or an option that it does not have (E003).
    """
    model, given = NEURONS[job.convert.neuron], dict(job.neuron)
    known = {each.name for each in dataclasses.fields(model)}  # type: ignore[arg-type]
    if "reset" in known:
        given = {"reset": job.convert.reset, **given}
    elif job.convert.reset != "subtract":
        raise UsageError("E003", f"--reset: the neuron '{job.convert.neuron}' resets in its own way", "--neuron if")
    if "initial_potential" in known and job.convert.neuron != "lif":
        given = {"initial_potential": job.convert.initial_potential, **given}
    return make_neuron(job.convert.neuron, given)


def recipe_of(job: Job) -> Recipe:
    """Return the recipe that the job asks for; of ``auto``, where the search begins.

    Raises:
        UsageError: options that do not exist or do not suit each other (E002, E003).
    """
    options, searches = job.convert, job.convert.method == "auto"
    if options.method not in (known := [*METHODS, "auto"]):
        raise UsageError("E002", f"unknown method '{options.method[:80]}'", did_you_mean(options.method, known))
    chosen = {
        "--neuron": options.neuron != "if",
        "--reset": options.reset != "subtract",
        **{f"neuron.{name}": True for name in job.neuron},
        "--correct": options.correct != ConvertOptions().correct,
        "--warm-up": options.warm_up > 0,
    }
    if searches and any(chosen.values()):
        told = next(name for name, given in chosen.items() if given)
        raise UsageError("E003", f"--method auto: it chooses {told} itself", "--spikes says what the hardware can send")
    if searches and options.max_pool == "gate" and options.spikes != "binary":
        raise UsageError(
            "E003", f"--max-pool gate: it passes binary spikes, not {options.spikes} ones", "--max-pool exact"
        )
    if not searches and options.spikes != "binary":
        raise UsageError("E003", "--spikes: only --method auto chooses neurons", "--neuron names one")
    if options.stop is not None and options.onset_delay >= options.steps[-1]:
        raise UsageError(
            "E003",
            "--stop: under an onset delay of T all layers but the last are done before the first readout",
            "a smaller --onset-delay, or no --stop",
        )
    schedule, neuron = (
        Schedule(options.steps[-1], options.onset_delay, options.warm_up, options.readout_from),
        neuron_of(job),
    )
    check_corrections(options.correct, neuron.decodes)
    return Recipe(
        "percentile" if searches else options.method,
        neuron,
        schedule,
        options.correct,
        options.percentile,
        options.percentile_of == "nonzero",
        options.per_channel,
        options.max_pool,
        options.weights,
        options.encoding,
    )


def resolved(job: Job, recipe: Recipe) -> Job:
    """Return the job with what the search chose in the place of ``auto``, so that repeating it needs no search."""
    found = {
        "method": recipe.method,
        "neuron": recipe.neuron.name,
        "correct": recipe.correct,
        "warm_up": recipe.schedule.warm_up,
        "spikes": "binary",
    }
    neuron = dict(job.neuron) | parameters(recipe.neuron)
    return job.model_copy(update={"convert": job.convert.model_copy(update=found), "neuron": neuron})


@dataclass(frozen=True)
class Workshop:
    """A calibrated network, and the samples on which recipes are carried out.

    ``untried`` is the spiking network of the recipe that was asked for, with scales by chance.
    """

    graph: Graph
    statistics: ActivationStatistics
    calib: Selection
    job: Job
    device: torch.device
    untried: SpikingNetwork

    def convert(self, recipe: Recipe, advance: Callable[[int], None]) -> tuple[NormalForm, SpikingNetwork]:
        """Carry out a recipe, with corrections fitted on as many samples as are asked for and fit into memory."""
        normal = self._scaled(recipe)
        chosen = self.calib.part(self.fitted_on(recipe), self.job.seed) if recipe.correct else None
        x = torch.zeros(0)
        if chosen is not None:
            x = self._presented(chosen, shortened(self._like(recipe)).bins)
        return normal, recipe.spiking(normal, self.statistics, x, advance)

    def told(self, recipe: Recipe, network: SpikingNetwork) -> list[str]:
        """Return what a user must know of how the network was made."""
        schedule, notes = recipe.schedule, []
        if recipe.correct:
            used = self.fitted_on(recipe)
            fewer = used < min(self.job.convert.correct_samples, len(self.calib))
            notes.append(
                f"corrected on {used} calibration samples, for T = {schedule.steps}: {', '.join(recipe.correct)}"
                + (" (as many as have spikes and rates that fit into 4 GiB)" if fewer else "")
            )
        if recipe.weights != "float32":
            notes.append(f"weights are {recipe.weights}" + (WHOLE if recipe.weights == "int8" else ""))
        if schedule.onset_delay or schedule.readout_from:
            notes.append(f"every row takes {network.latency} time steps more than T: see total_steps")
        if schedule.warm_up:
            last = schedule.start(max(network.depths.values()))
            notes.append(
                f"the last layer is silent for the first {last} of {schedule.steps} steps"
                if last < schedule.steps
                else f"the last layer waits for {last} steps, and never fires in {schedule.steps}"
            )
        if not recipe.neuron.keeps_charge and not recipe.neuron.decodes:
            notes.append(f"neurons '{recipe.neuron.name}' that lose charge are no rectifiers: expect a lower accuracy")
        return notes

    def fitted_on(self, recipe: Recipe) -> int:
        """Return on how many samples corrections are fitted."""
        fitting = MEMORY // bytes_a_sample(shortened(self._like(recipe)))
        return max(1, min(self.job.convert.correct_samples, fitting, len(self.calib)))

    def mean_lead(self, ann: Graph) -> float:
        """Return by how much the best class of the ANN leads the second, on average over calibration samples."""
        chosen = self.calib.part(self.job.convert.correct_samples, self.job.seed)
        total = 0.0
        with torch.no_grad():
            for x in chosen.batches(self.job.calib.batch_size, lambda _: None):
                total += float(leads(ann.run(torch.from_numpy(x)).numpy()).sum(dtype=np.float64))
        return total / len(chosen)

    def choose(self, base: Recipe, heard: Callable[[str], None]) -> tuple[Recipe, list[str]]:
        """Search for the best recipe; return it and lines that tell what was tried."""
        fitted, held_out = self._halves
        ann = self.graph.mapped(lambda tensor: tensor.to(self.device))

        def build(recipe: Recipe) -> SpikingNetwork:
            return recipe.spiking(self._scaled(recipe), self.statistics, fitted, lambda _: None)

        told: list[str] = []

        def tell(trial: Trial) -> None:
            told.append(f"tried: {trial.told}: output error {trial.loss:.4f}, {trial.synops:,.0f} SynOps")
            heard(told[-1])

        best = choose(base, self.job.convert.spikes, build, ann, held_out, tell)
        line = f"auto chose: {best.told} (output error {best.loss:.4f} on {len(held_out)} samples not fitted on)"
        heard(line)
        return best.recipe, [*told, line]

    def _scaled(self, recipe: Recipe) -> NormalForm:
        return recipe.scaled(
            self.graph,
            self.statistics,
            self.untried.depths,
            lambda: self.calib.batches(self.job.calib.batch_size, lambda _: None),
        )

    def _like(self, recipe: Recipe) -> SpikingNetwork:
        """Return the network of a recipe in all but its numbers."""
        neurons = dict.fromkeys(self.untried.neurons, recipe.neuron)
        return dataclasses.replace(self.untried, neurons=neurons, schedule=recipe.schedule)

    @cached_property
    def _halves(self) -> tuple[Tensor, Tensor]:
        fitting = MEMORY // bytes_a_sample(shortened(self.untried))
        part = self.calib.part(2 * max(1, min(TRIED_ON, fitting)), self.job.seed)
        if len(part) < 2:
            raise UsageError("E003", "--method auto: one calibration sample; it needs two parts", "give more samples")
        halves = (dataclasses.replace(part, indices=part.indices[first::2]) for first in (0, 1))
        fitted, held_out = zip(halves, (shortened(self.untried).bins, self.untried.bins), strict=True)
        return self._presented(*fitted), self._presented(*held_out)

    def _presented(self, chosen: Selection, bins: int | None) -> Tensor:
        """Return samples as the engine takes them."""
        return torch.from_numpy(np.ascontiguousarray(chosen.in_time(bins).first(len(chosen)))).to(self.device)
