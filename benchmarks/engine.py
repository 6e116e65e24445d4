"""What simulating T steps costs, in passes of the same ANN through ONNX Runtime: turn by turn, in one process."""

from collections.abc import Callable, Sequence

import torch

from benchmarks.report import Section, by_vectors, machine
from benchmarks.timed import BATCH, IMAGES, THREADS, Timed, large_networks, median, networks
from snnconvert.network import Schedule, Weights

ROUNDS = 5
RUNS: tuple[tuple[str, Schedule, Weights], ...] = (
    ("synchronous", Schedule(32), "float32"),
    ("synchronous", Schedule(256), "float32"),
    ("synchronous, 8-bit weights", Schedule(32), "int8"),
    ("onset delay 1", Schedule(32, onset_delay=1), "float32"),
    ("layer-sequential", Schedule(32, onset_delay=32), "float32"),
    ("layer-sequential", Schedule(256, onset_delay=256), "float32"),
)
# passes of the ANN a step, at most
GOALS = {
    "ResNet-20": {"synchronous": 0.9, "synchronous, 8-bit weights": 0.45},
    "VGG-like": {"synchronous": 0.95, "synchronous, 8-bit weights": 0.4},
}
SEQUENTIAL = 2  # passes of the ANN, whatever T is


def run() -> Section:
    """Percentile 99.9 per channel."""
    rows = [row for network in networks() for row in _measure(network, RUNS)]
    rows += [row for network in large_networks() for row in _measure(network, (RUNS[0], RUNS[2]))]
    missed = ", ".join(row[0] for row in rows if row[-1] == "missed")
    verdict = (
        f"Goals: **{f'missed by {missed}' if missed else 'met'}**; "
        f"{IMAGES} images in batches of {BATCH} ({BATCH} photographs), {THREADS} threads, medians of {ROUNDS} turns. "
        "The VGG-like network is not trained; it is there for its wide layers."
    )
    header = ["network and schedule", "T", "an image", "passes of the ANN", "passes a step", "goal", ""]
    return Section(*by_vectors("engine", "Cost of simulating"), header, rows, verdict, machine())


def _measure(network: Timed, runs: Sequence[tuple[str, Schedule, Weights]]) -> list[list[str]]:
    """Return the rows of a network."""
    images = sum(map(len, network.parts))

    def ann() -> None:
        for x in network.parts:
            network.ann(x)

    def simulated(schedule: Schedule, weights: Weights) -> Callable[[], None]:
        _, simulator = network.converted(schedule, weights)

        def work() -> None:
            for x in network.parts:
                list(simulator.run(torch.from_numpy(x), [schedule.steps]))

        return work

    work = [ann, *(simulated(schedule, weights) for _, schedule, weights in runs)]
    for function in work:
        function()  # warm
    times: list[list[float]] = [[] for _ in work]
    medians = [0.0] * len(work)
    for _ in range(ROUNDS):
        for index, function in enumerate(work):
            medians[index] = median(function, times[index])
    rows = [[f"{network.name}: the ANN in ONNX Runtime", "", f"{1e3 * medians[0] / images:.2f} ms", "1", "", "", ""]]
    for (name, schedule, _), taken in zip(runs, medians[1:], strict=True):
        passes = taken / medians[0]
        cost = [f"{1e3 * taken / images:.2f} ms", f"{passes:.2f}", f"{passes / schedule.steps:.3f}"]
        goal = SEQUENTIAL / schedule.steps if name == "layer-sequential" else GOALS.get(network.name, {}).get(name)
        if schedule == Schedule(256):  # no more than 8 runs of 32 steps
            goal = medians[1] / medians[0] / RUNS[0][1].steps
        verdict = "" if goal is None else "met" if passes / schedule.steps <= goal else "missed"
        rows.append(
            [f"{network.name}: {name}", str(schedule.steps), *cost, "" if goal is None else f"{goal:.3g}", verdict]
        )
    return rows
