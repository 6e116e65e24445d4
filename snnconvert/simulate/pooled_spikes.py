"""Max pools over binary spikes, in one pass over memory (numba, CPU)."""

import numpy as np
from numpy.typing import NDArray

from snnconvert.compiled import compiled_for_one

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

ROOM = 2**15  # counts that are kept in the cache over a block of steps


@compiled_for_one
def pool_spikes(
    spikes: Bytes,
    sent: Bytes,
    seen: Floats,
    count: Floats,
    shape: tuple[int, ...],
    space: tuple[int, ...],
    window: tuple[int, ...],
    steps: int,
    gate: bool,
) -> None:
    """Fill ``sent (T, N, OH, OW, C)`` with what pools send of ``spikes (T, N, H, W, C)``; all arrays are flat.

    ``seen (N, H, W, C)`` and ``count (N, OH, OW, C)`` are the sums of spikes that came and went, and are carried on.
    ``space`` is (OH, OW), ``window`` kernel, stride, dilation and padding before, each of rows and columns. With
    ``gate`` a pool sends what :class:`~snnconvert.simulate.pools.GateLayer` says, else by how much the largest sum
    under a window has grown.
    """
    samples, height, width, channels = shape
    kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, above, left = window
    row_in, row_out = width * channels, space[1] * channels
    reach = (kernel_h - 1) * dilation_h + 1
    rows = max(1, ROOM // (row_in * stride_h))
    counts = np.empty(((rows - 1) * stride_h + reach) * row_in, np.float32)
    largest = np.empty(row_in, np.float32)  # of the rows under a window, for each column
    found = np.empty(channels, np.float32)
    two, one, zero = np.float32(2), np.float32(1), np.float32(0)
    for sample in range(samples):
        for first in range(0, space[0], rows):
            last = min(first + rows, space[0])
            top = max(0, first * stride_h - above)
            bottom = min(height, (last - 1) * stride_h - above + reach)
            own = min(bottom, max(0, last * stride_h - above)) if last < space[0] else bottom  # others begin there
            at, size = (sample * height + top) * row_in, (bottom - top) * row_in
            counts[:size] = seen[at : at + size]
            for step in range(steps):
                begin = ((step * samples + sample) * height + top) * row_in
                arriving, sums = spikes[begin : begin + size], counts[:size]
                for i in range(size):
                    sums[i] += np.float32(arriving[i])
                for row in range(first, last):
                    started = False
                    for k in range(kernel_h):
                        h = row * stride_h - above + k * dilation_h
                        if h < 0 or h >= height:
                            continue
                        line = counts[(h - top) * row_in : (h - top + 1) * row_in]
                        now = spikes[begin + (h - top) * row_in : begin + (h - top + 1) * row_in]
                        factor, weight = (two, one) if gate else (one, zero)
                        if started:
                            for i in range(row_in):
                                value = factor * line[i] + weight * np.float32(now[i])
                                largest[i] = value if value > largest[i] else largest[i]
                        else:
                            for i in range(row_in):
                                largest[i] = factor * line[i] + weight * np.float32(now[i])
                        started = True
                    place = (sample * space[0] + row) * row_out
                    to = step * samples * space[0] * row_out + place
                    for column in range(space[1]):
                        found[:] = zero
                        for k in range(kernel_w):
                            w = column * stride_w - left + k * dilation_w
                            if w < 0 or w >= width:
                                continue
                            values = largest[w * channels : (w + 1) * channels]
                            for c in range(channels):
                                found[c] = values[c] if values[c] > found[c] else found[c]
                        before = count[place + column * channels : place + (column + 1) * channels]
                        out = sent[to + column * channels : to + (column + 1) * channels]
                        for c in range(channels):
                            spike = found[c] - two * np.floor(found[c] / two) if gate else found[c] - before[c]
                            out[c] = np.uint8(spike)
                            before[c] += spike
            seen[at : at + (own - top) * row_in] = counts[: (own - top) * row_in]
