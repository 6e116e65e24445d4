"""Verdicts, the number of samples that decide, and Holm's correction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.gate.difference import Difference, Verdict, holm
from snnconvert.gate.paired import paired
from snnconvert.gate.unpaired import unpaired


@pytest.mark.parametrize(
    ("worse", "better", "n", "verdict"),
    [
        (10, 10, 1000, Verdict.PASS),
        (20, 20, 1000, Verdict.INCONCLUSIVE),
        (30, 5, 1000, Verdict.FAIL),
        (12, 0, 1000, Verdict.FAIL),
        (8, 0, 1000, Verdict.INCONCLUSIVE),  # an accident it is not, but under the margin
        (55, 40, 1000, Verdict.INCONCLUSIVE),  # over the margin, but maybe an accident
        (0, 30, 1000, Verdict.PASS),
        (0, 0, 268, Verdict.PASS),
        (0, 0, 267, Verdict.INCONCLUSIVE),
    ],
)
def test_verdict_at_a_margin_of_one_point(worse: int, better: int, n: int, verdict: Verdict) -> None:
    assert paired(worse, better, n, 0.05).decide(0.01) is verdict


def test_a_corrected_probability_takes_a_failure_back() -> None:
    found = paired(20, 8, 1000, 0.05)
    assert found.decide(0.01) is Verdict.FAIL
    assert found.decide(0.01, p=0.051) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("discordance", "expected"), [(0.01, 619), (0.02, 1237), (0.05, 3092), (0.1, 6183)]
)  # (1.645 + 0.842)^2 psi / m^2
def test_samples_to_prove_that_nothing_was_lost(discordance: float, expected: int) -> None:
    half = round(200 * discordance / 2)
    assert paired(half, half, 200, 0.05).needed(0.01) == pytest.approx(expected, abs=1)


def test_no_number_of_samples_decides_on_the_margin_itself() -> None:
    assert paired(15, 5, 1000, 0.05).needed(0.01) is None


@pytest.mark.parametrize(("worse", "better"), [(12, 9), (10, 10), (20, 6), (14, 0)])
def test_the_number_that_is_said_decides_in_four_of_five_runs(worse: int, better: int) -> None:
    n = 1000
    found = paired(worse, better, n, 0.05)
    enough = found.needed(0.01)
    assert enough is not None
    chances = [worse / n, better / n, 1 - (worse + better) / n]
    draws, times = np.unique(np.random.default_rng(1).multinomial(enough, chances, 3000), axis=0, return_counts=True)
    undecided = sum(
        count
        for (b, c, _), count in zip(draws.tolist(), times.tolist(), strict=True)
        if paired(b, c, enough, 0.05).decide(0.01) is Verdict.INCONCLUSIVE
    )
    assert 0.7 < 1 - undecided / 3000 < 0.9 or enough == n + 1


def test_smallest_drop_that_is_noticed_is_wider_without_pairs() -> None:
    assert paired(10, 10, 1000, 0.05).detectable == pytest.approx(0.0111, abs=1e-4)
    assert unpaired(930, 930, 1000, 0.05).detectable == pytest.approx(0.0284, abs=1e-4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))
    assert sorted(range(len(p)), key=lambda i: (adjusted[i], p[i])) == sorted(range(len(p)), key=lambda i: p[i])


def test_holm_as_published() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_worst_of_verdicts_is_the_largest() -> None:
    assert max(Verdict.PASS, Verdict.INCONCLUSIVE) is Verdict.INCONCLUSIVE
    assert max(Verdict.FAIL, Verdict.INCONCLUSIVE) is Verdict.FAIL


@given(st.integers(1, 5000), st.data())
def test_a_pass_is_never_a_failure_too(n: int, data: st.DataObject) -> None:
    worse = data.draw(st.integers(0, n))
    found: Difference = paired(worse, data.draw(st.integers(0, n - worse)), n, 0.05)
    if found.decide(0.01) is Verdict.PASS:
        assert found.drop < 0.01
    assert found.decide(0.01) <= found.decide(0.001)
