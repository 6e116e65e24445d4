"""Integrate-and-fire over a block of time steps in one pass over memory (numba, CPU).

A torch step reads and writes every potential five times; here a chunk of potentials stays in the cache for the whole
block. The arithmetic is the neuron's own, operation for operation: the results are equal bit for bit (a test says so).
"""

import numba
import numpy as np
from numpy.typing import NDArray

from snnconvert.compiled import compiled

Floats = NDArray[np.float32]
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
