"""Time of calibration and of --help, memory against T: ratios measured in one run."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import Section, machine
from snnconvert import pipeline
from snnconvert.calibrate import collect
from snnconvert.config import build_job
from snnconvert.data import Preprocessing, batches, open_dataset
from snnconvert.fold import PASSES
from snnconvert.graph import apply_passes
from snnconvert.load import load_model
from snnconvert.progress import Silent

THREADS = 2
ROUNDS = 7
MEMORY = """
import sys
import torch
from benchmarks.fidelity import curve
from benchmarks.memory import resident
torch.set_num_threads(2)
correct = sys.argv[5].split()
curve(sys.argv[1], [int(sys.argv[2])], samples=int(sys.argv[3]), calib=int(sys.argv[4]), correct=correct)
print(resident("VmHWM"))  # ru_maxrss would begin with what the parent has
"""


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def calibration() -> Section:
    """Calibrate on 1,000 CIFAR-10 images through ResNet-20, against ONNX Runtime on the same images, turn by turn."""
    from pathlib import Path

    import onnxruntime

    torch.set_num_threads(THREADS)
    network = BY_NAME["cifar10_akamaster_resnet20"]
    loaded = load_model(Path(path_of(network.name)))
    dataset, prepare = open_dataset(network.calib), Preprocessing.parse(network.preprocess)
    parts = [x for _, x in batches(dataset, np.arange(1000), prepare, loaded.graph.input_shape, 64)]
    folded, _ = apply_passes(loaded.graph, PASSES, torch.from_numpy(parts[0][:8]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path_of(network.name), options, providers=["CPUExecutionProvider"])
    work = {
        "ONNX Runtime, forward pass": lambda: [session.run(None, {"input": x}) for x in parts],
        "calibrate per layer": lambda: collect(folded, parts, False, torch.device("cpu")),
        "calibrate per channel": lambda: collect(folded, parts, True, torch.device("cpu")),
    }
    for function in work.values():
        function()  # warm
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, function in work.items():
            times[name].append(seconds(function))
    base = statistics.median(times["ONNX Runtime, forward pass"])
    rows, ratios = [], []
    for name, found in times.items():
        ratios.append(statistics.median(found) / base)
        rows.append([name, f"{statistics.median(found):.2f} s", f"{min(found):.2f} s", f"{ratios[-1]:.2f}"])
    goal = "met" if max(ratios) < 3 else "missed"
    verdict = (
        f"Goal (under 3 x ONNX Runtime, in process, warm, {THREADS} threads): **{goal}**; median of {ROUNDS} turns."
    )
    header = ["1,000 images", "median", "minimum", "ratio"]
    return Section("calibration", "Cost of calibration", header, rows, verdict, machine())


def corrections() -> Section:
    """Convert ResNet-20 for T = 32 from 256 images, from the file to the corrected network; nothing is evaluated."""
    torch.set_num_threads(THREADS)
    network = BY_NAME["cifar10_akamaster_resnet20"]
    rows, worst = [], 0.0
    for method, correct in (
        ("percentile", []),
        ("percentile", ["bias"]),
        ("mse", ["step-bias", "weights"]),
        ("mse", ["step-bias", "potential", "weights"]),
    ):
        document = {
            "model": path_of(network.name),
            "calib": {"path": network.calib, "samples": 256},
            "eval": {"path": str(network.evaluation), "samples": 1},
            "preprocess": network.preprocess,
            "convert": {"steps": [32], "method": method, "correct": correct, "correct_samples": 256},
        }
        job = build_job(document, network.name)
        took = seconds(lambda job=job: pipeline.convert(job, torch.device("cpu"), Silent()))  # type: ignore[misc]
        worst = max(worst, took)
        rows.append([method, ", ".join(correct) or "none", f"{took:.1f} s"])
    verdict = (
        f"Goal (calibration with corrections, T = 32, 256 images, under 60 s on two cores): "
        f"**{'met' if worst < 60 else 'missed'}**; {THREADS} threads, loading and folding included."
    )
    return Section("corrections", "Cost of corrections", ["method", "corrections", "time"], rows, verdict, machine())


def start() -> Section:
    """Time ``snnconvert --help`` as a whole process."""
    command = [sys.executable, "-m", "snnconvert", "--help"]
    times = [seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(15)][1:]
    median = statistics.median(times)
    verdict = f"Goal (under 0.3 s): **{'met' if median < 0.3 else 'missed'}**; {len(times)} runs after a first one."
    rows = [["snnconvert --help", f"{median:.3f} s", f"{max(times):.3f} s"]]
    return Section("start", "Time to the first word", ["command", "median", "maximum"], rows, verdict, machine())


def memory() -> Section:
    """Peak memory of whole conversions: ResNet-20 (64 samples) at T = 16 and 256, SqueezeNet at 224 x 224 (16)."""

    def peak(name: str, steps: int, samples: int, calib: int, correct: str) -> float:
        arguments = [name, *map(str, (steps, samples, calib)), correct]
        done = subprocess.run([sys.executable, "-c", MEMORY, *arguments], check=True, capture_output=True, text=True)
        return int(done.stdout.split()[-1]) / 2**20

    rows, met = [], []
    for correct, told in (("", "without corrections"), ("bias", "with the default's")):
        short, long = (peak("cifar10_akamaster_resnet20", steps, 64, 128, correct) for steps in (16, 256))
        large = peak("squeezenet1.1_imagenet", 32, 16, 16, correct)
        met.append(long <= 1.2 * short and large <= 3 * 1024)
        rows.append([told, *(f"{each:.0f} MiB" for each in (short, long, large)), "met" if met[-1] else "missed"])
    verdict = (
        f"Goals (T = 256 takes at most 1.2 x of T = 16; SqueezeNet at most 3 GiB): "
        f"**{'met' if all(met) else 'met without corrections alone' if met[0] else 'missed'}**. Whole conversions and "
        "evaluations in batches of 16; corrections keep spikes and currents of a layer in memory, up to 6 GiB."
    )
    header = ["peak resident set", "ResNet-20, T = 16", "T = 256", "SqueezeNet 1.1, 224 x 224, T = 32", ""]
    return Section("memory", "Peak memory", header, rows, verdict, machine())
