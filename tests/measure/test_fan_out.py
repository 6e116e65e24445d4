"""Fan-out maps survive the way through text, and text cannot ask for more than its shape."""

import base64
import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.measure import packed, unpacked


@given(
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=4),
    most=st.sampled_from([0, 1, 9, 2**31 - 1]),
    seed=st.integers(0, 2**16),
    constant=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_map_survives(shape: list[int], most: int, seed: int, constant: int) -> None:
    fan_out = np.random.default_rng(seed).integers(0, most, shape, np.int64, endpoint=True)
    if constant < len(shape):
        fan_out = np.broadcast_to(fan_out.take([0], constant), shape)
    text = packed(fan_out)
    found = unpacked(text)
    assert found.dtype == np.int32
    assert found.ndim == len(shape)
    np.testing.assert_array_equal(np.broadcast_to(found, shape), fan_out)
    if constant < len(shape):
        assert text["shape"][constant] == 1


def test_constant_maps_are_one_number() -> None:
    assert packed(np.full((64, 32, 32), 144.0))["shape"] == [1, 1, 1]


def text_of(content: bytes, *shape: int) -> dict[str, object]:
    return {"shape": list(shape), "data": base64.b64encode(zlib.compress(content)).decode()}


@pytest.mark.parametrize("shape", [(1,), (4, 4)])
def test_text_never_expands_beyond_its_shape(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    whole = np.frombuffer

    def watched(data: bytes, *arguments: object) -> np.ndarray:
        sizes.append(len(data))
        return whole(data, *arguments)

    monkeypatch.setattr(np, "frombuffer", watched)
    unpacked(text_of(bytes(50_000_000), *shape))
    assert sizes == [4 * math.prod(shape)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (text_of(bytes(8), 3), r"cannot reshape"),
        (text_of(bytes(8), -1), r"a fan-out map of shape \[-1\]"),
        (text_of(bytes(50_000_000), 0), r"a fan-out map of shape \[0\]"),
        (text_of(bytes(8), 3, 0), r"a fan-out map of shape \[3, 0\]"),
        ({"shape": [1], "data": "AAAA"}, r"incorrect header|unknown compression"),
        ({"shape": [1], "data": "A"}, r"(?i)padding|base64"),
    ],
)
def test_broken_text_is_refused(text: dict[str, object], error: str) -> None:
    with pytest.raises((ValueError, zlib.error), match=error):
        unpacked(text)
