from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from snnconvert.compiled import compiled


def double(values: np.ndarray) -> None:
    for index in numba.prange(len(values)):
        values[index] *= 2


def test_loop_is_compiled() -> None:
    values = np.arange(5.0)
    compiled(double)(values)
    assert values.tolist() == [0, 2, 4, 6, 8]


def test_loop_is_compiled_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = []
    njit = numba.njit

    def without_a_place(**given: bool) -> Callable[[Any], Any]:
        settings.append(given)
        if given.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**given)

    monkeypatch.setattr(numba, "njit", without_a_place)
    values = np.ones(2)
    compiled(double)(values)
    assert values.tolist() == [2, 2]
    assert [each.get("cache", False) for each in settings] == [True, False]
