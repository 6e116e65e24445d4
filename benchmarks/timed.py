"""Networks made ready to be timed: folded and calibrated, with samples, and with ONNX Runtime beside them."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from benchmarks.networks import BY_NAME, Network, path_of, write_vgg_like
from snnconvert.calibrate import ActivationStatistics, collect
from snnconvert.convert.recipe import Recipe
from snnconvert.data import Preprocessing, batches, open_dataset
from snnconvert.fold import PASSES
from snnconvert.graph import Graph, apply_passes
from snnconvert.load import load_model
from snnconvert.network import NormalForm, Schedule, Weights
from snnconvert.neurons import make_neuron
from snnconvert.simulate import Simulator

THREADS, IMAGES, BATCH = 2, 96, 16
CIFAR = BY_NAME["cifar10_akamaster_resnet20"]  # the VGG-like network has the same samples and preprocessing


@dataclass(frozen=True)
class Timed:
    """A network with its calibration on ``parts``, the batches that are timed; ``session`` is ONNX Runtime's."""

    name: str
    folded: Graph
    statistics: ActivationStatistics
    parts: Sequence[NDArray[np.float32]]
    session: onnxruntime.InferenceSession

    def ann(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the ANN's outputs for a batch, by ONNX Runtime."""
        return self.session.run(None, {self.folded.input: x})[0]

    def converted(self, schedule: Schedule, weights: Weights = "float32") -> tuple[NormalForm, Simulator]:
        """Convert: percentile 99.9 per channel, integrate-and-fire neurons, no corrections."""
        recipe = Recipe("percentile", make_neuron("if", {}), schedule, weights=weights)
        depths = recipe.try_on(self.folded).depths
        normal = recipe.scaled(self.folded, self.statistics, depths, lambda: iter(()))
        return normal, Simulator(recipe.spiking(normal, self.statistics, torch.zeros(0), lambda _: None))


def timed(name: str, path: Path, network: Network = CIFAR, images: int = IMAGES) -> Timed:
    """Read a model and calibrate it on the images that are timed, which ``network`` tells."""
    loaded = load_model(path)
    dataset, prepare = open_dataset(network.calib), Preprocessing.parse(network.preprocess)
    parts = [x for _, x in batches(dataset, np.arange(images), prepare, loaded.graph.input_shape, BATCH)]
    folded, _ = apply_passes(loaded.graph, PASSES, torch.from_numpy(parts[0][:8]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Timed(name, folded, collect(folded, parts, True, torch.device("cpu")), parts, session)


def networks() -> list[Timed]:
    """Return ResNet-20 and a VGG-like network, on CIFAR images."""
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        vgg = Path(folder) / "vgg_like.onnx"
        write_vgg_like(vgg)
        return [timed("ResNet-20", Path(path_of(CIFAR.name))), timed("VGG-like", vgg)]


def large_networks() -> list[Timed]:
    """Return SqueezeNet and MobileNetV1, on a batch of photographs."""
    torch.set_num_threads(THREADS)
    names = {"SqueezeNet 1.1": "squeezenet1.1_imagenet", "MobileNetV1 0.25": "mobilenetv1_0.25_224_imagenet"}
    return [timed(name, Path(path_of(file)), BY_NAME[file], BATCH) for name, file in names.items()]


def median(function: Callable[[], object], times: list[float]) -> float:
    """Time one more call; return the median so far."""
    started = time.perf_counter()
    function()
    times.append(time.perf_counter() - started)
    return statistics.median(times)
