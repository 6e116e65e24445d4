"""Convolutions over spikes, by adding up the weights of those that arrive (numba, CPU).

Most inputs of a spiking network are zero in a step. Of the rows of an image under the windows of one row of outputs,
the inputs that are not zero become a list of events, column by column; those under one window lie behind each other.
An output is its bias and the sum of their weights: a fraction of a dense convolution, and a sum in one order, whatever
batch, block or thread the output belongs to.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from snnconvert.compiled import compiled_for_one
from snnconvert.simulate.fused import advance
from snnconvert.simulate.rows import SWEPT, sum_rows, sweep_row
from snnconvert.simulate.vectors import GRADED, GROUP, append_events, append_values

Floats = NDArray[np.float32]

Shape = tuple[int, int, int, int]
Window = tuple[int, int, int, int, int, int]
Tiling = tuple[int, int, int, int, int, int]

ROOM = 8192  # inputs under the rows of outputs that are computed together, unless one row has more
CURRENTS = 4096  # and numbers of their currents, over all steps


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _rows(
    x: Floats,
    image: int,
    shape: Shape,
    window: Window,
    width_out: int,
    rows: tuple[int, int],
    weights: Floats,
    tiling: Tiling,
    scale: Floats,
    bias: Floats,
    out: Floats,
    to: int,
    other: Floats,
    at: int,
    factor: Floats,
    room: tuple[NDArray[np.int32], Floats, NDArray[np.int64]],
) -> None:
    """Write the rows ``[rows[0], rows[1])`` of one image's outputs to ``out[to:]``; see :func:`convolve`.

    ``factor`` times what stands at ``other[at:]`` is added, unless ``at`` is negative. ``room`` is for events, their
    values, and where those of each row and column start.
    """
    _, height, width, channels = shape
    kernel_h, kernel_w, stride_h, stride_w, top_padding, left_padding = window
    kind, lanes, tiles, row_size, outputs, blocks = tiling
    events, values, starts = room[0].ctypes.data, room[1].ctypes.data, room[2]
    inputs, weights_, scales, biases = x.ctypes.data, weights.ctypes.data, scale.ctypes.data, bias.ctypes.data
    outs, others, factors = out.ctypes.data, other.ctypes.data, factor.ctypes.data
    column = kernel_h * channels  # rows of weights a column of the window
    zero = kernel_w * column
    n = 0
    for row in range(rows[0], rows[1]):
        top = row * stride_h - top_padding
        begin = (row - rows[0]) * (width + 1)
        for w in range(width):
            starts[begin + w] = n
            for k in range(max(0, -top), min(kernel_h, height - top)):
                source = ((image * height + top + k) * width + w) * channels
                place = (w * kernel_h + k) * channels
                for c in range(0, channels, GROUP):
                    if kind == GRADED:
                        append_values(inputs, source + c, channels - c, values, n)
                    n = append_events(inputs, source + c, channels - c, place + c, row_size, events, n)
        starts[begin + width] = n
    for tile in range(tiles):
        channel = tile * lanes
        form = kind, lanes, weights_, events, values, scales, biases, channel, outputs - channel, outs, others, factors
        for row in range(rows[0], rows[1]):
            begin = (row - rows[0]) * (width + 1)
            pixel = (row - rows[0]) * width_out * outputs + channel
            start = to + pixel, (at + pixel if at >= 0 else at)
            if blocks == SWEPT:
                first, shift = room[2].ctypes.data + 8 * begin, tile * column * row_size
                swept = first, width, column * row_size, shift, left_padding, width_out, outputs, *start
                sweep_row(form, swept)
                continue
            for w in range(width_out):
                place = w * stride_w - left_padding
                first = starts[begin + min(max(0, place), width)]
                last = starts[begin + max(0, min(width, place + kernel_w))]
                shift = (tile * (zero + 1) - place * column) * row_size
                none = (tile * (zero + 1) + zero) * row_size
                source = start[1] + w * outputs if at >= 0 else at
                where = first, last, shift, none, start[0] + w * outputs, source
                sum_rows(form, where)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _room(rows: int, shape: Shape, window: Window, graded: bool) -> tuple[NDArray[np.int32], Floats, NDArray[np.int64]]:
    size = rows * window[0] * shape[2] * shape[3] + GROUP
    return (
        np.empty(size, np.int32),
        np.empty(size if graded else 1, np.float32),
        np.empty(rows * (shape[2] + 1), np.int64),
    )


@compiled_for_one
def convolve(
    x: Floats,
    shape: Shape,
    window: Window,
    space: tuple[int, int],
    weights: Floats,
    tiling: Tiling,
    scale: Floats,
    bias: Floats,
    other: Floats,
    factor: Floats,
    out: Floats,
    drive: Floats,
    potential: Floats,
    count: Floats,
    steps: int,
    silent: int,
    subtract: bool,
) -> None:
    """Fill ``out (N, OH, OW, O)`` with the convolution of ``x (N, H, W, C)`` and ``factor`` times ``other``, if any.

    Arrays are flat; ``shape`` is that of x, ``window`` kernel, stride and padding before, ``space`` ``(OH, OW)``.
    ``weights`` are rows of ``lanes`` outputs by (tile, column, row, channel) and one of zeros behind each tile; where a
    window is swept over a row, (tile, row, channel), with ``lanes`` outputs for each column. ``tiling`` is (kind,
    lanes, tiles, floats of a row, O, columns of a row). ``scale`` multiplies the sums of 8-bit weights; it, ``bias``
    and ``factor`` have ``tiles * lanes`` numbers.

    With ``steps``, N is (T, samples), and integrate-and-fire neurons take those steps under that current, which is then
    nowhere in memory whole: ``out`` gets their spikes. For ``drive``, their own bias, and the others see
    :func:`~snnconvert.simulate.fused.integrate_and_fire`.
    """
    height, width = space
    block = max(steps, 1)
    samples = shape[0] // block
    row_size = width * tiling[4]
    neurons = height * row_size
    rows = max(1, min(height, ROOM // (window[0] * shape[2] * shape[3]), CURRENTS // (block * row_size)))
    strips = (height + rows - 1) // rows
    next_row = neurons if drive.size > neurons else 0
    for job in range(samples * strips):
        sample, first = job // strips, job % strips * rows
        last = min(first + rows, height)
        room = _room(last - first, shape, window, tiling[0] == GRADED)
        start, size = first * row_size, (last - first) * row_size
        current = np.empty(steps * size, np.float32)
        for step in range(block):
            at = ((step * samples + sample) * height + first) * row_size
            source = at if other.size else -1
            target, to = (current, step * size) if steps else (out, at)
            _rows(
                x,
                step * samples + sample,
                shape,
                window,
                width,
                (first, last),
                weights,
                tiling,
                scale,
                bias,
                target,
                to,
                other,
                source,
                factor,
                room,
            )
        if steps:
            place, total = sample * neurons + start, samples * neurons
            states = potential, count, place, out, total, size
            advance(current, 0, size, drive, start, next_row, *states, steps, silent, subtract)
