"""What simulating T steps costs, in passes of the same ANN through ONNX Runtime: turn by turn, in one process."""

from collections.abc import Callable

import torch

from benchmarks.report import Section, machine
from benchmarks.timed import BATCH, IMAGES, THREADS, Timed, median, networks
from snnconvert.network import Schedule

ROUNDS = 5
RUNS = (
    ("synchronous", Schedule(32)),
    ("onset delay 1", Schedule(32, onset_delay=1)),
    ("layer-sequential", Schedule(32, onset_delay=32)),
    ("layer-sequential", Schedule(256, onset_delay=256)),
)


def run() -> Section:
    """Percentile 99.9 per channel, float32."""
    rows, most = [], 0.0
    for network in networks():
        found, passes = _measure(network)
        rows += found
        most = max(most, passes)
    verdict = (
        f"Goal (layer-sequential: at most 2 passes of the ANN, whatever T is): **{'met' if most <= 2 else 'missed'}**; "
        f"{IMAGES} images in batches of {BATCH}, {THREADS} threads, medians of {ROUNDS} turns. "
        "The VGG-like network is not trained; it is there for its wide layers."
    )
    header = ["network and schedule", "T", "an image", "passes of the ANN", "passes a step"]
    return Section("engine", "Cost of simulating", header, rows, verdict, machine())


def _measure(network: Timed) -> tuple[list[list[str]], float]:
    """Return the rows of a network, and the most passes that a layer-sequential run takes."""

    def ann() -> None:
        for x in network.parts:
            network.ann(x)

    def simulated(schedule: Schedule) -> Callable[[], None]:
        _, simulator = network.converted(schedule)

        def work() -> None:
            for x in network.parts:
                list(simulator.run(torch.from_numpy(x), [schedule.steps]))

        return work

    work = [ann, *(simulated(schedule) for _, schedule in RUNS)]
    for function in work:
        function()  # warm
    times: list[list[float]] = [[] for _ in work]
    medians = [0.0] * len(work)
    for _ in range(ROUNDS):
        for index, function in enumerate(work):
            medians[index] = median(function, times[index])
    rows, most = [[f"{network.name}: the ANN in ONNX Runtime", "", f"{1e3 * medians[0] / IMAGES:.2f} ms", "1", ""]], 0.0
    for (name, schedule), taken in zip(RUNS, medians[1:], strict=True):
        passes = taken / medians[0]
        if name == "layer-sequential":
            most = max(most, passes)
        cost = [f"{1e3 * taken / IMAGES:.2f} ms", f"{passes:.2f}", f"{passes / schedule.steps:.3f}"]
        rows.append([f"{network.name}: {name}", str(schedule.steps), *cost])
    return rows, most
