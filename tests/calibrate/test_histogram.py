"""The log-spaced histogram against numpy's own percentile, which keeps every number."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snnconvert.calibrate import RELATIVE_ERROR, LogHistogram

PERCENTS = (0.01, 1, 25, 50, 90, 99, 99.9, 99.99)
TINY, HUGE = 2.0**-24, 2.0**24 * (1 - 2.0**-7)  # what the bins of a power of two resolve


def histogram_of(*batches: NDArray[np.float32]) -> LogHistogram:
    histogram = LogHistogram(batches[0].shape[1])
    for batch in batches:
        histogram.add(np.ascontiguousarray(batch, np.float32))
    return histogram


def column(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)[:, None]


def exact(numbers: NDArray[np.float32], percent: float, nonzero: bool) -> float:
    counted = numbers[numbers > 0] if nonzero else np.maximum(numbers, 0)
    if counted.size == 0:
        return 0.0
    # numpy's inverted_cdf, but for its rounding: it takes 999.0000000000001 of 1,000 to be the last one
    rank = math.ceil(Fraction(str(percent)) / 100 * counted.size)
    return float(np.sort(counted)[max(rank, 1) - 1])


def assert_percentiles_of(histogram: LogHistogram, numbers: NDArray[np.float32], percent: float) -> None:
    for nonzero in (True, False):
        for channel, found in enumerate(histogram.percentile(percent, nonzero)):
            expected = exact(numbers[:, channel], percent, nonzero)
            assert abs(found - expected) <= expected * RELATIVE_ERROR


def same_counts(left: LogHistogram, right: LogHistogram) -> bool:
    pairs = ((left.counts, right.counts), (left.zeros, right.zeros), (left.maximum, right.maximum))
    return all(np.array_equal(a, b) for a, b in pairs)


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "uniform": lambda rng, shape: rng.random(shape) * 7 - 1,
    "exponential": lambda rng, shape: rng.exponential(0.01, shape),
    "lognormal": lambda rng, shape: rng.lognormal(0, 4, shape),
    "heavy tail": lambda rng, shape: rng.pareto(1.1, shape),
    "powers of two": lambda rng, shape: 2.0 ** rng.integers(-20, 20, shape),
    "constant": lambda rng, shape: np.full(shape, 0.1),
    "mostly zero": lambda rng, shape: rng.random(shape) * (rng.random(shape) > 0.999),
    "two far peaks": lambda rng, shape: np.where(rng.random(shape) < 0.5, 1e-5, 1e5),
}


@pytest.mark.parametrize("channels", [1, 2, 7])
@pytest.mark.parametrize("draw", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())
def test_percentiles_are_within_the_stated_error_of_numpy(
    draw: Callable[..., NDArray[np.float64]], channels: int
) -> None:
    numbers = draw(np.random.default_rng(channels), (5000, channels)).astype(np.float32).clip(max=HUGE)
    numbers[(numbers > 0) & (numbers < TINY)] = TINY
    histogram = histogram_of(numbers)
    for percent in PERCENTS:
        assert_percentiles_of(histogram, numbers, percent)


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(-100, 0, width=32), st.floats(TINY, HUGE, width=32)), min_size=1),
    st.floats(0.001, 100),
)
@settings(max_examples=300, deadline=None)
def test_percentiles_of_any_numbers_are_within_the_stated_error(numbers: list[float], percent: float) -> None:
    assert_percentiles_of(histogram_of(column(*numbers)), column(*numbers), percent)


def test_the_stated_error_is_reached_but_not_passed() -> None:
    lower_edges = 2.0 ** np.arange(-24, 24)
    for number in lower_edges:
        middle = histogram_of(column(number, 2 * number)).percentile(50)
        assert float(middle[0]) == number * (1 + RELATIVE_ERROR)


@given(st.lists(st.floats(0, width=32, allow_infinity=False), min_size=1), st.sampled_from([100, 100.0, 120]))
@settings(deadline=None)
def test_a_hundred_percent_is_the_exact_maximum(numbers: list[float], percent: float) -> None:
    histogram = histogram_of(column(*numbers))
    assert histogram.maximum[0] == np.float32(max(numbers))
    assert histogram.percentile(percent)[0] == max(numbers)


@given(st.lists(st.floats(TINY, HUGE, width=32), min_size=1))
@settings(deadline=None)
def test_percentiles_rise_with_the_percentage_and_stay_under_the_maximum(numbers: list[float]) -> None:
    histogram = histogram_of(column(*numbers))
    found = [float(histogram.percentile(percent)[0]) for percent in (*PERCENTS, 100)]
    assert found == sorted(found)


@pytest.mark.parametrize("channels", [1, 5])
def test_neither_order_nor_batches_change_a_count(channels: int) -> None:
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(1001, channels)).astype(np.float32)
    whole = histogram_of(numbers)
    assert same_counts(whole, histogram_of(rng.permutation(numbers)))
    assert same_counts(whole, histogram_of(*np.array_split(numbers, 13)))
    assert same_counts(whole, histogram_of(*(row[None] for row in numbers)))


@pytest.mark.parametrize("channels", [1, 5])
def test_number_of_threads_changes_no_count(channels: int) -> None:
    numbers = np.random.default_rng(3).normal(size=(1001, channels)).astype(np.float32)
    many = histogram_of(numbers)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert same_counts(histogram_of(numbers), many)
    finally:
        numba.set_num_threads(threads)


def test_pooled_channels_are_the_histogram_of_the_layer() -> None:
    numbers = np.random.default_rng(5).normal(size=(900, 6)).astype(np.float32)
    assert same_counts(histogram_of(numbers).pooled(), histogram_of(numbers.reshape(-1, 1)))


def test_a_single_channel_counts_as_each_of_many_does() -> None:
    numbers = np.random.default_rng(6).lognormal(0, 3, (4000, 5)).astype(np.float32) - 1
    many = histogram_of(numbers)
    for channel in range(5):
        one = histogram_of(numbers[:, [channel]])
        assert np.array_equal(one.counts[0], many.counts[channel])
        assert one.zeros[0] == many.zeros[channel]
        assert one.maximum[0] == many.maximum[channel]


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_not_positive_counts_as_zero(channels: int) -> None:
    numbers = np.repeat(column(0.0, -0.0, -1e-30, -5.0, -np.inf, 2.0, 3.0), channels, axis=1)
    histogram = histogram_of(numbers)
    assert histogram.zeros.tolist() == [5] * channels
    assert histogram.counts.sum(1).tolist() == [2] * channels
    assert histogram.percentile(50, nonzero=False).tolist() == [0.0] * channels
    assert abs(histogram.percentile(50, nonzero=True)[0] - 2) <= 2 * RELATIVE_ERROR


@pytest.mark.parametrize("channels", [1, 3])
def test_a_channel_without_a_positive_number_answers_zero(channels: int) -> None:
    histogram = histogram_of(np.zeros((10, channels), np.float32))
    for percent, nonzero in itertools.product((1, 50, 99.9, 100), (True, False)):
        assert histogram.percentile(percent, nonzero).tolist() == [0.0] * channels


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_at_all_answers_zero(channels: int) -> None:
    histogram = histogram_of(np.zeros((0, channels), np.float32))
    assert histogram.maximum.tolist() == histogram.percentile(99.9).tolist() == [0.0] * channels
    assert not histogram.counts.any()
    assert not histogram.zeros.any()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800001, 0x7FFFFFFF, 0xFFC00000, 0xFF800001, 0xFFFFFFFF])
def test_nan_of_either_sign_shows_in_the_maximum(bits: int, channels: int) -> None:
    numbers = np.repeat(column(1.0, 0.0, 2.0, 5.0), channels, axis=1)
    numbers.view(np.uint32)[1, 0] = bits
    maximum = histogram_of(numbers).maximum
    assert np.isnan(maximum[0])
    assert maximum[1:].tolist() == [5.0] * (channels - 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_infinity_shows_in_the_maximum(channels: int) -> None:
    numbers = np.repeat(column(1.0, np.inf, 3e38), channels, axis=1)
    assert histogram_of(numbers).maximum.tolist() == [np.inf] * channels


def test_tiny_numbers_share_a_bin_and_never_pass_the_maximum() -> None:
    histogram = histogram_of(column(1e-45, 1e-38, 1e-20, 1e-9))
    assert histogram.counts[0, 0] == 4
    for percent in PERCENTS:
        assert histogram.percentile(percent)[0] == np.float32(1e-9)


def test_huge_numbers_share_a_bin_whose_percentile_is_the_maximum() -> None:
    histogram = histogram_of(column(1.0, 2.0**24, 1e9, 1e38))
    assert histogram.counts[0, -1] == 3
    assert abs(histogram.percentile(25)[0] - 1) <= RELATIVE_ERROR
    assert histogram.percentile(75)[0] == np.float32(1e38)


def test_rank_is_exact_where_percent_of_the_count_is_whole() -> None:
    assert histogram_of(column(*[1.0] * 999, 100.0)).percentile(99.9)[0] == pytest.approx(1, rel=1 / 256)


def test_no_number_stands_for_a_larger_one_and_the_highest_bin_holds_the_largest() -> None:
    histogram = histogram_of(column(1e-30, 1.0, 3.0), column(2.0**24, 1e30, 1.5))
    filled = histogram.middles[0][np.flatnonzero(histogram.counts[0])]
    np.testing.assert_allclose(filled, [2.0**-24, 1.0, 1.5, 3.0, 1e30], rtol=RELATIVE_ERROR)
    assert histogram_of(column(1.0)).middles.max() == 1.0
