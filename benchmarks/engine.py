"""What simulating T steps costs, in passes of the same ANN through ONNX Runtime: turn by turn, in one process."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import Section, machine
from snnconvert.calibrate import collect
from snnconvert.convert.recipe import Recipe
from snnconvert.data import Preprocessing, batches, open_dataset
from snnconvert.fold import PASSES
from snnconvert.graph import apply_passes
from snnconvert.load import load_model
from snnconvert.network import Schedule
from snnconvert.neurons import make_neuron
from snnconvert.simulate import Simulator

THREADS, IMAGES, BATCH, ROUNDS = 2, 96, 16, 5
RUNS = (
    ("synchronous", Schedule(32)),
    ("onset delay 1", Schedule(32, onset_delay=1)),
    ("layer-sequential", Schedule(32, onset_delay=32)),
    ("layer-sequential", Schedule(256, onset_delay=256)),
)


def median(function: Callable[[], object], times: list[float]) -> float:
    """Time one more call; return the median so far."""
    started = time.perf_counter()
    function()
    times.append(time.perf_counter() - started)
    return statistics.median(times)


def run() -> Section:
    """ResNet-20, percentile 99.9 per channel, float32."""
    torch.set_num_threads(THREADS)
    network = BY_NAME["cifar10_akamaster_resnet20"]
    loaded = load_model(Path(path_of(network.name)))
    dataset, prepare = open_dataset(network.calib), Preprocessing.parse(network.preprocess)
    parts = [x for _, x in batches(dataset, np.arange(IMAGES), prepare, loaded.graph.input_shape, BATCH)]
    folded, _ = apply_passes(loaded.graph, PASSES, torch.from_numpy(parts[0][:8]))
    statistics_ = collect(folded, parts, True, torch.device("cpu"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path_of(network.name), options, providers=["CPUExecutionProvider"])

    def ann() -> None:
        for x in parts:
            session.run(None, {"input": x})

    def simulated(schedule: Schedule) -> Callable[[], None]:
        recipe = Recipe("percentile", make_neuron("if", {}), schedule)
        depths = recipe.try_on(folded).depths
        normal = recipe.scaled(folded, statistics_, depths, lambda: iter(()))
        simulator = Simulator(recipe.spiking(normal, statistics_, torch.zeros(0), lambda _: None))

        def work() -> None:
            for x in parts:
                list(simulator.run(torch.from_numpy(x), [schedule.steps]))

        return work

    work = [(name, schedule, simulated(schedule)) for name, schedule in RUNS]
    for function in (ann, *(each for _, _, each in work)):
        function()  # warm
    times: list[list[float]] = [[] for _ in range(len(work) + 1)]
    medians = [0.0] * len(times)
    for _ in range(ROUNDS):
        for index, function in enumerate((ann, *(each for _, _, each in work))):
            medians[index] = median(function, times[index])
    rows, met = [["the ANN in ONNX Runtime", "", f"{1e3 * medians[0] / IMAGES:.2f} ms", "1", ""]], True
    for (name, schedule, _), taken in zip(work, medians[1:], strict=True):
        passes = taken / medians[0]
        met = met and (name != "layer-sequential" or passes <= 2)
        rows.append(
            [
                name,
                str(schedule.steps),
                f"{1e3 * taken / IMAGES:.2f} ms",
                f"{passes:.2f}",
                f"{passes / schedule.steps:.3f}",
            ]
        )
    verdict = (
        f"Goal (layer-sequential: at most 2 passes of the ANN, whatever T is): **{'met' if met else 'missed'}**; "
        f"{IMAGES} images in batches of {BATCH}, {THREADS} threads, medians of {ROUNDS} turns."
    )
    header = ["ResNet-20", "T", "an image", "passes of the ANN", "passes a step"]
    return Section("engine", "Cost of simulating", header, rows, verdict, machine())
