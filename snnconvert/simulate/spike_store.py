"""Spikes that are kept, all steps of a layer at once: in a bit each, or a byte where that holds them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snnconvert.calibrate.collect import channels_last
from snnconvert.neurons import Neuron

BYTE = 127  # the largest spike that is kept in a byte


def bits_of(neuron: Neuron) -> int:
    """Return in how many bits a spike of a neuron is kept."""
    if neuron.spikes == "binary":
        return 1
    return 8 if neuron.most <= BYTE and neuron.bits == 1 and not neuron.decodes else 32


@dataclass
class SpikeStore:
    """What a layer sent: ``spikes (steps, N, ...)`` from step ``start`` on, in units of ``amplitude``.

    Spikes of 0 and 1 are bits, those of eight steps a byte: uint8 ``(ceil(steps / 8), N, ...)``.
    """

    start: int
    steps: int
    spikes: Tensor
    amplitude: Tensor | None = None

    @classmethod
    def empty(cls, start: int, shape: Sequence[int], bits: int, device: torch.device) -> "SpikeStore":
        """Return memory for the spikes ``(steps, N, ...)`` of a layer, each in 1, 8 or 32 bits."""
        steps, *rest = shape
        if bits == 1:
            return cls(start, steps, torch.zeros((math.ceil(steps / 8), *rest), dtype=torch.uint8, device=device))
        return cls(start, steps, torch.empty(shape, dtype={8: torch.int8, 32: torch.float32}[bits], device=device))

    def put(self, chunk: slice, sent: Tensor) -> None:
        """Take what some samples send in all steps, ``(steps, n, ...)``."""
        if self.spikes.dtype != torch.uint8:
            self.spikes[:, chunk] = sent.to(self.spikes.dtype)
            return
        for step in range(self.steps):
            self.spikes[step // 8, chunk] |= sent[step].to(torch.uint8) << step % 8

    def at(self, step: int, chunk: slice) -> Tensor | None:
        """Return what it sends in one step; None where it is silent."""
        step -= self.start
        if not 0 <= step < self.steps:
            return None
        if self.spikes.dtype == torch.uint8:
            sent = (self.spikes[step // 8, chunk] >> step % 8).bitwise_and(1).float()
        else:
            sent = self.spikes[step, chunk].float()
        return channels_last(sent if self.amplitude is None else sent * self.amplitude)
