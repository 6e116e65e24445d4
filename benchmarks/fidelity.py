"""Accuracy and agreement against time steps on the real networks, whole test sets where they are small enough."""

import json
from html import escape

import torch

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import BATCH, DEVICE, HERE, Section, machine
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.progress import Silent
from snnconvert.report.plot import LEFT, RIGHT, Series, axes_of, description, drawn, frame, legend, opening
from snnconvert.report.tables import steps_table


def document_of(name: str, steps: list[int], samples: int | None, calib: int, **convert: object) -> dict:
    """Return the job that converts a network so."""
    network = BY_NAME[name]
    return {
        "model": path_of(name),
        "calib": {"path": network.calib, "samples": calib},
        "eval": {
            "path": None if network.evaluation == network.calib else network.evaluation,
            "samples": samples,
            "batch_size": BATCH,
        },
        "preprocess": network.preprocess,
        "convert": {"steps": steps, **convert},
    }


def curve(name: str, steps: list[int], samples: int | None = None, calib: int = 1000, **convert: object) -> dict:
    """Convert a network and return its metrics; nothing is written."""
    document = document_of(name, steps, samples, calib, **convert)
    job, device = build_job(document, name), torch.device(DEVICE)
    conversion = pipeline.convert(job, device, Silent())
    pipeline.evaluate(conversion, device, Silent())
    return conversion.metrics


def cells(metrics: dict) -> list[str]:
    """Return ``accuracy (agreement)`` at each step."""
    return [f"{100 * row['accuracy']:.2f} ({100 * row['agreement']:.2f})" for row in metrics["steps"]]


def picture(curves: dict[str, list[tuple[float, float]]], ann: float) -> str:
    """Draw the accuracy of two ways to convert one network, as points ``(T, fraction)`` by their name."""
    styles = ("accuracy", "agreement")
    series = [Series(name, style, tuple(points)) for (name, points), style in zip(curves.items(), styles, strict=True)]
    steps = [t for each in series for t, _ in each.points]
    axes = axes_of(steps, [ann, *(value for each in series for _, value in each.points)])
    y = f"{axes.y(ann):.1f}"
    parts = [
        opening(True, "resnet20"),
        '<title id="resnet20-title">Accuracy against time steps</title>',
        f'<desc id="resnet20-desc">{escape(description(series, ann))}</desc>',
        *frame(axes, steps, "accuracy"),
        f'<line class="ann" x1="{LEFT:.1f}" y1="{y}" x2="{RIGHT:.1f}" y2="{y}"/>',
        *(part for each in series for part in drawn(axes, each)),
        *legend(series, False, ann),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


NAME, STEPS = "cifar10_akamaster_resnet20", [1, 2, 4, 8, 16, 32, 64]
TITLE, CHOICES = "ResNet-20 on CIFAR-10", "ResNet-20 on CIFAR-10, --method auto"
CELLS = "Accuracy in percent (agreement with the ANN); 1,000 calibration images, 10,000 test images"


def resnet20() -> Section:
    """ResNet-20 on all of CIFAR-10's test images: the defaults, and what single options do on some of them."""
    default = curve(NAME, STEPS)
    print(steps_table(default), flush=True)  # as the command prints it
    rows = [["default", *cells(default), f"{100 * default['ann']['accuracy']:.2f}"]]
    plain = {"correct": [], "per_channel": False}
    for label, options in (
        ("--correct - *", {"correct": []}),
        ("--correct -, per layer *", plain),
        ("--correct -, per layer, initial potential 0 *", {**plain, "initial_potential": 0.0}),
        ("--correct -, per layer, percentile of all *", {**plain, "percentile_of": "all"}),
        ("--correct -, per layer, reset to zero *", {**plain, "reset": "zero"}),
    ):
        metrics = curve(NAME, STEPS, samples=1000, **options)
        rows.append([label, *cells(metrics), f"{100 * metrics['ann']['accuracy']:.2f}"])
    header = ["ResNet-20", *(f"T = {step}" for step in STEPS), "ANN"]
    return Section("resnet20", TITLE, header, rows, f"{CELLS}; rows with * on 1,000 of them.", machine())


def resnet20_auto() -> Section:
    """The same with ``--method auto``, which chooses for each T anew; and the picture of both."""
    rows, points = [], []
    for t in STEPS[2:]:
        metrics = curve(NAME, [t], method="auto")
        schedule = metrics["schedule"]
        row = [str(t), f"{schedule.get('warm_up', 0):g}", *cells(metrics)]
        print(" | ".join(row), flush=True)
        rows.append(row)
        points.append((t, metrics["steps"][-1]["accuracy"]))
    ann = metrics["ann"]["accuracy"]
    default = json.loads((HERE / "results" / "resnet20.json").read_text())["rows"][0][1:-1]
    curves = {
        "default": [(t, float(cell.split()[0]) / 100) for t, cell in zip(STEPS, default, strict=True)],
        "--method auto": points,
    }
    (HERE.parent / "docs" / "resnet20.svg").write_text(picture(curves, ann), encoding="utf-8")
    verdict = f"{CELLS}. ANN {100 * ann:.2f} %. What is chosen is chosen on calibration images."
    return Section("resnet20_auto", CHOICES, ["T", "warm-up", "accuracy"], rows, verdict, machine())


def mnist() -> Section:
    """The MNIST CNNs on all 10,000 test images."""
    steps = [1, 2, 4, 8, 16, 32]
    rows, losses = [], []
    for name in ("mnist_cntk_mnist-8", "mnist_ccoltong_lenetreg", "mnist_sinabs_cnn_avgpool", "mnist_ademrahal_lenet5"):
        metrics = curve(name, steps)
        losses.append(100 * (metrics["ann"]["accuracy"] - metrics["steps"][-1]["accuracy"]))
        rows.append([name, *cells(metrics), f"{100 * metrics['ann']['accuracy']:.2f}"])
    goal = "met" if max(losses) <= 0.5 else "missed"
    verdict = (
        f"Goal (within 0.5 points of the ANN at T = 32): **{goal}**; largest loss {max(losses):.2f} points. "
        "Accuracy in percent (agreement); defaults (percentile 99.9 per channel), 1,000 calibration images."
    )
    header = ["network", *(f"T = {step}" for step in steps), "ANN"]
    return Section("mnist", "CNNs on MNIST", header, rows, verdict, machine())


def others() -> Section:
    """ResNet-8 on CIFAR-10, MobileNetV1 and SqueezeNet on ImageNet: curves as they are."""
    steps = [4, 8, 16, 32, 64, 128]
    rows = []
    for name, samples, calib in (
        ("cifar10_mlperf_resnet8", 1000, 1000),
        ("mobilenetv1_0.25_224_imagenet", 64, 200),
        ("squeezenet1.1_imagenet", 32, 200),
    ):
        metrics = curve(name, steps, samples=samples, calib=calib)
        rows.append([name, str(samples), *cells(metrics), f"{100 * metrics['ann']['accuracy']:.2f}"])
    header = ["network", "samples", *(f"T = {step}" for step in steps), "ANN"]
    verdict = (
        "Accuracy in percent (agreement); defaults. No goal but to convert, run and show. ImageNet: calibration and "
        "evaluation samples are the two halves of 500 images."
    )
    return Section("others", "Deeper and wider networks", header, rows, verdict, machine())
