"""A convolution or fully connected layer over spikes, or over what was pooled of them, on a CPU.

It adds up the weights of its events (events.py), also onto what a shortcut brings.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnconvert.graph import Shape
from snnconvert.network.weights import units_of
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.simulate.layers import (
    ALWAYS,
    Flow,
    FusedSteps,
    as_bytes,
    as_floats,
    flat,
    memory_order,
    ordered,
)
from snnconvert.simulate.rows import DEPTHWISE, LISTED, SWEPT
from snnconvert.simulate.sweeps import SIDE, WORD
from snnconvert.simulate.vectors import BINARY, GRADED, LANES, WHOLE, has_wide_vectors

NOTHING = np.zeros(0, np.float32)
NO_SPIKES = np.zeros(0, np.uint8)
NO_NEURONS = FusedSteps(NOTHING, NOTHING, NOTHING, 0, 0, True)


class Weights:
    """The weights ``(O, C, KH, KW)`` of a convolution, laid out for its events; see events.py.

    Its inputs are pools that are ``across`` pixels wide.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, graded: bool, way: int, across: int = 1) -> None:
        outputs, inputs, kernel_h, kernel_w = weight.shape
        unit = None if graded or way == DEPTHWISE else units_of(weight)  # few are added there
        if way == SWEPT and unit is not None and not _fits_16_bits(weight / unit.reshape(-1, 1, 1, 1), across):
            unit = None  # sums of floats are exact, too: units are powers of two
        kind = GRADED if graded else BINARY if unit is None else WHOLE
        widest = LANES[-1]
        if way == SWEPT:  # nine vectors must have room in registers
            widest = (2 if has_wide_vectors() else 1) * (32 if kind == WHOLE else 16)
        choice = [lanes for lanes in LANES if lanes <= widest]
        lanes = min(choice, key=lambda lanes: -(-outputs // lanes) * (lanes // 16 + 1))
        tiles = -(-outputs // lanes)
        padded = torch.zeros(tiles * lanes, inputs, kernel_h, kernel_w)
        padded[:outputs] = weight if unit is None else weight / unit.reshape(-1, 1, 1, 1)
        rows = padded.view(tiles, lanes, inputs, kernel_h, kernel_w)
        if way == SWEPT:
            rows = rows.permute(0, 2, 3, 4, 1).reshape(tiles, inputs, kernel_h * kernel_w * lanes)
        elif way == DEPTHWISE:
            rows = rows.permute(0, 2, 3, 4, 1).reshape(tiles, -1, lanes)
        else:
            rows = rows.permute(0, 4, 3, 2, 1).reshape(tiles, -1, lanes)
            rows = torch.cat([rows, torch.zeros(tiles, 1, lanes)], 1)
        rows = rows.to(torch.float32 if unit is None else torch.int16).contiguous()
        self.rows: NDArray[np.float32] = rows.view(torch.float32).reshape(-1).numpy()  # also of 16-bit numbers
        self.scale, self.bias = (filled(tiles * lanes, each) for each in (unit, bias))
        row_size = rows.shape[2] // (1 if unit is None else 2)
        self.tiling = kind, lanes, tiles, row_size, outputs, way


def _fits_16_bits(weight: Tensor, across: int) -> bool:
    """Tell whether whole weights have sums that fit: a sweep adds those of three columns in a word of channels."""
    words = [sign * word for word in torch.split(weight, WORD, 1) for sign in (1, -1)]
    most = max(float(word.clamp(min=0).sum((1, 3)).max()) for word in words)
    return across * most <= torch.iinfo(torch.int16).max


def filled(size: int, values: Tensor | None) -> NDArray[np.float32]:
    """Return numbers for each channel, with zeros for those that only fill vectors."""
    filled = torch.zeros(size)
    if values is not None:
        filled[: len(values)] = values
    return filled.numpy()


class EventSynapse:
    """A convolution or fully connected layer over values of which most are zero; the same function, up to rounding.

    ``shape`` is that of its inputs, each of which is the mean of a window ``pool`` of what is given.
    """

    def __init__(
        self, operator: Convolution | Linear, shape: Shape, graded: bool, pool: tuple[int, int] = (1, 1)
    ) -> None:
        weight, bias = operator.weight, operator.bias
        self._pool = pool
        self._image = isinstance(operator, Convolution)
        if pool != (1, 1):
            weight = weight / (pool[0] * pool[1])
        self._window: tuple[int, ...] = (1, 1, 1, 1, 0, 0)
        self._space: tuple[int, ...] = (1, 1)
        if isinstance(operator, Convolution):
            window = operator.window
            self._window = (*window.kernel, *window.stride, *window.before)
            self._space = operator.infer_shape([shape])[1:]
        else:
            weight = weight[:, :, None, None]
        self.by_place = bias if bias is not None and bias.ndim > 1 else None  # (O, OH, OW)
        own_bias, way = bias if self.by_place is None else None, self._way(operator, shape)
        self._weights = Weights(weight, own_bias, graded, way, pool[1])
        self._ones = np.ones(len(self._weights.bias), np.float32)

    def _way(self, operator: Convolution | Linear, shape: Shape) -> int:
        if isinstance(operator, Convolution) and operator.groups > 1:
            return DEPTHWISE
        *forms, above, left = self._window
        fits = self._space[-1] <= shape[-1] + left and max(above, left) < SIDE
        return SWEPT if self._image and forms == [SIDE, SIDE, 1, 1] and fits else LISTED

    @property
    def kind(self) -> int:
        """What the loops add: weights, values times weights, or 8-bit weights."""
        return self._weights.tiling[0]

    @property
    def channels(self) -> int:
        """How many outputs the loops know of, those that only fill vectors among them."""
        return len(self._ones)

    def _arrays(self, x: Tensor, other: Tensor | None, factor: NDArray[np.float32] | None) -> list[Any]:
        """Return what the loops read of the synapse, of its input and of what is added."""
        shape: tuple[int, ...] = (x.shape[:-1].numel(), 1, 1, x.shape[-1])
        if self._image:
            shape = (len(x), x.shape[2] // self._pool[0], x.shape[3] // self._pool[1], x.shape[1])
        weights = self._weights
        x = as_floats(x) if self.kind == GRADED else x
        packed = x.dtype == torch.bool, other is not None and other.dtype == torch.bool
        return [
            as_bytes(ordered(x)),
            shape,
            (*self._pool, *packed),
            self._window,
            self._space,
            weights.rows,
            weights.tiling,
            weights.scale,
            weights.bias,
            NO_SPIKES if other is None else as_bytes(ordered(other)),
            self._ones if factor is None else factor,
        ]

    def evaluate(self, x: Tensor, other: Tensor | None, factor: NDArray[np.float32] | None) -> Tensor:
        """Return the output of a batch and ``factor`` times ``other``, in the engine's memory order."""
        from snnconvert.simulate.events import convolve  # numba: slow to import, and not needed on a GPU

        outputs = self._weights.tiling[4]
        shape = (len(x), outputs, *self._space) if self._image else (*x.shape[:-1], outputs)
        out = torch.empty(shape, memory_format=memory_order(x))
        convolve(*[*self._arrays(x, other, factor), flat(out, 1)[0], NO_SPIKES, *NO_NEURONS, *ALWAYS])
        return out

    def fire(
        self,
        x: Tensor,
        other: Tensor | None,
        factor: NDArray[np.float32] | None,
        spikes: NDArray[np.uint8],
        neurons: FusedSteps,
        flow: Flow,
    ) -> None:
        """Let a layer of neurons take its steps under that output."""
        from snnconvert.simulate.events import convolve

        convolve(*[*self._arrays(x, other, factor), NOTHING, spikes, *neurons, *flow])
