"""Convolutions over spikes, by adding up the weights of those that arrive (numba, CPU).

Most inputs of a spiking network are zero in a step. A window of 3 x 3 is swept over them (sweeps.py); a depthwise
convolution reads them all (depthwise.py). For any other, of the rows of an image under the windows of one row of
outputs, the inputs that are not zero become a list of events, column by column; those under one window lie behind each
other. An output is its bias and the sum of their weights: a fraction of a dense convolution, and a sum in one order,
whatever batch, block or thread the output belongs to.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from snnconvert.compiled import compiled_for_one
from snnconvert.simulate.depthwise import depthwise_row
from snnconvert.simulate.fused import advance
from snnconvert.simulate.rows import DEPTHWISE, LISTED, SWEPT, sum_rows
from snnconvert.simulate.sweeps import SIDE, WORD, begin_row, find_spikes, sweep_row
from snnconvert.simulate.vectors import GRADED, GROUP, append_events, append_spikes, append_values

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

Shape = tuple[int, int, int, int]
Window = tuple[int, int, int, int, int, int]
Source = tuple[int, int, bool, bool]
Room = tuple[NDArray[np.int32], Floats, NDArray[np.int64]]
Tiling = tuple[int, int, int, int, int, int]

ROOM = 8192  # inputs under the rows of outputs that are listed together, unless one row has more
CURRENTS = 2**16  # currents that wait for their neurons
ROWS = 8  # of outputs that are computed together at least: the rows around them are swept for them, too


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _rows(
    x: Bytes,
    image: int,
    shape: Shape,
    source: Source,
    window: Window,
    width_out: int,
    rows: tuple[int, int],
    weights: Floats,
    tiling: Tiling,
    scale: Floats,
    bias: Floats,
    out: Floats,
    to: int,
    other: Bytes,
    at: int,
    factor: Floats,
    room: Room,
) -> None:
    """Write the rows ``[rows[0], rows[1])`` of one image's outputs to ``out[to:]``; see :func:`convolve`.

    ``factor`` times what stands at ``other[at:]`` is added, unless ``at`` is negative.
    """
    _, height, width, channels = shape
    pool_h, pool_w, packed, other_packed = source
    kernel_h, kernel_w, stride_h, stride_w, top_padding, left_padding = window
    kind, lanes, tiles, row_size, outputs, _ = tiling
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
                place = (w * kernel_h + k) * channels
                row_in = (image * height + top + k) * pool_h
                while row_in < (image * height + top + k + 1) * pool_h:
                    pixel = (row_in * width + w) * pool_w
                    while pixel < (row_in * width + w + 1) * pool_w:
                        at_in = pixel * channels
                        if packed:
                            n = append_spikes(inputs, at_in, channels, place, row_size, events, n)
                        else:
                            if kind == GRADED:
                                append_values(inputs, at_in, channels, values, n)
                            n = append_events(inputs, at_in, channels, place, row_size, events, n)
                        pixel += 1
                    row_in += 1
        starts[begin + width] = n
    for tile in range(tiles):
        channel = tile * lanes
        form = (
            *(kind, lanes, weights_, events, values, scales, biases, channel, outputs - channel, outs),
            *(others, int(other_packed), factors),
        )
        for row in range(rows[0], rows[1]):
            begin = (row - rows[0]) * (width + 1)
            pixel = (row - rows[0]) * width_out * outputs + channel
            start = to + pixel, (at + pixel if at >= 0 else at)
            for w in range(width_out):
                place = w * stride_w - left_padding
                first = starts[begin + min(max(0, place), width)]
                last = starts[begin + max(0, min(width, place + kernel_w))]
                shift = (tile * (zero + 1) - place * column) * row_size
                none = (tile * (zero + 1) + zero) * row_size
                added = start[1] + w * outputs if at >= 0 else at
                where = first, last, shift, none, start[0] + w * outputs, added
                sum_rows(form, where)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _sweep(
    x: Bytes,
    image: int,
    shape: Shape,
    source: Source,
    window: Window,
    space: tuple[int, int],
    rows: tuple[int, int],
    weights: Floats,
    tiling: Tiling,
    scale: Floats,
    bias: Floats,
    out: Floats,
    to: int,
    other: Bytes,
    at: int,
    factor: Floats,
    words: NDArray[np.int64],
    outside: Floats,
) -> None:
    """Write the same as :func:`_rows`. ``words`` are for bits of inputs, ``outside`` for sums that nobody reads."""
    _, height, width, channels = shape
    pool_h, pool_w, packed, other_packed = source
    above, left = window[4], window[5]
    kind, lanes, tiles, size, outputs, _ = tiling
    width_out, pixels, chunks = space[1], width * pool_w, (channels + WORD - 1) // WORD
    # addresses to reckon with are signed: numba makes floats of mixed numbers
    inputs, found, nowhere = x.ctypes.data, np.int64(words.ctypes.data), np.int64(outside.ctypes.data)
    weights_, scales, biases = weights.ctypes.data, scale.ctypes.data, bias.ctypes.data
    outs, others, factors = out.ctypes.data, other.ctypes.data, factor.ctypes.data
    top = max(0, rows[0] - above) * pool_h
    bottom = min(height, rows[1] - above + SIDE - 1) * pool_h
    for row in range(top, bottom):
        for chunk in range(chunks):
            begin = (image * height * pool_h + row) * pixels * channels + chunk * WORD
            where = found + 8 * ((row - top) * chunks + chunk) * pixels
            find_spikes(inputs, begin, pixels, channels, min(WORD, channels - chunk * WORD), int(packed), where)
    for tile in range(tiles):
        channel = tile * lanes
        form = (
            *(kind, lanes, weights_, 0, inputs, scales, biases, channel, outputs - channel, outs),
            *(others, int(other_packed), factors),
        )
        for row in range(rows[0], rows[1]):
            moved = (row - rows[0]) * width_out * outputs + channel
            begin_row(form, (width_out, outputs, to + moved, at + moved if at >= 0 else at))
        for chunk in range(chunks):
            shift = (tile * channels + chunk * WORD) * size
            for row in range(top, bottom):
                begin = (image * height * pool_h + row) * pixels * channels + chunk * WORD
                where = found + 8 * ((row - top) * chunks + chunk) * pixels
                first = row // pool_h + above - rows[0]  # of the three rows of outputs, from the last to the first
                count, step = rows[1] - rows[0], 4 * width_out * outputs
                base = np.int64(outs) + 4 * (to + channel)
                reached = (
                    base + first * step if 0 <= first < count else nowhere,
                    base + (first - 1) * step if 0 <= first - 1 < count else nowhere,
                    base + (first - 2) * step if 0 <= first - 2 < count else nowhere,
                )
                places = where, width, pool_w, begin, channels, shift, size, left, width_out, outputs
                sweep_row(form, (*places, *reached))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _depthwise(
    x: Bytes,
    image: int,
    shape: Shape,
    source: Source,
    window: Window,
    space: tuple[int, int],
    rows: tuple[int, int],
    weights: Floats,
    tiling: Tiling,
    scale: Floats,
    bias: Floats,
    out: Floats,
    to: int,
    other: Bytes,
    at: int,
    factor: Floats,
) -> None:
    """Write the same as :func:`_rows`, of a depthwise convolution."""
    _, height, width, channels = shape
    _, _, packed, other_packed = source
    kernel_h, kernel_w, stride_h, stride_w, above, left = window
    kind, lanes, tiles, _, outputs, _ = tiling
    inputs, weights_, scales, biases = x.ctypes.data, weights.ctypes.data, scale.ctypes.data, bias.ctypes.data
    outs, others, factors = out.ctypes.data, other.ctypes.data, factor.ctypes.data
    for row in range(rows[0], rows[1]):
        top = row * stride_h - above
        first, last = max(0, -top), min(kernel_h, height - top)
        for tile in range(tiles):
            channel = tile * lanes
            form = (
                *(kind, lanes, weights_, 0, inputs, scales, biases, channel, outputs - channel, outs),
                *(others, int(other_packed), factors),
            )
            begin = (image * height + top) * width * channels + channel
            moved = (row - rows[0]) * space[1] * outputs + channel
            places = int(packed), begin, width, channels, first, last, kernel_w, stride_w, left
            shift = tile * kernel_h * kernel_w * lanes
            added = at + moved if at >= 0 else at
            depthwise_row(form, (*places, shift, space[1], outputs, to + moved, added))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _room(rows: int, shape: Shape, source: Source, window: Window, graded: bool, way: int) -> Room:
    """Return room for lists: events, their values, and where those of each row and column start."""
    size = 0 if way != LISTED else rows * window[0] * source[0] * source[1] * shape[2] * shape[3] + GROUP
    starts = np.empty(0 if way != LISTED else rows * (shape[2] + 1), np.int64)
    return np.empty(size, np.int32), np.empty(size if graded else 0, np.float32), starts


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _words(rows: int, shape: Shape, source: Source, row_size: int, way: int) -> tuple[NDArray[np.int64], Floats]:
    """Return room for sweeps: bits of the inputs under so many rows of outputs, and a row outside of them."""
    words = (rows + SIDE - 1) * source[0] * shape[2] * source[1] * ((shape[3] + WORD - 1) // WORD)
    return np.empty(words if way == SWEPT else 0, np.int64), np.empty(row_size if way == SWEPT else 0, np.float32)


@compiled_for_one
def convolve(
    x: Bytes,
    shape: Shape,
    source: Source,
    window: Window,
    space: tuple[int, int],
    weights: Floats,
    tiling: Tiling,
    scale: Floats,
    bias: Floats,
    other: Bytes,
    factor: Floats,
    out: Floats,
    spikes: Bytes,
    drive: Floats,
    potential: Floats,
    count: Floats,
    steps: int,
    silent: int,
    subtract: bool,
    rest: Floats,
    flows: int,
    ends: int,
) -> None:
    """Fill ``out (N, OH, OW, O)`` with the convolution of ``x (N, H, W, C)`` and ``factor`` times ``other``, if any.

    Arrays are flat, ``x`` and ``other`` as bytes. ``source`` says how they are to be read: the height and width of the
    windows of x whose sum an input is, and whether x, and other, are spikes of a byte each, or floats. ``shape`` is
    that of the inputs, ``window`` kernel, stride and padding before, ``space`` ``(OH, OW)``.
    ``weights`` are rows of ``lanes`` outputs by (tile, column, row, channel) and one of zeros behind each tile; where a
    window is swept, by (tile, channel), with ``lanes`` outputs for each of its places; of a depthwise convolution, by
    (tile, place). ``tiling`` is (kind, lanes, tiles, floats of a row, O, the way: LISTED, SWEPT or DEPTHWISE).
    ``scale`` multiplies the sums of 8-bit weights; it, ``bias`` and ``factor`` have ``tiles * lanes`` numbers.

    With ``steps``, N is (T, samples), and integrate-and-fire neurons take those steps under that current, which is then
    nowhere in memory whole: ``spikes`` gets what they send, a byte each, and ``out`` nothing. Of the current ``rest``,
    that of a sample, is taken off in steps before ``flows`` and from ``ends`` on, if it is given. For ``drive``, the
    neurons' own bias, and the others see :func:`~snnconvert.simulate.fused.integrate_and_fire`.
    """
    height, width = space
    outputs, way = tiling[4], tiling[5]
    block = max(steps, 1)
    samples = shape[0] // block
    row_size = width * outputs
    neurons = height * row_size
    rows = min(height, max(ROWS, CURRENTS // row_size))
    together = max(1, min(block, CURRENTS // (rows * row_size)))  # steps
    listed = max(1, ROOM // (window[0] * source[0] * source[1] * shape[2] * shape[3]))
    strips = (height + rows - 1) // rows
    next_row = neurons if drive.size > neurons else 0
    current = np.empty(together * rows * row_size if steps else 0, np.float32)
    room = _room(min(listed, rows), shape, source, window, tiling[0] == GRADED, way)
    words = _words(rows, shape, source, row_size, way)
    for job in range(samples * strips):
        sample, first = job // strips, job % strips * rows
        last = min(first + rows, height)
        start, size = first * row_size, (last - first) * row_size
        for begin in range(0, block, together):
            stop = min(begin + together, block)
            for step in range(begin, stop):
                image = step * samples + sample
                at = (image * height + first) * row_size
                added = at if other.size else -1
                target, to = (current, (step - begin) * size) if steps else (out, at)
                layer = weights, tiling, scale, bias
                sums = target, to, other, added, factor
                if way == SWEPT:
                    _sweep(x, image, shape, source, window, space, (first, last), *layer, *sums, *words)
                elif way == DEPTHWISE:
                    _depthwise(x, image, shape, source, window, space, (first, last), *layer, *sums)
                else:
                    for row in range(first, last, listed):
                        moved = (row - first) * row_size
                        sums = target, to + moved, other, (added + moved if added >= 0 else added), factor
                        some = row, min(row + listed, last)
                        _rows(x, image, shape, source, window, width, some, *layer, *sums, room)
                if rest.size and not flows <= step < ends:
                    for i in range(size):
                        target[to + i] -= rest[start + i]
            if steps:
                place, total = sample * neurons + start, samples * neurons
                states = potential, count, place, spikes[begin * total :], total, size
                bias_at, silent_now = start + begin * next_row, max(0, min(silent, stop) - begin)
                advance(current, 0, size, drive, bias_at, next_row, *states, stop - begin, silent_now, subtract)
