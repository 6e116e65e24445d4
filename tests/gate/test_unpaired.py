"""Newcombe's hybrid score interval against his own tables."""

import pytest

from snnconvert.gate.unpaired import unpaired


@pytest.mark.parametrize(
    ("before", "after", "n", "low", "high"),
    [
        (9, 3, 10, 0.1705, 0.8090),
        (6, 2, 7, 0.0582, 0.8062),
        (0, 0, 10, -0.2775, 0.2775),
        (10, 0, 10, 0.6075, 1.0),
    ],
)  # Newcombe 1998, table II, method 10, 95 %
def test_limits_are_the_published_ones(before: int, after: int, n: int, low: float, high: float) -> None:
    found = unpaired(before, after, n, 0.025)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (50, 50), (40, 30), (30, 40)])
def test_probability_falls_with_the_drop(before: int, after: int) -> None:
    found = unpaired(before, after, 50, 0.05)
    assert (found.p < 0.5) == (before > after)
    assert found.low <= found.drop <= found.high
