"""ResNet-20 from ONNX files, TorchScript (traced, scripted) and torch.export: the same answers from all of them."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import DATA, Section, machine
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.data import Preprocessing, batches, open_dataset
from snnconvert.load import Asked, load_model
from snnconvert.progress import Silent

NAME = "cifar10_akamaster_resnet20"
STEPS, SAMPLES = 32, 1000


def files(folder: Path) -> dict[str, Path]:
    """Write torch's formats from the state dict; return the paths of all formats."""
    from tests.load.test_torch_resnet20 import ResNet20

    stored = torch.load(DATA / "models" / f"{NAME}.state_dict.pth", weights_only=True)
    weights = {key.removeprefix("module."): value for key, value in stored.get("state_dict", stored).items()}
    net = ResNet20()
    net.load_state_dict(weights)
    net.eval()
    x = torch.zeros(2, 3, 32, 32)
    found = {
        "ONNX, legacy exporter": Path(path_of(NAME)),
        "ONNX, newer exporter": Path(path_of(f"{NAME}_dynamo")),
        "TorchScript, traced": folder / "traced.pt",
        "TorchScript, scripted": folder / "scripted.pt",
        "torch.export": folder / "exported.pt2",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.trace(net, x), found["TorchScript, traced"])
        torch.jit.save(torch.jit.script(net), found["TorchScript, scripted"])
        batch = torch.export.Dim("batch", min=1)
        torch.export.save(torch.export.export(net, (x,), dynamic_shapes=({0: batch},)), found["torch.export"])
    return found


def run() -> Section:
    """Compare the ANN on all test images, the spiking network on the first thousand of a seeded choice."""
    network, rows, different = BY_NAME[NAME], [], []
    dataset, prepare = open_dataset(network.evaluation), Preprocessing.parse(network.preprocess)
    first_ann = first_snn = None
    with tempfile.TemporaryDirectory() as folder:
        for label, path in files(Path(folder)).items():
            loaded = load_model(path, Asked((3, 32, 32)))
            parts = batches(dataset, np.arange(len(dataset)), prepare, loaded.graph.input_shape, 100)
            ann = np.concatenate([loaded.reference.run(x).argmax(1) for _, x in parts])
            document = {
                "model": str(path),
                "calib": {"path": network.calib},
                "eval": {"path": network.evaluation, "samples": SAMPLES},
                "preprocess": network.preprocess,
                "convert": {"steps": [STEPS], "correct": []},  # which would answer rounding with other numbers
            }
            conversion = pipeline.convert(build_job(document, label), torch.device("cpu"), Silent())
            outcomes = pipeline.evaluate(conversion, torch.device("cpu"), Silent())
            snn = outcomes.snn[0]
            first_ann = ann if first_ann is None else first_ann
            first_snn = snn if first_snn is None else first_snn
            same = [int((ann == first_ann).sum()), int((snn == first_snn).sum())]
            if same[0] < len(ann):
                different.append(label)
            rows.append(
                [
                    label,
                    f"{100 * (ann == dataset.labels).mean():.2f} %",
                    f"{same[0]} of {len(ann)}",
                    f"{100 * (snn == outcomes.labels).mean():.2f} %",
                    f"{same[1]} of {len(snn)}",
                ]
            )
    verdict = (
        f"Goal (the ANN's answers are the same, to the sample): **{'missed' if different else 'met'}**. The spiking "
        "networks fold batch norm in different orders, and float rounding moves some spikes."
    )
    header = ["ResNet-20 from", "ANN accuracy", "same answers", f"accuracy at T = {STEPS}", "same answers at T"]
    return Section("formats", "One network from all formats", header, rows, verdict, machine())
