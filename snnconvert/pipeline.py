"""The main job as one story: load, fold, calibrate, normalise, convert, simulate, measure, write."""

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from snnconvert.bundle import bundle_files
from snnconvert.calibrate import collect
from snnconvert.checkpoints import Checkpoints
from snnconvert.compiled import place_of_loops
from snnconvert.config import Job
from snnconvert.conversion import Conversion, class_count
from snnconvert.convert import dead_layers
from snnconvert.convert.recipe import Recipe
from snnconvert.data import (
    DECODING,
    Preprocessing,
    Selection,
    folder_of,
    natural_shape,
    range_warning,
    samples_digest,
    select,
    shared,
    value_range,
)
from snnconvert.errors import LimitError, ModelError, OutputError, UsageError, first_line
from snnconvert.evaluation import evaluate, evaluate_part, interpret
from snnconvert.exporting import prove
from snnconvert.fold import PASSES, MovePoolBeforeActivation, SplitCeilings, pools_averaged
from snnconvert.graph import Equivalence, Graph, Pass, apply_passes, probe_samples, relative_error
from snnconvert.load import Asked, load_model
from snnconvert.measure import Outcomes
from snnconvert.memory import confined, ran_out
from snnconvert.network import NormalForm, SpikingNetwork, fixed_point
from snnconvert.progress import Progress
from snnconvert.recipes import Workshop, recipe_of, resolved
from snnconvert.report.documents import run_record
from snnconvert.report.evaluator import check_classes
from snnconvert.report.publish import check_destination, publish
from snnconvert.tracing import check_trace

MEMORY_HINT = "a smaller --batch-size, --set calib.batch_size=N or --per-layer needs less"
LIMIT_HINT = f"a larger --max-memory gives more; {MEMORY_HINT}"
FORM_LIMIT = 1e-4  # of the largest output, between the normal form and the folded network
GRID_LIMIT = 1e-2  # between the normal form with its parameters on the grid of fixed point, and as they are


def run(
    job: Job, destination: Path, force: bool, command: str, progress: Progress, kept: Checkpoints | None = None
) -> Conversion:
    """Convert a network, evaluate it, and write the bundle, whole or not at all; ``kept`` spares work done before.

    Raises:
        SnnError: anything a user can meet; then nothing was written.
    """
    started = time.time()
    check_destination(destination, force)
    check_apart(destination, job)
    device = choose_device(job.device)
    job = job.model_copy(update={"device": str(device)})  # the bundle says where it was made
    with exactly(job, device):
        conversion = convert(job, device, progress, kept)
        converted = time.time()
        outcomes = evaluate(conversion, device, progress, kept)
        interpret(conversion, outcomes, device, progress)
        durations = {"convert": converted - started, "evaluate": time.time() - converted}
        files = bundle_files(conversion, outcomes)
        prove(conversion.network, files["snn.onnx"], progress)
    publish(destination, files, run_record(command, started, durations, conversion.warnings, conversion.tried), force)
    if kept is not None:
        kept.done()
    return conversion


def measure(job: Job, progress: Progress) -> tuple[Conversion, Outcomes]:
    """Convert a network and evaluate it; nothing is explained or written.

    Raises:
        SnnError: anything a user can meet.
    """
    device = choose_device(job.device)
    with exactly(job, device):
        conversion = convert(job, device, progress)
        return conversion, evaluate(conversion, device, progress)


@contextmanager
def exactly(job: Job, device: torch.device) -> Iterator[None]:
    """Compute alike in every run of a job on a device, in no more memory than it allows.

    Raises:
        UsageError: a limit, or several processes, on a GPU (E003).
        LimitError: memory ran out (E501).
    """
    limit = job.max_memory
    if job.workers > 1 and device.type != "cpu":
        raise UsageError("E003", "--workers: processes share processors, not a GPU", "--device cpu, or --workers 1")
    if limit is not None and device.type != "cpu":
        raise UsageError("E003", "--max-memory: on a GPU, whose driver maps more than it uses", "--device cpu")
    try:
        # a convolution in TF32, or by whatever algorithm was fastest, is another network at the threshold
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False), confined(limit):
            yield
    except LimitError:
        raise
    except Exception as problem:
        if not ran_out(problem, limit):
            raise
        hint = MEMORY_HINT if limit is None else LIMIT_HINT
        raise LimitError("E501", f"out of memory ({first_line(problem)})", hint) from None


def check_apart(destination: Path, job: Job) -> None:
    """Refuse to write among the samples, where the next run would take the bundle for one (OutputError E401)."""
    for path in filter(None, (job.calib.path, job.eval.path)):
        place = folder_of(path)
        if place is not None and destination.resolve().is_relative_to(place.resolve()):
            raise OutputError("E401", f"{destination}: lies among the samples of {place}", "--out DIR writes elsewhere")


