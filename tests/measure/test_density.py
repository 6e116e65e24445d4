"""Pairs of activations and rates: counted in their places, and correlated as numpy does it."""

import numpy as np
import pytest
import torch

from snnconvert.measure.density import BINS, MOST, Density


def test_pairs_are_counted_in_their_places() -> None:
    density = Density()
    density.add(torch.tensor([[0.0, 0.5, 9.0]]), torch.tensor([[0.0, 0.25, 1.0]]))
    density.add(torch.tensor([[0.5, 0.0, -1.0]]), torch.tensor([[0.25, 0.03125, 0.5]]))
    unit = BINS / MOST
    expected = torch.zeros(BINS, BINS, dtype=torch.int64)
    for a, r, count in ((0.5, 0.25, 2), (MOST - 1e-3, 1.0, 1), (0.0, 0.03125, 1), (0.0, 0.5, 1)):
        expected[int(a * unit), int(r * unit)] += count
    assert torch.equal(density.counts, expected)


def test_correlation_is_that_of_numpy() -> None:
    make = torch.Generator().manual_seed(0)
    density, parts = Density(), []
    for _ in range(3):
        a = torch.rand(4, 3, 5, 5, generator=make).relu()
        r = (a + 0.1 * torch.randn(a.shape, generator=make)).clamp(0, 1)
        density.add(a, r)
        parts.append(np.stack([a.numpy().ravel(), r.numpy().ravel()]))
    expected = np.corrcoef(np.concatenate(parts, axis=1).astype(np.float64))[0, 1]
    assert density.correlation == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.5, float("nan"), float("inf")])
def test_what_does_not_vary_has_no_correlation(value: float) -> None:
    density = Density()
    assert density.correlation is None
    density.add(torch.full((2, 3), value), torch.rand(2, 3))
    assert density.correlation is None
