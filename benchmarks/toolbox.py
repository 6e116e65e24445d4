"""What accuracy snn_toolbox keeps, beside ours: the same networks, calibration and test images.

TensorFlow runs in a process and an environment of its own.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.fidelity import curve, document_of
from benchmarks.keras_layers import KerasLayers
from benchmarks.report import HERE, Section, Skipped, machine
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.conversion import Conversion
from snnconvert.progress import Silent

PYTHON = Path(os.environ.get("SNNCONVERT_TOOLBOX", HERE.parent / ".venv" / "toolbox" / "bin" / "python"))
STEPS = [4, 8, 16, 32, 64, 128]
IMAGES, CALIB, BATCH = 500, 1000, 100
TOLERANCE = 1e-4  # between Keras and ONNX Runtime
AVERAGE, MAXIMUM, RESNET = "mnist_sinabs_cnn_avgpool", "mnist_ademrahal_lenet5", "cifar10_akamaster_resnet20"


def run() -> Section:
    """Two CNNs on MNIST and ResNet-20 on CIFAR-10: the share of right answers at each T of one run."""
    if not PYTHON.exists():
        raise Skipped(f"no snn_toolbox at {PYTHON}: `make toolbox` installs it")
    rows, versions = [], {}
    for name, title, forms in (
        (AVERAGE, "CNN with average pools", [False]),
        (MAXIMUM, "LeNet-5 with max pools", [False]),
        (RESNET, "ResNet-20", [False, True]),
    ):
        conversion = loaded(name)
        for merged in forms:
            answers = simulated(conversion, merged)
            versions = answers["versions"]
            who = "snn_toolbox, its sums merged into convolutions" if merged else "snn_toolbox"
            found = [answers["accuracy"][t - 1] for t in STEPS]
            rows.append([title, who, *percent(found), *percent([answers["parsed"], right(conversion)])])
            print(" | ".join(rows[-1]), flush=True)
        ours = curve(name, STEPS, IMAGES, CALIB)
        found = [row["accuracy"] for row in ours["steps"]]
        rows.append([title, "snnconvert, defaults", *percent(found), "", *percent([ours["ann"]["accuracy"]])])
        print(" | ".join(rows[-1]), flush=True)
    verdict = (
        f"Accuracy in percent on the same {IMAGES} test images, chosen by a seeded hash; {CALIB} training images "
        "calibrate. snn_toolbox: INI simulator, percentile 99.9 and all else by default, the network as a Keras model "
        "that ends in a softmax, whose outputs equal ONNX Runtime's; parsed: what it itself tells of the network that "
        "it simulates. Binary spikes, one network read at each T. It ran with "
        + ", ".join(f"{package} {number}" for package, number in versions.items())
        + "."
    )
    header = ["network", "converter", *(f"T = {t}" for t in STEPS), "parsed", "ANN"]
    return Section("toolbox", "Accuracy, in snn_toolbox", header, rows, verdict, machine())


def loaded(name: str) -> Conversion:
    """Return the network, folded, with its data."""
    job = build_job(document_of(name, STEPS, IMAGES, CALIB, correct=[]), name)
    return pipeline.convert(job, torch.device("cpu"), Silent())


def right(conversion: Conversion) -> float:
    """Return the accuracy of the ANN in ONNX Runtime."""
    images = conversion.evaluation.first(IMAGES)
    return float((conversion.loaded.reference.run(images).argmax(1) == conversion.evaluation.labels).mean())


def percent(values: list[float]) -> Iterator[str]:
    """Yield fractions as percentages."""
    return (f"{100 * value:.1f}" for value in values)


def simulated(conversion: Conversion, merged: bool) -> dict:
    """Return what snn_toolbox makes of a network.

    Raises:
        ValueError: the Keras model is not the network that ONNX Runtime runs.
        RuntimeError: snn_toolbox failed; its last lines.
    """
    network = KerasLayers(conversion.folded, merged)
    images = conversion.evaluation.first(IMAGES)
    labels = conversion.evaluation.labels
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "layers.json").write_text(json.dumps(network.layers))
        np.savez(folder / "arrays.npz", **network.arrays)
        calib = np.concatenate([*conversion.calib.batches(BATCH, lambda _: None)])
        np.savez(folder / "x_norm.npz", channels_last(calib))
        np.savez(folder / "x_test.npz", channels_last(images))
        np.savez(folder / "y_test.npz", np.eye(labels.max() + 1, dtype=np.float32)[labels])
        command = [PYTHON, HERE / "toolbox_worker.py", folder, str(STEPS[-1]), str(BATCH)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(f"snn_toolbox ended with {ran.returncode}: " + ran.stderr[-2000:])
        error = float(np.abs(np.load(folder / "logits.npy") - conversion.loaded.reference.run(images)).max())
        if not error <= TOLERANCE:
            raise ValueError(f"the Keras model is off by {error}, at most {TOLERANCE} expected")
        return json.loads((folder / "answers.json").read_text())


def channels_last(images: np.ndarray) -> np.ndarray:
    """Return a batch as Keras has it."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
