"""Loaded network against ONNX Runtime on the user's graph, and the ANN's accuracy over the whole test sets."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.networks import NETWORKS, path_of
from benchmarks.report import Section, machine
from snnconvert.data import Preprocessing, batches, open_dataset
from snnconvert.fold import PASSES
from snnconvert.graph import apply_passes, relative_error
from snnconvert.load import load_model


def run() -> Section:
    """Compare on the first 50 evaluation samples; measure accuracy on all."""
    rows, worst, off = [], 0.0, []
    for network in NETWORKS:
        loaded = load_model(Path(path_of(network.name)))
        dataset, prepare = open_dataset(network.evaluation or network.calib), Preprocessing.parse(network.preprocess)
        correct, error, folded_error = 0, 0.0, 0.0
        folded = None
        for indices, x in batches(dataset, np.arange(len(dataset)), prepare, loaded.graph.input_shape, 50):
            expected = loaded.reference.run(x)
            correct += int((expected.argmax(1) == dataset.labels[indices]).sum())
            if folded is None:
                error = loaded.compare(x).max_error
                folded, _ = apply_passes(loaded.graph, PASSES, torch.from_numpy(x[:8]))
                with torch.no_grad():
                    folded_error = relative_error(folded.run(torch.from_numpy(x)), torch.from_numpy(expected))
        accuracy = 100 * correct / len(dataset)
        worst = max(worst, error, folded_error)
        if abs(accuracy - network.accuracy) > (0.005 if network.exact else 2.5):
            off.append(network.name)
        rows.append(
            [
                network.name,
                f"{error:.1e}",
                f"{folded_error:.1e}",
                f"{accuracy:.2f} %",
                f"{network.accuracy:.2f} %",
                str(len(dataset)),
            ]
        )
    goal = "met" if worst <= 1e-4 and not off else "missed"
    verdict = (
        f"Goal (differences at most 1e-4 of the output scale; accuracy as its source states): **{goal}**; "
        f"largest difference {worst:.1e}. ImageNet: 500 images here, 1,000 at the source (+-2.5 points)."
    )
    header = ["network", "loaded vs ONNX Runtime", "folded vs ONNX Runtime", "ANN accuracy", "at its source", "samples"]
    return Section("loading", "Loaded and folded networks equal ONNX Runtime", header, rows, verdict, machine())
