"""Accuracy against time steps, for every kind of spikes and schedule, with what each costs: the table of methods.

No option is chosen by accuracy on test images: what `--method auto` chooses, it chooses on calibration samples; the
fixed recipes were compared on held-out training images.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import BATCH, DEVICE, Section, machine
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.data import open_dataset
from snnconvert.data.preprocessing import Preprocessing
from snnconvert.progress import Silent

AUTO = {"method": "auto"}
FITTED = {"method": "mse", "correct": ["step-bias", "weights"]}
WARM = {**FITTED, "warm_up": 0.5}
LATER = {**FITTED, "onset_delay": 1}
DECODED = {"method": "mse", "correct": ["bias", "weights"]}


@dataclass(frozen=True)
class Row:
    """One conversion; ``goal`` is the loss in points that it must not exceed, None where nothing was asked."""

    spikes: str
    schedule: str
    steps: int
    convert: dict[str, Any]
    goal: float | None = None
    neuron: dict[str, Any] = field(default_factory=dict)


RESNET20 = (
    Row("binary", "synchronous", 64, {**FITTED, "warm_up": 0.75}, 0.1),
    Row("binary", "synchronous", 32, {**FITTED, "warm_up": 0.75}, 0.3),
    Row("binary", "synchronous", 16, WARM, 1.5),
    Row("binary", "synchronous", 4, AUTO),
    Row("binary", "onset delay 1", 16, LATER, 0.3),
    Row("binary", "onset delay 1", 8, LATER, 1.0),
    Row("binary", "onset delay 1", 4, LATER, 7.5),
    Row("signed", "synchronous", 16, {**FITTED, "neuron": "if-signed"}, 0.3),
    Row("signed", "synchronous", 8, {**FITTED, "neuron": "if-signed"}, 1.5),
    Row("signed multi, k = 15", "synchronous", 1, {**FITTED, "neuron": "if-signed-multi"}, 1.5, {"k": 15}),
    Row("signed multi, k = 7", "synchronous", 2, {**FITTED, "neuron": "if-signed-multi"}, 0.7, {"k": 7}),
    Row("signed multi, k = 4", "synchronous", 4, {**FITTED, "neuron": "if-signed-multi"}, 0.3, {"k": 4}),
    Row("differential, n = 4", "synchronous", 2, {**DECODED, "neuron": "differential"}, None, {"n": 4}),
    Row("differential, n = 6", "synchronous", 2, {**DECODED, "neuron": "differential"}, 1.0, {"n": 6}),
    Row("differential, n = 6", "synchronous", 4, {**DECODED, "neuron": "differential"}, 0.3, {"n": 6}),
)
OTHERS = (
    Row("binary", "synchronous", 64, WARM),
    Row("binary", "synchronous", 32, WARM),
    Row("binary", "onset delay 1", 64, LATER, 5.0),
    Row("binary", "onset delay 1", 16, LATER),
    Row("binary", "onset delay 1", 8, LATER),
    Row("signed multi, k = 15", "synchronous", 1, {**FITTED, "neuron": "if-signed-multi"}, None, {"k": 15}),
    Row("differential, n = 6", "synchronous", 2, {**DECODED, "neuron": "differential"}, None, {"n": 6}),
    Row("differential, n = 8", "synchronous", 4, {**DECODED, "neuron": "differential"}, None, {"n": 8}),
)
HEADER = ["spikes", "schedule", "T", "total", "accuracy", "loss", "goal", "agreement", "SynOps/MAC", "energy", "recipe"]


def converted(
    name: str, row: Row, calib: str, evaluation: str, preprocess: str, samples: int | None = None
) -> dict[str, Any]:
    """Convert a network and return its metrics, with what was chosen under ``recipe``; nothing is written.

    ``samples`` of ``calib`` are used, None for its all; all of ``evaluation`` are.
    """
    document = {
        "model": path_of(name),
        "calib": {"path": calib, "samples": samples},
        "eval": {"path": evaluation, "batch_size": BATCH},
        "preprocess": preprocess,
        "convert": {"steps": [row.steps], **row.convert},
        "neuron": row.neuron,
    }
    job, device = build_job(document, name), torch.device(DEVICE)
    conversion = pipeline.convert(job, device, Silent())
    pipeline.evaluate(conversion, device, Silent())
    options = conversion.job.convert
    recipe = [options.method, options.neuron, *options.correct]
    recipe += [f"warm-up {options.warm_up:g}"] if options.warm_up else []
    return {
        **conversion.metrics,
        "recipe": ("auto: " if row.convert is AUTO or "auto" in row.convert.values() else "") + " ".join(recipe),
    }


def told(row: Row, folds: list[dict[str, Any]]) -> tuple[list[str], float]:
    """Return the cells of a row, and the loss in points; several folds are weighted by their samples."""
    total = sum(metrics["samples"] for metrics in folds)

    def mean(value: Any) -> float:
        return float(sum(value(metrics) * metrics["samples"] for metrics in folds)) / total

    last = [metrics["steps"][-1] for metrics in folds]
    accuracy, ann = mean(lambda m: m["steps"][-1]["accuracy"]), mean(lambda m: m["ann"]["accuracy"])
    loss = 100 * (ann - accuracy)
    ops = mean(lambda m: m["steps"][-1]["synops_per_sample"] / m["macs_per_sample"]["ann"])
    cells = [
        row.spikes,
        row.schedule,
        str(row.steps),
        str(last[0]["total_steps"]),
        f"{100 * accuracy:.2f}",
        f"{loss:.2f}",
        "" if row.goal is None else f"{row.goal:g}",
        f"{100 * mean(lambda m: m['steps'][-1]['agreement']):.2f}",
        f"{ops:.2f}",
        f"{mean(lambda m: m['steps'][-1]['energy_ratio']):.3f}",
        folds[0]["recipe"],
    ]
    return cells, loss


def judged(rows: list[tuple[Row, float]]) -> str:
    """Say which goals were met."""
    missed = [
        f"{row.spikes} {row.schedule} T = {row.steps} by {loss - row.goal:.2f}"
        for row, loss in rows
        if row.goal is not None and loss > row.goal + 1e-9
    ]
    return f"**missed**: {'; '.join(missed)}" if missed else "**met**"


def resnet20() -> Section:
    """ResNet-20 on all test images of CIFAR-10: every goal of the table."""
    network, rows, losses = BY_NAME["cifar10_akamaster_resnet20"], [], []
    for row in RESNET20:
        metrics = converted(network.name, row, network.calib, str(network.evaluation), network.preprocess)
        cells, loss = told(row, [metrics])
        print(" | ".join(cells), flush=True)
        rows.append(cells)
        losses.append((row, loss))
    verdict = (
        f"Goals (loss in points, at most): {judged(losses)}. ANN 91.73 %, all 10,000 test images; 1,000 unlabelled "
        "training images calibrate. SynOps/MAC: events x fan-out, over the ANN's multiply-accumulates; energy: the "
        "ratio of metrics.json (45 nm, float32)."
    )
    return Section("trade", "Accuracy, time steps and operations: ResNet-20", HEADER, rows, verdict, machine())


def halves(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Write the two halves of ImageNet's images, cropped, and yield both ways to calibrate on one of them."""
    network = BY_NAME[name]
    preprocessing = Preprocessing.parse("crop=224")
    dataset = open_dataset(network.calib)
    cropped = [preprocessing(dataset.sample(i), (3, 224, 224)) for i in range(len(dataset))]
    images = np.stack(cropped).transpose(0, 2, 3, 1).astype(np.uint8)
    paths = []
    for half in (0, 1):
        paths.append(str(folder / f"half{half}.npz"))
        labels = np.asarray(dataset.labels)[half::2]
        np.savez(paths[-1], images=images[half::2], labels=labels)
    yield paths[0], paths[1]
    yield paths[1], paths[0]


