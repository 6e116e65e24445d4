"""Integrate-and-fire over a block of time steps in one pass over memory (numba, CPU).

A torch step reads and writes every potential five times; here a chunk of potentials stays in the cache for the whole
block. The arithmetic is the neuron's own, operation for operation: the results are equal bit for bit (a test says so).
"""

import numba
import numpy as np
from numpy.typing import NDArray

from snnconvert.compiled import compiled

Floats = NDArray[np.float32]
SLICE = 512  # neurons of a sample that one thread sums up
CHUNK = 4096  # neurons: potentials, counts, currents and spikes of a chunk fit into the first-level cache


@compiled
def integrate_and_fire(
    current: Floats, bias: Floats, potential: Floats, count: Floats, spikes: Floats, subtract: bool, silent: int
) -> None:
    """Advance ``potential`` and ``count (M,)`` by the steps of ``spikes (T, M)``, which is filled.

    ``current`` is ``(T, M)``, or ``(1, M)`` where it is the same at every step. ``bias`` is ``(T, E)`` for samples of E
    neurons each, or ``(0, E)`` for none. In the first ``silent`` steps neither bias nor spike is there.
    """
    steps = spikes.shape[0]
    size = bias.shape[1]
    biased = bias.shape[0] > 0
    varying = current.shape[0] > 1
    pieces = (size + CHUNK - 1) // CHUNK
    one, zero = np.float32(1), np.float32(0)
    for chunk in numba.prange(spikes.shape[1] // size * pieces):
        start = chunk // pieces * size  # of the sample
        first = start + chunk % pieces * CHUNK
        last = min(first + CHUNK, start + size)
        for step in range(steps):
            row = step if varying else 0
            if step < silent:
                for i in range(first, last):
                    potential[i] = potential[i] + current[row, i]
                    spikes[step, i] = zero
            elif subtract and biased:
                for i in range(first, last):
                    v = potential[i] + (current[row, i] + bias[step, i - start])
                    s = one if v >= one else zero
                    potential[i] = v - s
                    spikes[step, i] = s
                    count[i] += s
            elif subtract:
                for i in range(first, last):
                    v = potential[i] + current[row, i]
                    s = one if v >= one else zero
                    potential[i] = v - s
                    spikes[step, i] = s
                    count[i] += s
            else:
                for i in range(first, last):
                    v = potential[i] + (current[row, i] + bias[step, i - start] if biased else current[row, i])
                    s = one if v >= one else zero
                    potential[i] = v * (one - s)
                    spikes[step, i] = s
                    count[i] += s


@compiled
def count_spikes(
    charge: Floats, start: Floats, divisor: Floats, rising: Floats, steps: np.float32, count: Floats
) -> None:
    """Fill ``count (N, E)`` with the spikes of neurons that were charged, see simulate/sequential.py; all else is (E,).

    With z their constant current, none over 1, ``divisor`` is ``1 - min(z, 0)`` and ``rising`` ``T max(z, 0)``.
    """
    size = charge.shape[1]
    pieces = (size + CHUNK - 1) // CHUNK
    zero = np.float32(0)
    for chunk in numba.prange(charge.shape[0] * pieces):
        row, first = chunk // pieces, chunk % pieces * CHUNK
        for i in range(first, min(first + CHUNK, size)):
            found = np.floor((charge[row, i] + start[i]) / divisor[i] + rising[i])
            count[row, i] = min(max(found, zero), steps)


@compiled
def sum_spikes(current: Floats, bias: Floats, initial: Floats, total: Floats, silent: int) -> None:
    """Add the spikes of all samples to ``total (T, E)``, without keeping any; reset by subtraction.

    ``current`` is ``(silent + T, M)`` or ``(1, M)``, ``bias`` ``(T, E)`` or ``(0, E)``, ``initial`` ``(M,)``.
    The arithmetic is that of :func:`integrate_and_fire`.
    """
    steps, size = total.shape
    biased = bias.shape[0] > 0
    varying = current.shape[0] > 1
    one, zero = np.float32(1), np.float32(0)
    for chunk in numba.prange((size + SLICE - 1) // SLICE):
        first, last = chunk * SLICE, min((chunk + 1) * SLICE, size)
        potential = np.empty(SLICE, np.float32)
        for start in range(0, current.shape[1], size):
            for i in range(first, last):
                potential[i - first] = initial[start + i]
            for step in range(silent):
                row = step if varying else 0
                for i in range(first, last):
                    potential[i - first] += current[row, start + i]
            for step in range(steps):
                row = silent + step if varying else 0
                for i in range(first, last):
                    drive = current[row, start + i]
                    if biased:
                        drive = drive + bias[step, i]
                    v = potential[i - first] + drive
                    s = one if v >= one else zero
                    potential[i - first] = v - s
                    total[step, i] += s
