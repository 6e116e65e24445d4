"""The rate of one integrate-and-fire neuron against ReLU: the error falls as 1/T."""

import numpy as np
import torch

from benchmarks.report import Section, machine
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire


def run() -> Section:
    """Drive 100,000 neurons with constant currents in [-0.5, 1.5] and compare their rates with clip(z, 0, 1)."""
    steps = [4, 8, 16, 32, 64, 128, 256, 512]
    current = torch.rand(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 0.5
    rows, verdicts = [], []
    for initial in (0.5, 0.0):
        neuron = IntegrateAndFire("subtract", initial)
        state, count, errors = neuron.initial_state(current), torch.zeros_like(current), []
        for step in range(1, steps[-1] + 1):
            state, spikes = neuron.step(state, current)
            count += spikes
            if step in steps:
                errors.append(float((count / step - neuron.rate(current)).abs().mean()))
        slope = float(np.polyfit(np.log(steps), np.log(errors), 1)[0])
        rows.append([f"v(0) = {initial}", *(f"{error:.2e}" for error in errors), f"{slope:.3f}"])
        verdicts.append(abs(slope + 1) < 0.05)
    verdict = f"Goal (slope -1 in log-log): **{'met' if all(verdicts) else 'missed'}**. Mean |rate - clip(z, 0, 1)|."
    header = ["reset by subtraction", *(f"T = {step}" for step in steps), "slope"]
    return Section("neuron", "One neuron is a rectifier, up to 1/T", header, rows, verdict, machine())
