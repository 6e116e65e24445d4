"""What accuracy the converters of other simulators keep, beside ours: the same network, calibration and test set."""

import contextlib
import io
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.fidelity import curve, document_of
from benchmarks.modules import as_module
from benchmarks.peers import TOLERANCE, installed
from benchmarks.report import Section, Skipped, machine
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.conversion import Conversion
from snnconvert.progress import Silent

NAME = "cifar10_akamaster_resnet20"
STEPS = [4, 8, 16, 32, 64]
IMAGES, CALIB, BATCH = 500, 1000, 50
Step = Callable[[Tensor], Tensor]  # a batch of images to the output of the next time step
Contender = tuple[str, Step, Callable[[], None]]  # the last resets all states


def spikingjelly(ann: Callable[[], nn.Module], calib: list[Tensor], _: nn.Module) -> Iterator[Contender]:
    """Yield the recipes that SpikingJelly has for a rate-coded ReLU network."""
    from spikingjelly.activation_based import ann2snn, functional

    recipes = {
        "maximum per layer (its default)": lambda: ann2snn.RateCodingRecipe(calib),
        "percentile 99.9 per layer": lambda: ann2snn.RateCodingRecipe(calib, mode="99.9%"),
        "percentile 99.9 per channel, half threshold": lambda: ann2snn.RateCodingRecipe(
            calib, mode="99.9%", channel_wise=True, half_threshold=True
        ),
        "local threshold balancing": lambda: ann2snn.LocalThresholdBalancingRecipe(calib),
    }
    for name, recipe in recipes.items():
        with contextlib.redirect_stderr(io.StringIO()):  # a bar
            snn = ann2snn.Converter(recipe()).convert(ann())
        functional.set_step_mode(snn, "s")
        yield f"SpikingJelly, {name}", snn, lambda snn=snn: functional.reset_net(snn)


def sinabs(ann: Callable[[], nn.Module], _: list[Tensor], scaled: nn.Module) -> Iterator[Contender]:
    """Yield its conversion as it comes, with one threshold and no calibration, and on the weights of our normal form.

    It sends several spikes a step, unless it is told otherwise.
    """
    from sinabs.activation import SingleSpike
    from sinabs.from_torch import from_model

    settings = {
        "as it comes (several spikes a step)": (ann(), {}),
        "on our weights, several spikes a step": (scaled, {"min_v_mem": None}),
        "on our weights, one spike a step": (scaled, {"min_v_mem": None, "spike_fn": SingleSpike}),
    }
    for name, (module, options) in settings.items():
        snn = from_model(module, num_timesteps=1, **options)
        yield f"sinabs, {name}", snn, snn.reset_states


MAKERS = {"spikingjelly": spikingjelly, "sinabs": sinabs}


@torch.no_grad()
def run() -> Section:
    """ResNet-20: the share of right answers at each T of one run."""
    found = installed()
    if not found:
        raise Skipped("no peer is installed; benchmarks/README.md tells how")
    job = build_job(document_of(NAME, STEPS, IMAGES, CALIB, correct=[]), NAME)
    conversion = pipeline.convert(job, torch.device("cpu"), Silent())
    images = torch.from_numpy(conversion.evaluation.first(IMAGES))
    labels = conversion.evaluation.labels
    calib = [torch.from_numpy(x) for x in conversion.calib.batches(BATCH, lambda _: None)]
    module, scaled = checked(conversion, images), as_module(conversion.network.graph)
    right = float((module(images).argmax(1).numpy() == labels).mean())
    rows = []
    for name in found:
        for title, step, reset in MAKERS[name](lambda: as_module(conversion.folded), calib, scaled):
            rows.append([title, *accuracies(step, reset, images, labels)])
            print(" | ".join(rows[-1]), flush=True)
    for title, options in {
        "snnconvert, percentile 99.9 per layer, uncorrected": {"per_channel": False, "correct": []},
        "snnconvert, defaults": {},
        "snnconvert, --neuron if-signed-multi (several spikes a step)": {"neuron": "if-signed-multi"},
    }.items():
        rows.append([title, *told(curve(NAME, STEPS, IMAGES, CALIB, **options))])
        print(" | ".join(rows[-1]), flush=True)
    return section(rows, right, found)


def section(rows: list[list[str]], right: float, found: list[str]) -> Section:
    """Return the table; ``right`` is the ANN's accuracy on the same images."""
    verdict = (
        f"ANN {100 * right:.1f} %, the same {IMAGES} test images for all, chosen by a seeded hash; {CALIB} training "
        "images calibrate, without labels. Binary spikes, but where several spikes a step are told; each row is "
        "one network, read at each T; what --method auto makes for each T stands in the table of ResNet-20."
    )
    header = ["converter", *(f"T = {t}" for t in STEPS)]
    return Section("peers_accuracy", "Accuracy, in peers", header, rows, verdict, machine(*found))


def checked(conversion: Conversion, images: Tensor) -> nn.Module:
    """Return the folded network as a torch module, compared with ONNX Runtime on the user's."""
    module, few = as_module(conversion.folded), images[:16]
    error = float(np.abs(module(few).numpy() - conversion.loaded.reference.run(few.numpy())).max())
    if not error <= TOLERANCE:
        raise ValueError(f"the torch module is off by {error}, at most {TOLERANCE} expected")
    return module


def accuracies(step: Step, reset: Callable[[], None], images: Tensor, labels: np.ndarray) -> list[str]:
    """Return the accuracy, in percent, of the sum of outputs after each of STEPS."""
    right = dict.fromkeys(STEPS, 0)
    for start in range(0, len(images), BATCH):
        x, truth = images[start : start + BATCH], labels[start : start + BATCH]
        reset()
        total = torch.zeros(())
        for t in range(1, STEPS[-1] + 1):
            total = total + step(x)
            if t in right:
                right[t] += int((total.argmax(1).numpy() == truth).sum())
    reset()
    return [f"{100 * each / len(images):.1f}" for each in right.values()]


def told(metrics: dict) -> list[str]:
    """Return the accuracies of a conversion in percent."""
    return [f"{100 * row['accuracy']:.1f}" for row in metrics["steps"]]
