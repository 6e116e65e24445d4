"""Memory for blocks of spikes, used again and again: fresh memory costs more than the spikes that are put into it."""

from collections.abc import Iterable
from math import prod

import torch
from torch import Tensor


class Buffers:
    """Lends blocks of spikes on a CPU, and takes them back when no living value lies in them."""

    def __init__(self) -> None:
        self._free: dict[int, list[Tensor]] = {}  # by their number of elements
        self._lent: dict[int, Tensor] = {}  # by address

    def take(self, shape: tuple[int, ...]) -> Tensor:
        """Return room for values of this shape, in the engine's memory order (images: channels last)."""
        size = prod(shape)
        free = self._free.get(size)
        room = free.pop() if free else torch.empty(size, dtype=torch.bool)
        self._lent[room.data_ptr()] = room
        if len(shape) != 4:
            return room.view(shape)
        samples, channels, height, width = shape
        return room.view(samples, height, width, channels).permute(0, 3, 1, 2)

    def keep(self, living: Iterable[Tensor]) -> None:
        """Take back what none of the living values, views among them, lies in."""
        used = {value.untyped_storage().data_ptr() for value in living}
        for address in self._lent.keys() - used:
            room = self._lent.pop(address)
            self._free.setdefault(room.numel(), []).append(room)
