"""Numbers of a metrics.json document, checked and written the way people read them.

A bundle may come from somebody else, so that no field is trusted to be the number that it should be.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from snnconvert.errors import OutputError
from snnconvert.report.text import printable

NOTHING = "-"


def number(value: object) -> float | None:
    """Return the value as a float, None for null; OutputError E403 for anything else."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise OutputError("E403", f"metrics.json: got {printable(repr(value), 40)}, expected a number")


def rows(metrics: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """Return the list of objects under ``name``, empty where it is absent; OutputError E403 for another type."""
    value = metrics.get(name, [])
    if isinstance(value, list | tuple) and all(isinstance(row, Mapping) for row in value):
        return value
    raise OutputError("E403", f"metrics.json: '{name}': got {type(value).__name__}, expected a list of objects")


def section(metrics: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object under ``name``, empty where it is absent or null; OutputError E403 for another type."""
    value = metrics.get(name)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise OutputError("E403", f"metrics.json: '{name}': got {type(value).__name__}, expected an object")


def interval(value: object) -> tuple[float, float] | None:
    """Return the two finite ends of a confidence interval, None where there is none."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return low, high


def ann_accuracy(metrics: Mapping[str, Any]) -> float | None:
    """Return the accuracy of the original network as a fraction, None without labels."""
    return number(section(metrics, "ann").get("accuracy"))


def is_dense(metrics: Mapping[str, Any]) -> bool:
    """Tell whether the outputs are no classes (dense prediction, regression), so that output_error leads."""
    return "classes" in metrics and metrics["classes"] is None


def percent(value: float | None, decimals: int = 2) -> str:
    """Write a fraction as a percentage: 0.825 is ``82.50 %``."""
    return NOTHING if value is None else f"{100 * value:.{decimals}f} %"


def points(difference: float | None) -> str:
    """Write a difference of two fractions in signed percentage points: -0.0923 is ``-9.23``."""
    if difference is None:
        return NOTHING
    text = f"{100 * difference:+.2f}"
    return "0.00" if text in {"+0.00", "-0.00"} else text


def count(value: float | None) -> str:
    """Write a count with thousands separators; a mean under 100 keeps one decimal, from 10^9 on it has a suffix."""
    if value is None or not math.isfinite(value):
        return NOTHING if value is None else str(value)
    if value != int(value) and abs(value) < 100:
        return f"{value:.1f}"
    return f"{value:,.0f}" if abs(value) < 1e9 else suffixed(value)


def suffixed(value: float | None) -> str:
    """Write a large number with two decimals and k, M, G or T: 40551040 is ``40.55M``."""
    if value is None or not math.isfinite(value):
        return NOTHING if value is None else str(value)
    for suffix, unit in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.999995 * unit:
            return f"{value / unit:.2f}{suffix}" if abs(value) < 1e15 else f"{value:.1e}"
    return count(value)


def plain(value: float | None, digits: int = 4) -> str:
    """Write a number with so many significant digits."""
    return NOTHING if value is None else f"{value:.{digits}g}"


def joules(value: float | None) -> str:
    """Write an energy with three significant digits: 1.1e-4 is ``110 µJ``."""
    if value is None:
        return NOTHING
    for unit, unit_size in (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)):
        if value >= unit_size:
            return f"{value / unit_size:.3g} {unit}"
    return f"{value / 1e-9:.3g} nJ"


def size(octets: int) -> str:
    """Write a number of bytes in decimal units, as disk makers and ``df -H`` do."""
    text = suffixed(octets)
    return f"{octets} B" if octets < 1000 else f"{text[:-1]} {text[-1]}B"
