"""A network on event recordings as they come, beside the same events summed to a constant input."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import Section, machine
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.data import open_dataset
from snnconvert.progress import Silent

NAME, MOST, SAMPLES = "mnist_ademrahal_lenet5", 8, 2000  # MOST: events of a white pixel
STEPS = (8, 16, 32, 64)
WAYS: dict[str, dict[str, Any]] = {
    "constant": {"encoding": "constant"},
    "events": {"encoding": "events"},
    "events, --onset-delay 4": {"encoding": "events", "onset_delay": 4},
    "events, --onset-delay T": {"encoding": "events", "onset_delay": None},
    "events, --neuron if-signed": {"encoding": "events", "neuron": "if-signed"},
}


def record(path: str, count: int, file: Path, make: np.random.Generator) -> None:
    """Write recordings of images: a pixel sends up to MOST events, as many as it is bright, at times by chance."""
    dataset = open_dataset(path)
    columns: list[NDArray[np.int64]] = []
    offsets, labels = [0], []
    for i in range(count):
        image = np.asarray(dataset.sample(i), np.float64)
        sent = np.rint(image * MOST / 255).astype(np.int64)
        place = make.permutation(np.repeat(np.arange(image.size), sent.ravel()))
        time = np.sort(make.integers(0, 100_000, len(place)))
        y, x = np.divmod(place, image.shape[-1])
        columns.append(np.stack([x, y, time, np.ones_like(x)]))
        offsets.append(offsets[-1] + len(place))
        labels.append(0 if dataset.labels is None else int(dataset.labels[i]))
    arrays = dict(zip("xytp", np.concatenate(columns, axis=1), strict=True))
    size = [image.shape[-1], image.shape[0], 1]
    np.savez(file, **arrays, offsets=np.array(offsets), labels=np.array(labels), sensor_size=np.array(size))


def run() -> Section:
    """LeNet-5 on events made from MNIST's test images; each T is a conversion of its own."""
    network, rows, answers = BY_NAME[NAME], [], {}
    with tempfile.TemporaryDirectory() as folder:
        files = {part: Path(folder) / f"{part}.npz" for part in ("train", "test")}
        record(network.calib, 1000, files["train"], np.random.default_rng(0))
        record(str(network.evaluation), SAMPLES, files["test"], np.random.default_rng(1))
        for way, options in WAYS.items():
            cells = [way]
            for steps in STEPS:
                chosen = {name: steps if value is None else value for name, value in options.items()}
                document = {
                    "model": path_of(NAME),
                    "calib": {"path": str(files["train"])},
                    "eval": {"path": str(files["test"]), "batch_size": 100},
                    "preprocess": f"scale=1/{MOST}",
                    "convert": {"steps": [steps], **chosen},
                }
                conversion = pipeline.convert(build_job(document, NAME), torch.device("cpu"), Silent())
                pipeline.evaluate(conversion, torch.device("cpu"), Silent())
                answers = conversion.metrics
                (row,) = answers["steps"]
                cells.append(
                    f"{100 * row['accuracy']:.2f} ({row['total_steps']}; {row['synops_per_sample'] / 1e6:.2f}M)"
                )
            rows.append(cells)
    verdict = (
        f"LeNet-5, {SAMPLES:,} test images, ANN {100 * answers['ann']['accuracy']:.2f} % on the frames. These are no "
        f"recordings of a camera: a pixel of MNIST sends up to {MOST} events, as many as it is bright, at times by "
        "chance. No goal was set."
    )
    header = ["input", *(f"T = {steps}: accuracy (steps in all; SynOps)" for steps in STEPS)]
    return Section("events", "Event recordings as input", header, rows, verdict, machine())
