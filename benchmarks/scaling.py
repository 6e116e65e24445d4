"""What an image costs, in time and memory, in an evaluation of 100, 1,000 and 10,000 images: each in a new process."""

import subprocess
import sys

from benchmarks.report import Section, machine

IMAGES = (100, 1000, 10_000)
RUN = """
import resource, sys, time
import torch
from benchmarks.fidelity import document_of
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.progress import Silent
torch.set_num_threads(2)
document = document_of("cifar10_akamaster_resnet20", [32], int(sys.argv[1]), 256, correct=[])
conversion = pipeline.convert(build_job(document, "scaling"), torch.device("cpu"), Silent())
conversion.network.fan_out
started = time.perf_counter()
pipeline.evaluate(conversion, torch.device("cpu"), Silent())
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run() -> Section:
    """ResNet-20 at T = 32, no corrections, batches of 16; what an evaluation costs once is taken off."""
    found = {}
    for images in (16, *IMAGES):
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(images)], check=True, capture_output=True, text=True
        ).stdout.split()
        found[images] = float(done[-2]), int(done[-1]) / 1024
    once = found[16][0]
    costs = [1e3 * (found[images][0] - once) / (images - 16) for images in IMAGES]
    peaks = [found[images][1] for images in IMAGES]
    rows = [
        [f"{images:,}", f"{found[images][0]:.1f} s", f"{cost:.2f} ms", f"{peak:.0f} MiB"]
        for images, cost, peak in zip(IMAGES, costs, peaks, strict=True)
    ]
    even, flat = costs[-1] / costs[0], peaks[-1] / peaks[0]
    met = "met" if 0.9 <= even <= 1.1 and flat <= 1.1 else "missed"
    verdict = (
        f"Goal (100 to 10,000 images: cost an image and memory constant within 10 %): **{met}**; {even:.2f} times the "
        f"cost, {flat:.2f} times the memory. The first batch, with compiled loops to be loaded, is "
        f"taken off ({once:.1f} s)."
    )
    header = ["images", "evaluation", "an image", "peak resident set"]
    return Section("scaling", "From 100 to 10,000 images", header, rows, verdict, machine())
