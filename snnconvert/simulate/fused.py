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
def integrate_and_fire(current: Floats, potential: Floats, count: Floats, spikes: Floats, subtract: bool) -> None:
    """Advance ``potential`` and ``count (M,)`` by the steps of ``spikes (T, M)``, which is filled.

    ``current`` is ``(T, M)``, or ``(1, M)`` where it is the same at every step.
    """
    steps, size = spikes.shape
    varying = current.shape[0] > 1
    one, zero = np.float32(1), np.float32(0)
    for chunk in numba.prange((size + CHUNK - 1) // CHUNK):
        first, last = chunk * CHUNK, min((chunk + 1) * CHUNK, size)
        for step in range(steps):
            row = step if varying else 0
            if subtract:
                for i in range(first, last):
                    v = potential[i] + current[row, i]
                    s = one if v >= one else zero
                    potential[i] = v - s
                    spikes[step, i] = s
                    count[i] += s
            else:
                for i in range(first, last):
                    v = potential[i] + current[row, i]
                    s = one if v >= one else zero
                    potential[i] = v * (one - s)
                    spikes[step, i] = s
                    count[i] += s
