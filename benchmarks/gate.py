"""How often the verdict of ``snnconvert check`` is wrong, by simulated reruns with a known drop."""

from functools import cache

import numpy as np
import torch

from benchmarks.networks import BY_NAME, path_of
from benchmarks.report import BATCH, DEVICE, Section, machine
from snnconvert import pipeline
from snnconvert.config import build_job
from snnconvert.gate.difference import Verdict
from snnconvert.gate.paired import paired
from snnconvert.progress import Silent

RERUNS = 10_000
MARGIN, ALPHA = 0.01, 0.05
SAMPLES = (500, 1000, 10_000)
DROPS = (0.0, 0.005, 0.01, 0.015, 0.02)
DISCORDANCES = (0.02, 0.05)  # of samples, right in one run and wrong in the other, where nothing is lost


def right(percentile: float) -> np.ndarray:
    """Return which of 1,000 test images ResNet-20 gets right at T = 32."""
    name = "cifar10_akamaster_resnet20"
    network = BY_NAME[name]
    document = {
        "model": path_of(name),
        "calib": {"path": network.calib, "samples": 1000},
        "eval": {"path": network.evaluation, "samples": 1000, "batch_size": BATCH},
        "preprocess": network.preprocess,
        "convert": {"steps": [32], "percentile": percentile},
    }
    device = torch.device(DEVICE)
    conversion = pipeline.convert(build_job(document, name), device, Silent())
    outcomes = pipeline.evaluate(conversion, device, Silent())
    return outcomes.snn[0] == outcomes.labels


@cache
def verdict(worse: int, better: int, n: int) -> Verdict:
    """Judge as the command does, of one step."""
    return paired(worse, better, n, ALPHA).decide(MARGIN)


def shares(n: int, drop: float, discordance: float, generator: np.random.Generator) -> dict[Verdict, float]:
    """Return how often each verdict is given; a drop makes wrong what was right, on top of the discordance."""
    chances = [discordance / 2 + drop, discordance / 2, 1 - discordance - drop]
    draws, times = np.unique(generator.multinomial(n, chances, RERUNS), axis=0, return_counts=True)
    found = dict.fromkeys(Verdict, 0)
    for (worse, better, _), count in zip(draws.tolist(), times.tolist(), strict=True):
        found[verdict(worse, better, n)] += count
    return {each: count / RERUNS for each, count in found.items()}


def cell(found: dict[Verdict, float]) -> str:
    """Return the three shares in percent."""
    return " / ".join(f"{100 * found[each]:.1f}" for each in Verdict)


def run() -> Section:
    """Draw reruns of which the true drop is known, and count the verdicts."""
    measured = float((right(99.9) != right(99.0)).mean())
    generator = np.random.default_rng(0)
    rows, caught, false_alarms, false_passes = [], [], [], []
    for discordance in DISCORDANCES:
        for n in SAMPLES:
            found = {drop: shares(n, drop, discordance, generator) for drop in DROPS}
            rows.append([f"{100 * discordance:g} %", f"{n:,}", *(cell(each) for each in found.values())])
            false_alarms.append(found[0.0][Verdict.FAIL])
            false_passes.append(found[MARGIN][Verdict.PASS])
            if n == 1000:
                caught.append(1 - found[2 * MARGIN][Verdict.PASS])
    same = all(paired(0, 0, n, ALPHA).decide(MARGIN) is Verdict.PASS for n in (268, *SAMPLES))
    goals = (
        f"Goal (a drop of 2 points at n = 1,000 does not PASS, in 95 % of runs): "
        f"**{'met' if min(caught) >= 0.95 else 'missed'}**, {100 * min(caught):.1f} % at least. "
        f"A drop of 0 FAILs in {100 * max(false_alarms):.1f} % at most, one of the margin PASSes in "
        f"{100 * max(false_passes):.1f} % at most (5 % by design). "
        f"A network none of whose answers changed PASSes at any n, as identical; by the interval alone it "
        f"{'does' if same else 'does NOT'} from n = 268 on."
    )
    setting = (
        f" PASS / INCONCLUSIVE / FAIL in percent of {RERUNS:,} simulated reruns; margin 1 point, alpha 0.05. "
        f"Discordance: samples that are right in one run and wrong in the other although nothing is lost; a drop comes "
        f"on top. Measured for comparison: ResNet-20 at T = 32, percentile 99.9 against 99, 1,000 test images: "
        f"{100 * measured:.1f} %."
    )
    header = ["discordance", "samples", *(f"true drop {100 * drop:g}" for drop in DROPS)]
    return Section("gate", "How often the gate is wrong", header, rows, goals + setting, machine())
