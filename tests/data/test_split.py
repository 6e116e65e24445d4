import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.data import split_half
from snnconvert.data.split import limited


def test_split_of_one_sample_calibrates() -> None:
    first, second = split_half(["a"], 0)
    assert (first.tolist(), second.tolist()) == ([0], [])
    assert [part.tolist() for part in split_half([], 0)] == [[], []]
    assert [part.tolist() for part in split_half(["a", "a-1"], 0)] == [[0, 1], []]


def test_split_is_the_documented_order() -> None:
    ids = [f"{i:016x}" for i in range(9)]
    order = sorted(range(9), key=lambda i: hashlib.sha256(f"7 {ids[i]}".encode()).hexdigest())
    first, second = split_half(ids, 7)
    assert first.tolist() == sorted(order[:5])
    assert second.tolist() == sorted(order[5:])
    assert split_half(ids, 8)[0].tolist() != first.tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=40), st.integers(0, 2**32), st.randoms())
def test_split_does_not_depend_on_the_order(values: list[int], seed: int, random: object) -> None:
    seen: dict[int, int] = {}
    ids = []
    for value in values:
        ids.append(f"{value:016x}" + (f"-{seen[value]}" if value in seen else ""))
        seen[value] = seen.get(value, 0) + 1
    first, second = split_half(ids, seed)
    assert sorted([*first, *second]) == list(range(len(ids)))
    assert list(first) == sorted(first)
    sides = [{ids[i].partition("-")[0] for i in part} for part in (first, second)]
    assert not sides[0] & sides[1]
    if len(seen) > 1:
        assert all(sides)
    if len(seen) == len(ids):
        assert len(first) == (len(ids) + 1) // 2
    shuffled = list(ids)
    random.shuffle(shuffled)
    again = split_half(shuffled, seed)
    assert [{shuffled[i] for i in part} for part in again] == [{ids[i] for i in part} for part in (first, second)]


def test_split_cuts_as_near_to_half_as_repetitions_allow() -> None:
    ids = ["a", *[f"a-{k}" for k in range(1, 6)], "b", "c", "d"]
    for seed in range(20):
        first, second = split_half(ids, seed)
        assert sorted([len(first), len(second)]) in ([3, 6], [2, 7], [1, 8])
        assert {ids[i][0] for i in first}.isdisjoint(ids[i][0] for i in second)


@pytest.mark.parametrize("samples", [None, 9, 100])
def test_limit_that_does_not_bind_keeps_all(samples: int | None) -> None:
    assert limited(np.arange(9), samples, 0).tolist() == list(range(9))


def test_limit_is_the_documented_order_and_grows_by_adding() -> None:
    indices = np.array([3, 5, 8, 13, 21])
    order = sorted(indices.tolist(), key=lambda i: hashlib.sha256(f"4:{i}".encode()).digest())
    for count in range(1, 5):
        assert limited(indices, count, 4).tolist() == sorted(order[:count])
