"""Fan-out maps and initial states as text, for the metadata of the exported network.

This file is carried by the evaluator of every bundle unchanged, so it needs nothing but numpy.
"""

import base64
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def packed(fan_out: np.ndarray) -> dict[str, object]:
    """Write a map of whole numbers as int32, zlib and base64; axes along which it is constant shrink to 1."""
    for axis in range(fan_out.ndim):
        first = fan_out.take([0], axis)
        if bool((fan_out == first).all()):
            fan_out = first
    return _text(fan_out, "<i4")


def packed_numbers(values: np.ndarray) -> dict[str, object]:
    """Write an array as float32, zlib and base64."""
    return _text(values, "<f4")


def _text(values: np.ndarray, dtype: str) -> dict[str, object]:
    data = zlib.compress(np.ascontiguousarray(values, dtype).tobytes(), 9)
    return {"shape": list(values.shape), "data": base64.b64encode(data).decode("ascii")}


def unpacked_numbers(text: Mapping[str, Any]) -> np.ndarray:
    """Read what :func:`packed_numbers` wrote."""
    return unpacked(text).view("<f4")


def unpacked(text: Mapping[str, Any]) -> np.ndarray:
    """Read what :func:`packed` wrote; never more bytes than the shape asks for (ValueError where it asks for none)."""
    size = 4 * math.prod(text["shape"])
    if size <= 0:  # to zlib, 0 is no limit
        raise ValueError(f"a fan-out map of shape {text['shape']}")
    data = zlib.decompressobj().decompress(base64.b64decode(text["data"]), size)
    return np.frombuffer(data, "<i4").reshape(text["shape"])
