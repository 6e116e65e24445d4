"""Integrate-and-fire over a block of time steps in one pass over memory (numba, CPU).

A torch step reads and writes every potential five times; here a chunk of potentials stays in the cache for the whole
block. The arithmetic is the neuron's own, operation for operation: the results are equal bit for bit (a test says so).
"""

import numba
import numpy as np
from numpy.typing import NDArray

from snnconvert.compiled import compiled, compiled_for_one
from snnconvert.simulate.firing import fire, fire_into_sums
from snnconvert.simulate.vectors import LANES

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
CHUNK = 4096  # neurons that a thread takes at once


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def advance(
    current: Floats,
    at: int,
    stride: int,
    bias: Floats,
    row: int,
    next_row: int,
    potential: Floats,
    count: Floats,
    first: int,
    spikes: Bytes,
    size: int,
    number: int,
    steps: int,
    silent: int,
    subtract: bool,
) -> None:
    """Let ``number`` neurons from ``first`` on take steps; their currents start at ``at``, their biases at ``row``.

    The next step is ``stride`` further in the currents, ``next_row`` in the biases, if there are any, and ``size`` in
    the spikes.
    """
    currents, biases, biased = current.ctypes.data, bias.ctypes.data, bias.size > 0
    potentials, counts, sent = potential.ctypes.data, count.ctypes.data, spikes.ctypes.data
    timing = stride, next_row, size, steps, silent
    whole = number // LANES[-1] * LANES[-1]
    for i in range(0, whole, LANES[-1]):
        arrays = currents, at + i, biases, row + i, potentials, counts, sent, first + i, first + i
        fire(arrays, timing, LANES[-1], biased, subtract)
    if whole < number:
        arrays = currents, at + whole, biases, row + whole, potentials, counts, sent, first + whole, first + whole
        fire(arrays, timing, number - whole, biased, subtract)


@compiled_for_one
def integrate_and_fire(
    current: Floats,
    spikes: Bytes,
    neurons: int,
    bias: Floats,
    potential: Floats,
    count: Floats,
    steps: int,
    silent: int,
    subtract: bool,
) -> None:
    """Advance ``potential`` and ``count (N, E)`` by some steps, and fill ``spikes (T, N, E)`` with 0 and 1.

    Arrays are flat, E is ``neurons``. ``current`` is ``(T, N, E)``, or ``(N, E)`` where it is the same at every step.
    ``bias`` is ``(T, E)``, ``(E,)`` where it is the same at every step, or empty. In the first ``silent`` steps neither
    bias nor spike is there.
    """
    size = potential.size
    stride = size if current.size > size else 0
    next_row = neurons if bias.size > neurons else 0
    for first in range(0, size, neurons):
        states = potential, count, first, spikes, size, neurons
        advance(current, first, stride, bias, 0, next_row, *states, steps, silent, subtract)


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
def sum_spikes(
    current: Floats, bias: Floats, initial: Floats, total: Floats, neurons: int, steps: int, silent: int
) -> None:
    """Add the spikes of all samples to ``total (steps - silent, E)``, without keeping any; reset by subtraction.

    Arrays are flat, E is ``neurons``. ``current`` is ``(steps, N, E)`` or ``(N, E)``, ``bias`` of the steps that are
    not silent, ``(E,)`` or empty, and ``initial`` ``(N, E)``.
    """
    stride = initial.size if current.size > initial.size else 0
    next_row = neurons if bias.size > neurons else 0
    biased, lanes = bias.size > 0, LANES[-1]
    currents, biases, sent = current.ctypes.data, bias.ctypes.data, total.ctypes.data
    timing = stride, next_row, neurons, steps, silent
    for chunk in numba.prange((neurons + lanes - 1) // lanes):
        row = chunk * lanes
        left = min(lanes, neurons - row)
        potential, count = np.empty(lanes, np.float32), np.zeros(lanes, np.float32)
        for start in range(row, initial.size, neurons):
            potential[:left] = initial[start : start + left]
            arrays = currents, start, biases, row, potential.ctypes.data, count.ctypes.data, sent, 0, row
            fire_into_sums(arrays, timing, left, biased, True)
