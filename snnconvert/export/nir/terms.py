"""The algebra of what NIR has no nodes for: sums, concatenations, scales, and choices of channels.

Each value of a network is a sum of terms ``factor * A x``: x the output of a NIR node, A a matrix over its channels
``(channels of the value, channels of x)``. Edges that meet in a node are summed, so that an Add needs no node; a Concat
stacks matrices, and the next weights take them in: ``W (A x + B y) = (W A) x + (W B) y``, a convolution for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from snnconvert.export.nir.refusal import require_room


@dataclass(frozen=True)
class Term:
    """``factor * matrix @ x`` over the channels of ``x``, the output of the node ``source``; None is the identity.

    ``channels`` counts those of x, ``inner`` the elements that each stands for: more than 1 behind a Flatten.
    """

    source: str
    channels: int
    matrix: Tensor | None = None  # float64
    factor: float = 1.0
    inner: int = 1

    @property
    def plain(self) -> bool:
        """Whether the term is the output of the node as it is."""
        return self.matrix is None and self.factor == 1

    def mapped(self, matrix: Tensor) -> "Term":
        """Return ``matrix`` times the term."""
        return replace(self, matrix=matrix.double() if self.matrix is None else matrix.double() @ self.matrix)

    def into(self, weight: Tensor) -> Tensor:
        """Return weights ``(outputs, channels of the value, *kernel)`` as those of x, float32."""
        found = weight.double()
        if self.matrix is not None:
            found = torch.einsum("oc...,cx->ox...", found, self.matrix)
        return (found * self.factor).float().contiguous()

    def dense(self) -> Tensor:
        """Return the term as weights ``(channels of the value, channels of x)``, float32."""
        if self.matrix is not None:
            return (self.matrix * self.factor).float()
        require_room(self.channels, self.channels)
        return torch.eye(self.channels) * self.factor


def summed(terms: Sequence[Term]) -> list[Term]:
    """Return terms with one for each source: NIR's edges are a set, the same one twice would be lost."""
    found: dict[tuple[str, int], Term] = {}
    for term in terms:
        key = (term.source, term.inner)
        if key in found:
            both = found[key].dense().double() + term.dense().double()
            term = replace(term, matrix=both, factor=1.0)
        found[key] = term
    return list(found.values())


def stacked(values: Sequence[Sequence[Term]], sizes: Sequence[int]) -> list[Term]:
    """Return values of ``sizes`` channels, one behind the other along their channels."""
    total, start, found = sum(sizes), 0, []
    for terms, size in zip(values, sizes, strict=True):
        require_room(total, size)
        place = torch.zeros(total, size, dtype=torch.float64)
        place[start : start + size] = torch.eye(size, dtype=torch.float64)
        found += [term.mapped(place) for term in terms]
        start += size
    return summed(found)