def choose_device(name: str) -> torch.device:
    """Return the device; ``auto`` is the first GPU where there is one.

    Raises:
        UsageError: no such device name (E003).
        OutputError: it is not here (E404).
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError("E003", f"--device: unknown device '{name}'", "auto, cpu or cuda:0") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise OutputError("E404", f"--device: {name} is not here", "use --device cpu")
    return device


def convert(
    job: Job, device: torch.device, progress: Progress, kept: Checkpoints | None = None, whole: bool = True
) -> Conversion:
    """Load, fold, calibrate, normalise and correct; nothing is evaluated or written yet.

    Where the result is not to be a ``whole`` bundle, the samples, each of which would be read for it, have no digests.
    """
    notes: list[str] = []
    warnings: list[str] = []
    tried: list[str] = []
    options = job.convert
    loaded = load_model(Path(job.model), asked_of(job))
    if device.type == "cpu" and not place_of_loops()[1]:
        progress.note("loops are compiled for this processor, once: that takes up to a minute more")
    calib, evaluation = choose_samples(job, loaded.graph, notes, warnings)
    sets = {"calibration": job.calib.path, "evaluation": job.eval.path} if whole else {}
    contents = {role: samples_digest(path) for role, path in sets.items() if path is not None}
    compared = probe_samples(loaded.graph)
    probe = calib.first(compared)
    unlike = range_warning(probe, evaluation.first(compared))  # what does not fit is refused now, not after calibration
    warnings += [unlike] if unlike else []
    low, high = value_range(probe)
    notes.append(f"the network's input lies between {low:.4g} and {high:.4g} (first samples, after preprocessing)")
    notes += loaded.graph.notes
    equivalence, sample, recipe = [loaded.compare(probe)], torch.from_numpy(probe), recipe_of(job)
    folded, checks = fold(loaded.graph, recipe, sample)
    pooled = pools_averaged(folded) if options.max_pool == "average" else folded  # the ANN stays the user's own
    untried = recipe.try_on(pooled)  # what no scales could convert is refused now, too
    check_trace(job.trace, untried, evaluation)
    progress.stage("calibrate", len(calib))
    if options.stop is not None and class_count(folded) is None:
        raise UsageError("E003", "--stop: the outputs are no classes, of which one could lead", "leave it out")
    statistics = (kept or Checkpoints()).statistics(
        pooled,
        options.per_channel,
        lambda: collect(pooled, calib.batches(job.calib.batch_size, progress.advance), options.per_channel, device),
    )
    dead = dead_layers(statistics)
    warnings += [f"node '{name}' is zero on every calibration sample: its scale is 1" for name in dead]
    workshop = Workshop(pooled, statistics, calib, job, device, untried)
    stop_lead = None if options.stop is None else options.stop * workshop.mean_lead(folded)
    if stop_lead == 0:
        raise UsageError("E003", "--stop: of no calibration sample has the ANN a class that leads", "leave it out")
    if options.method == "auto":
        recipe, tried = workshop.choose(recipe, progress.detail)
        job = resolved(job, recipe)
    progress.stage("correct", len(untried.neurons) if recipe.correct else 0)
    normal, network = workshop.convert(recipe, progress.advance)
    notes += workshop.told(recipe, network)
    before = "folded network" if pooled is folded else "folded network with averaged pools"
    equivalence += [*checks, *compare_forms(loaded.path.name, before, pooled, normal, network, sample)]
    network = dataclasses.replace(network, stop_lead=stop_lead)
    notes += network.pool_notes
    if network.graded:
        listed = ", ".join(f"'{name}'" for name in network.graded[:8])
        notes.append(f"{len(network.graded)} values travel as graded currents between weights: {listed}")
    for text in (*tried, *notes):
        progress.note(text)
    for each in equivalence:
        progress.detail(
            f"verified: {each.stage} = {each.compared}, "
            f"largest difference {each.max_error:.0e} (limit {each.limit:.0e})"
        )
    for text in warnings:
        progress.warn(text)
    return Conversion(
        job,
        loaded,
        contents,
        calib,
        evaluation,
        folded,
        statistics,
        normal,
        network,
        equivalence,
        notes,
        warnings,
        tried,
    )


def fold(graph: Graph, recipe: Recipe, sample: Tensor) -> tuple[Graph, list[Equivalence]]:
    """Fold what a recipe does not need as it is; each pass is compared on some samples.

    Raises:
        InternalError: a pass changed the function (E910).
    """
    graph, checks = apply_passes(graph, PASSES, sample)
    later: list[Pass] = [MovePoolBeforeActivation()] if recipe.pooling == "before" else []
    for each in [*later, *([] if recipe.neuron.saturates else [SplitCeilings()])]:  # which others would undo
        graph, found = apply_passes(graph, [each], sample)
        checks += found
    return graph, checks


def compare_forms(
    name: str, before: str, folded: Graph, normal: NormalForm, network: SpikingNetwork, sample: Tensor
) -> list[Equivalence]:
    """Compare the normal form, run as an ANN, with the folded network, and that with its parameters on the grid.

    Raises:
        InternalError: the first differ (E910).
        ModelError: the others do (E117).
    """
    with torch.no_grad():
        outputs, uncorrected = normal.graph.run(sample), dataclasses.replace(network, graph=normal.graph)
        error = relative_error(outputs, folded.run(sample))
        rounded = relative_error(fixed_point(uncorrected).graph.run(sample), outputs)
    form = Equivalence("normal form as an ANN", before, error, FORM_LIMIT).require()
    grid = Equivalence("normal form on the grid", "normal form", rounded, GRID_LIMIT)
    if not grid.holds:
        raise ModelError(
            "E117",
            f"{name}: rounding parameters to 2^-17 thresholds changes an output by {rounded:.1g} of the largest",
            "the network cancels large numbers: scale the samples as in training, or their features alike",
        )
    return [form, grid]


def asked_of(job: Job) -> Asked:
    """Return what the job says about its model file; where nobody tells the input shape, the samples do."""
    preprocessing = Preprocessing.parse(job.preprocess)
    return Asked(
        job.input_shape, lambda: natural_shape(job.calib.path, preprocessing), job.output_name, job.trust_model
    )


def choose_samples(job: Job, graph: Graph, notes: list[str], warnings: list[str]) -> tuple[Selection, Selection]:
    """Open the data, choose who calibrates and who evaluates, and say what was chosen."""
    preprocessing = Preprocessing.parse(job.preprocess)
    sets = ((job.calib.path, job.calib.samples), (job.eval.path, job.eval.samples))
    calib, evaluation = select(
        *sets, job.seed, preprocessing, graph.input_shape, workers=DECODING, skip_bad=job.skip_bad
    )
    warnings += [f"left out: {what}" for what in (*calib.skipped, *evaluation.skipped)]
    classes = class_count(graph)
    check_classes(evaluation.dataset, classes)
    notes.append(f"samples are read {as_told(calib.layout)}; preprocessing: {preprocessing.describe()}")
    check_encoding(job, (calib, evaluation), notes)
    if evaluation.layout != calib.layout:
        notes.append(f"evaluation samples are read {as_told(evaluation.layout)}")
    if job.eval.path is None:
        notes.append(f"no --eval: of one set, {len(calib)} samples calibrate and {len(evaluation)} others evaluate")
    elif doubles := shared(calib, evaluation):
        warnings.append(f"W205: {doubles} of {len(evaluation)} evaluation samples are in the calibration set too")
    if classes is None:
        told = "" if evaluation.dataset.labels is None else ", and labels are not used"
        notes.append(f"the outputs are no classes: their distance to the ANN's stands in for accuracy{told}")
        if math.prod(graph.shapes[graph.output]) == 1:
            notes.append("a network of two classes with one output says so by a sigmoid at its end")
    elif evaluation.dataset.labels is None:
        notes.append("no labels: agreement with the ANN stands in for accuracy")
    return calib, evaluation


def as_told(layout: str) -> str:
    """Return how samples are read, for the end of a sentence."""
    return layout if layout == "as is" else f"as {layout}"


def check_encoding(job: Job, sets: Sequence[Selection], notes: list[str]) -> None:
    """Refuse what cannot be presented as it is asked for (UsageError E003), and say how recordings are."""
    if job.convert.encoding == "events":
        if any(Preprocessing.parse(job.preprocess).mean):
            hint = "leave mean out: the bias of a first layer can hold it"
            raise UsageError("E003", "--encoding events: the mean that --preprocess subtracts is no event", hint)
        for each in sets:
            each.in_time(job.convert.steps[-1]).first(1)
        notes.append(
            f"recordings are cut into {job.convert.steps[-1]} steps of equal duration; row t has seen t of them"
        )
    elif any(each.dataset.recordings is not None for each in sets):
        notes.append("recordings are summed to frames, the constant input of every step; --encoding events cuts them")


def run_part(job: Job, number: int, parts: int, progress: Progress, kept: Checkpoints) -> None:
    """Evaluate one of several parts of the samples, numbered from 0, and keep that for the run that writes the bundle.

    Raises:
        SnnError: anything a user can meet.
    """
    if kept.has_part(number, parts):
        return
    device = choose_device(job.device)
    job = job.model_copy(update={"device": str(device)})
    with exactly(job, device):
        evaluate_part(convert(job, device, progress, kept, whole=False), device, number, parts, progress, kept)
