"""NIR files in other simulators: which importer runs which network, and whether it sends the same spikes."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper, save_model
from torch import Tensor

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import Section, Skipped, machine
from snnconvert import pipeline
from snnconvert.bundle import metadata
from snnconvert.config import build_job
from snnconvert.data import Preprocessing, select
from snnconvert.export.deployed import read_step_model
from snnconvert.export.nir.export import nir_file
from snnconvert.export.nir.file import read_nir
from snnconvert.export.nir.importers import installed
from snnconvert.export.nir.interpreter import run_nir
from snnconvert.export.probes import exact_samples
from snnconvert.export.step_model import step_model
from snnconvert.export.verification import Expected, expected_of, inexact
from snnconvert.graph import OnnxWriter
from snnconvert.network import SpikingNetwork
from snnconvert.progress import Silent

STEPS, IMAGES = 32, 4


@dataclass(frozen=True)
class Case:
    """A network to convert, what kind of graph it is, and the options that NIR needs."""

    title: str
    kind: str
    model: str
    calib: str
    preprocess: str
    convert: Mapping[str, object]
    samples: int = 100  # that it is calibrated and corrected on


def cases(folder: Path) -> list[Case]:
    """Return the networks; one with parallel branches and pools of 2x2 is written into a folder."""
    average = {"max_pool": "average"}
    found = [
        ("LeNet with average pools", "sequential", "mnist_sinabs_cnn_avgpool", {}, 100),
        ("LeNet-5", "sequential", "mnist_ademrahal_lenet5", average, 100),
        ("ResNet-8", "residual", "cifar10_mlperf_resnet8", {}, 100),
        ("ResNet-20", "residual", "cifar10_akamaster_resnet20", {}, 100),
    ]
    listed = [
        Case(title, kind, path_of(name), BY_NAME[name].calib, BY_NAME[name].preprocess, options, samples)
        for title, kind, name, options, samples in found
    ]
    cifar = BY_NAME["cifar10_akamaster_resnet20"]
    write_branches(folder / "branches.onnx")
    branches = Case("two branches", "concat", str(folder / "branches.onnx"), cifar.calib, cifar.preprocess, {})
    return [*listed, branches]


def run() -> Section:
    """Convert, export, and run the files; the engine is the reference."""
    runs = installed()
    if not runs:
        raise Skipped("neither sinabs nor SpikingJelly is installed: `make peers` does that")
    rows, same = [], True
    with tempfile.TemporaryDirectory() as temporary:
        for case in cases(Path(temporary)):
            network = deployed(case)
            content, _ = nir_file(network, {"source": case.model}, "portable", [])
            graph = read_nir(content, case.title)
            samples = {"made": exact_samples(network, IMAGES), "images": images(case, network.graph.input_shape)}
            expected = {name: expected_of(network, x, STEPS) for name, x in samples.items()}
            nodes = f"{len(graph.nodes)} nodes, {len(network.neurons)} IF"
            for name, each in {"our interpreter": run_nir, **runs}.items():
                plain = ""
                if name in runs:
                    plain = compared(each, graph, samples["made"], expected["made"], helped=False)[0]
                made, _ = compared(each, graph, samples["made"], expected["made"])
                real, agreement = compared(each, graph, samples["images"], expected["images"])
                same = same and (made.startswith("0 of") or bool(inexact(network)))
                rows.append([case.title, case.kind, nodes, name, plain, made, real, agreement])
                print(rows[-1], flush=True)
    verdict = (
        f"Neurons whose spike count differs from the engine's, T = {STEPS}, {IMAGES} samples: made ones, on which all "
        "sums are exact, and images, where the analog first layer is rounded. "
        f"Exact where they can be: **{'yes' if same else 'no'}**. As imported: without the helpers of "
        "snnconvert.export.nir_helpers."
    )
    header = ["network", "graph", "NIR", "in", "as imported", "made samples", "images", "same class"]
    return Section("nir", "NIR files in other simulators", header, rows, verdict, machine("nir", "nirtorch", *runs))


def deployed(case: Case) -> SpikingNetwork:
    """Convert a network, and return what is read back from its step model, as of a bundle."""
    document = {
        "model": case.model,
        "calib": {"path": case.calib, "samples": case.samples},
        "eval": {"path": None, "samples": 16},
        "preprocess": case.preprocess,
        "convert": {"steps": [STEPS], **case.convert},
    }
    conversion = pipeline.convert(build_job(document, case.title), torch.device("cpu"), Silent())
    content = step_model(conversion.network, metadata(conversion))
    return read_step_model(Path("snn.onnx"), content, sha256(content).hexdigest()).network


def images(case: Case, shape: tuple[int, ...]) -> Tensor:
    """Return the first images of the calibration set."""
    chosen, _ = select((case.calib, IMAGES), (None, 1), 0, Preprocessing.parse(case.preprocess), shape)
    return torch.from_numpy(np.ascontiguousarray(chosen.first(IMAGES)))


def compared(run: Any, graph: Any, x: Tensor, expected: Expected, **options: bool) -> tuple[str, str]:
    """Return how many spike counts differ, and how many samples get the engine's class; or why it does not run."""
    try:
        total, counts, *_ = run(graph, x, STEPS, **options)
    except Exception as problem:  # noqa: BLE001 - theirs have no common base
        return f"does not run: {str(problem).splitlines()[0][:80]}", ""
    by_node = {str(graph.nodes[name].metadata["node"]): count for name, count in counts.items()}
    differing = sum(
        int((count != expected.counts[name]).sum()) if count.shape == expected.counts[name].shape else count.numel()
        for name, count in by_node.items()
    )
    neurons = sum(count.numel() for count in expected.counts.values())
    if total.shape != expected.output.shape:
        return f"{differing:,} of {neurons:,}; the output is another node's", ""
    agreeing = int((total.flatten(1).argmax(1) == expected.output.flatten(1).argmax(1)).sum())
    return f"{differing:,} of {neurons:,}", f"{agreeing} of {len(x)}"


def write_branches(path: Path) -> None:
    """Write a CIFAR network whose two stages join a 1x1 and a 3x3 branch; not trained, a fixed seed."""
    make, writer = torch.Generator().manual_seed(1), OnnxWriter()

    def convolution(value: str, inputs: int, outputs: int, size: int, name: str) -> str:
        weight = torch.randn((outputs, inputs, size, size), generator=make) * math.sqrt(2 / (inputs * size**2))
        given = [value, writer.constant("weight", weight), writer.constant("bias", torch.zeros(outputs))]
        made = writer.node("Conv", given, name, kernel_shape=[size] * 2, pads=[size // 2] * 4)
        return writer.node("Relu", [made], f"{name}.relu")

    value, channels = "input", 3
    for stage, width in enumerate((16, 32), 1):
        squeezed = convolution(value, channels, width, 3, f"squeeze{stage}")
        branches = [convolution(squeezed, width, width, size, f"expand{stage}.{size}") for size in (1, 3)]
        joined = writer.node("Concat", branches, f"joined{stage}", axis=1)
        value = writer.node("AveragePool", [joined], f"pool{stage}", kernel_shape=[2, 2], strides=[2, 2])
        channels = 2 * width
    flat = writer.node("Flatten", [value], "flat")
    weight = torch.randn((10, channels * 64), generator=make) / math.sqrt(channels * 64)
    writer.node("Gemm", [flat, writer.constant("weight", weight)], "output", transB=1)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("input", ["N", 3, 32, 32]), ("output", ["N", 10]))
    ]
    graph = helper.make_graph(writer.nodes, "branches", ends[:1], ends[1:], writer.initializers)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