def other(name: str, title: str) -> Section:
    """Another network, on all that there is; ImageNet's 500 images in two folds, each calibrated on the other."""
    network, rows, losses = BY_NAME[name], [], []
    with tempfile.TemporaryDirectory() as folder:
        folds = [(network.calib, str(network.evaluation))] if network.exact else [*halves(name, Path(folder))]
        preprocess = network.preprocess if network.exact else network.preprocess.replace("crop=224,", "")
        for row in OTHERS:
            goal = row.goal if name.startswith("mobilenet") else None
            cells, loss = told(row, [converted(name, row, *fold, preprocess) for fold in folds])
            cells[6] = "" if goal is None else f"{goal:g}"
            print(name, " | ".join(cells), flush=True)
            rows.append(cells)
            losses.append((replace(row, goal=goal), loss))
    asked = any(row.goal is not None for row, _ in losses)
    verdict = (f"Goal (loss in points, at most): {judged(losses)}. " if asked else "") + (
        "All 10,000 test images, 1,000 unlabelled training images calibrate."
        if network.exact
        else "500 images in two folds, each calibrated on the 250 of the other without labels."
    )
    return Section(
        f"trade_{title.lower()}", f"Accuracy, time steps and operations: {title}", HEADER, rows, verdict, machine()
    )


def resnet8() -> Section:
    """MLPerf Tiny's ResNet-8."""
    return other("cifar10_mlperf_resnet8", "ResNet8")


def mobilenet() -> Section:
    """MobileNetV1 0.25, of which published conversions lose most."""
    return other("mobilenetv1_0.25_224_imagenet", "MobileNet")


def squeezenet() -> Section:
    """SqueezeNet 1.1."""
    return other("squeezenet1.1_imagenet", "SqueezeNet")


def mnist() -> Section:
    """The MNIST networks at T = 8, and one step of graded spikes."""
    rows, losses = [], []
    table = (
        Row("binary", "synchronous", 8, AUTO, 0.3),
        Row("binary", "onset delay 1", 4, LATER),
        Row("signed multi, k = 15", "synchronous", 1, {**FITTED, "neuron": "if-signed-multi"}, None, {"k": 15}),
    )
    for name in ("mnist_cntk_mnist-8", "mnist_ccoltong_lenetreg", "mnist_sinabs_cnn_avgpool", "mnist_ademrahal_lenet5"):
        network = BY_NAME[name]
        for row in table:
            found = [converted(name, row, network.calib, str(network.evaluation), network.preprocess, 1000)]
            cells, loss = told(row, found)
            print(name, " | ".join(cells), flush=True)
            rows.append([name, *cells])
            losses.append((Row(name, row.schedule, row.steps, {}, row.goal), loss))
    verdict = f"Goal (loss of at most 0.3 points at T = 8): {judged(losses)}. 10,000 test images each."
    return Section(
        "trade_mnist", "Accuracy, time steps and operations: MNIST", ["network", *HEADER], rows, verdict, machine()
    )
