"""Channels and places that are chosen, moved, filled up with zeros: matrices, and convolutions for every s-th place."""

from collections.abc import Sequence

import torch

from snnconvert.export.nir.refusal import Inexpressible, require_room
from snnconvert.export.nir.terms import Term
from snnconvert.export.nir.writer import NirWriter
from snnconvert.graph import Shape
from snnconvert.operators.selection import Pad, Slice


def sliced(writer: NirWriter, name: str, operator: Slice, shape: Shape, terms: list[Term]) -> list[Term]:
    """Return a slice of a value of this shape; of space every s-th place, by a kernel with one weight that is not 0."""
    channels = range(operator.start[0], operator.stop[0], operator.step[0])
    found = chosen(channels, shape, terms)
    cuts = list(zip(operator.start, operator.stop, operator.step, shape, strict=True))[1:]
    if all((start, stop, step) == (0, size, 1) for start, stop, step, size in cuts):
        return found
    kernel = [start + 1 for start in operator.start[1:]]
    space = operator.infer_shape([shape])[1:]
    reached = tuple((size - k) // cut[2] + 1 for size, k, cut in zip(shape[1:], kernel, cuts, strict=True))
    if len(set(kernel)) > 1 or reached != space or len(space) != 2:
        raise Inexpressible(f"places from {operator.start[1:]} to {operator.stop[1:]} are no strided convolution")
    moved = []
    for index, term in enumerate(found):
        require_room(len(channels), term.channels, *kernel)
        weight = torch.zeros(len(channels), term.channels, *kernel)
        weight[:, :, -1, -1] = term.dense()
        rest = operator.step[1:], (0, 0), (1, 1)
        moved.append(writer.convolution(f"{name}.places.{index}", term, weight, None, (len(channels), *space), *rest))
    return moved


def padded(operator: Pad, shape: Shape, terms: list[Term]) -> list[Term]:
    """Return a value of this shape with channels of zeros before and behind."""
    if any((*operator.before[1:], *operator.after[1:])):
        raise Inexpressible("zeros around the places, in no convolution")
    before, after, channels = operator.before[0], operator.after[0], shape[0]
    if not before and not after:
        return terms
    _require_channels(terms)
    require_room(before + channels + after, channels)
    place = torch.zeros(before + channels + after, channels, dtype=torch.float64)
    place[before : before + channels] = torch.eye(channels, dtype=torch.float64)
    return [term.mapped(place) for term in terms]


def chosen(index: Sequence[int], shape: Shape, terms: list[Term]) -> list[Term]:
    """Return channels of a value of this shape, by an index."""
    if list(index) == list(range(shape[0])):
        return terms
    _require_channels(terms)
    require_room(shape[0], shape[0])
    return [term.mapped(torch.eye(shape[0], dtype=torch.float64)[list(index)]) for term in terms]


def _require_channels(terms: Sequence[Term]) -> None:
    if any(term.inner > 1 for term in terms):
        raise Inexpressible("elements are moved behind a Flatten")
