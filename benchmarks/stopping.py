"""What it saves and costs to let samples stop when they are decided (--stop)."""

import time

from benchmarks.fidelity import curve
from benchmarks.report import Section, machine

NAME, STEPS, SAMPLES = "cifar10_akamaster_resnet20", [4, 8, 10, 12, 14, 16, 20, 24, 28, 32], 2000
MARGINS = (None, 16.0, 12.0, 8.0, 6.0, 4.0)


def run() -> Section:
    """ResNet-20 at T = 32 on CIFAR-10 test images, the defaults; margins as they are, none is chosen."""
    rows = []
    for margin in MARGINS:
        started = time.perf_counter()
        metrics = curve(NAME, STEPS, samples=SAMPLES, stop=margin)
        taken, row = time.perf_counter() - started, metrics["steps"][-1]
        rows.append(
            [
                "never" if margin is None else f"{margin:g}",
                f"{row.get('mean_steps', row['t']):.1f}",
                f"{100 * row['accuracy']:.2f}",
                f"{100 * row['agreement']:.2f}",
                f"{row['synops_per_sample'] / 1e6:.1f}M",
                f"{taken:.0f} s",
            ]
        )
    header = ["--stop", "mean steps", "accuracy", "agreement", "SynOps", "converted and evaluated in"]
    verdict = (
        f"ResNet-20, T = 32, {SAMPLES:,} test images (ANN {100 * metrics['ann']['accuracy']:.2f} %), may stop at "
        f"steps {', '.join(map(str, STEPS))}; no goal was set."
    )
    return Section("stop", "Samples that stop early", header, rows, verdict, machine())
