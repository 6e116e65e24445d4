"""Tango's interval against published values, its own definition, and simulation."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.gate.difference import normal_quantile
from snnconvert.gate.paired import paired, score


@pytest.mark.parametrize(
    ("worse", "better", "n", "level", "low", "high", "digits"),
    [
        (0, 1, 44, 0.90, -0.096, 0.037, 3),  # Tango 1998, soft contact lenses
        (12, 2, 50, 0.95, 0.0611, 0.3447, 4),  # Newcombe's worked example
        (1, 7, 21, 0.95, -0.517, -0.026, 3),  # Fagerland, Lydersen, Laake 2014, airway hyper-responsiveness
        (28, 25, 618, 0.90, -0.0148, 0.0247, 4),  # R, PropCIs::scoreci.mp(25, 28, 618, 0.90)
    ],
)
def test_limits_are_the_published_ones(
    worse: int, better: int, n: int, level: float, low: float, high: float, digits: int
) -> None:
    found = paired(worse, better, n, (1 - level) / 2)
    assert (round(found.low, digits), round(found.high, digits)) == (low, high)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 100_000))
    worse = draw(st.integers(0, n))
    return worse, draw(st.integers(0, n - worse)), n


@given(tables(), st.sampled_from([0.005, 0.05, 0.2]))
def test_limits_are_where_the_statistic_is_the_quantile(table: tuple[int, int, int], alpha: float) -> None:
    found, z = paired(*table, alpha), normal_quantile(1 - alpha)
    assert -1 <= found.low <= found.drop <= found.high <= 1
    inside = 1e-9
    assert score(found.low + inside, *table) <= z + 1e-3 or found.low + inside > found.drop
    if found.low > -1 + 1e-6:
        assert score(found.low - 1e-6, *table) >= z - 1e-3
    if found.high < 1 - 1e-6:
        assert score(found.high + 1e-6, *table) <= -z + 1e-3


@given(tables())
def test_exchanging_the_networks_turns_the_interval_around(table: tuple[int, int, int]) -> None:
    worse, better, n = table
    one, other = paired(worse, better, n, 0.05), paired(better, worse, n, 0.05)
    assert (other.drop, other.low, other.high) == pytest.approx((-one.drop, -one.high, -one.low), abs=1e-9)


@given(tables())
def test_statistic_falls_with_the_drop(table: tuple[int, int, int]) -> None:
    found = [score(d, *table) for d in np.linspace(-0.999, 0.999, 41)]
    assert all(left >= right - 1e-9 for left, right in pairwise(found))


@given(tables())
def test_at_no_drop_the_statistic_is_mcnemars(table: tuple[int, int, int]) -> None:
    worse, better, n = table
    expected = (worse - better) / math.sqrt(worse + better) if worse + better else 0.0
    assert score(0.0, worse, better, n) == pytest.approx(expected, abs=1e-9)
    low = paired(worse, better, n, 0.05)
    assert (low.low > 1e-12) == (low.p < 0.05) or abs(low.p - 0.05) < 1e-6


def test_nothing_changed_is_no_drop_up_to_z_squared_over_n_plus_z_squared() -> None:
    z = normal_quantile(0.95)
    assert paired(0, 0, 600, 0.05).high == pytest.approx(z * z / (600 + z * z))


@pytest.mark.parametrize(("n", "drop", "discordance"), [(500, 0.01, 0.02), (1000, 0.0, 0.05), (1000, 0.03, 0.1)])
def test_each_limit_is_passed_about_as_often_as_it_says(n: int, drop: float, discordance: float) -> None:
    chances = [(discordance + drop) / 2, (discordance - drop) / 2, 1 - discordance]
    draws, times = np.unique(np.random.default_rng(0).multinomial(n, chances, 20_000), axis=0, return_counts=True)
    limits = [paired(int(worse), int(better), n, 0.05) for worse, better, _ in draws]
    below = sum(count for each, count in zip(limits, times, strict=True) if drop < each.low) / 20_000
    above = sum(count for each, count in zip(limits, times, strict=True) if drop > each.high) / 20_000
    assert 0.035 < below < 0.065
    assert 0.035 < above < 0.065
