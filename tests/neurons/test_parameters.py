"""Parameters of neurons: what is refused, and what the message says."""

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from snnconvert.errors import UsageError
from snnconvert.neurons import NEURONS, make_neuron
from snnconvert.neurons.neuron import Range

RANGED = [
    (name, each)
    for name in NEURONS
    for each in dataclasses.fields(NEURONS[name])  # type: ignore[arg-type]
    if "range" in each.metadata
]


def bad_values(each: "dataclasses.Field[Any]") -> Iterator[Any]:
    limits = each.metadata["range"]
    step = 1 if isinstance(each.default, int) else 1e-6
    if limits.low > -math.inf:
        yield limits.low if limits.low_open else limits.low - step
    if limits.high < math.inf:
        yield limits.high if limits.high_open else limits.high + step
    yield from (math.nan, math.inf, -math.inf, True, "3", [1], 10**400)
    if isinstance(each.default, int):
        yield 1.5


@pytest.mark.parametrize(("name", "each"), RANGED, ids=[f"{name}-{each.name}" for name, each in RANGED])
def test_values_outside_of_the_range_are_refused(name: str, each: "dataclasses.Field[Any]") -> None:
    limits = each.metadata["range"]
    for value in bad_values(each):
        with pytest.raises(UsageError) as caught:
            make_neuron(name, {each.name: value})
        assert (caught.value.code, caught.value.exit_status) == ("E003", 2)
        assert each.name.replace("_", "-") in caught.value.message.replace("_", "-")
        assert f"expected {limits}, got " in caught.value.message
        assert limits.unit in caught.value.message
        shown = f"{value:g}" if isinstance(value, float) else repr(value)
        assert caught.value.message.endswith(f", got {shown[:80]}")


@pytest.mark.parametrize(("name", "each"), RANGED, ids=[f"{name}-{each.name}" for name, each in RANGED])
def test_the_ends_of_a_range_are_allowed(name: str, each: "dataclasses.Field[Any]") -> None:
    limits = each.metadata["range"]
    allowed = [each.default]
    allowed += [limits.low] if not limits.low_open and limits.low > -math.inf else []
    allowed += [limits.high] if not limits.high_open and limits.high < math.inf else []
    for value in allowed:
        assert getattr(make_neuron(name, {each.name: value}), each.name) == value


def test_only_an_optional_parameter_may_be_none() -> None:
    assert make_neuron("if-multi", {"k": None}) == NEURONS["if-multi"](None)
    for name, each in RANGED:
        if (name, each.name) != ("if-multi", "k"):
            with pytest.raises(UsageError, match=r"E003.*got None"):
                make_neuron(name, {each.name: None})


@pytest.mark.parametrize(
    ("name", "given", "hint"),
    [
        ("lif", "taw", "did you mean 'tau'?"),
        ("if-multi", "K", "did you mean 'k'?"),
        ("if-signed", "k", "known: initial_potential"),
        ("differential", "initial_potential", "known: events_a_step, n"),
        ("if", "refractry", "did you mean 'refractory'?"),
    ],
)
def test_unknown_parameter_is_refused(name: str, given: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_neuron(name, {given: 1})
    assert caught.value.code == "E003"
    assert caught.value.message == f"neuron.{given}: the neuron '{name}' has no such parameter"
    if given != "K":  # one letter is like no other to difflib
        assert caught.value.hint == hint


def test_unknown_neuron_is_refused() -> None:
    with pytest.raises(UsageError, match=r"E002.*unknown neuron 'if-mutli'") as caught:
        make_neuron("if-mutli", {})
    assert caught.value.hint == "did you mean 'if-multi'?"


@pytest.mark.parametrize("name", ["reset_potential", "initial_potential"])
def test_potentials_of_lif_are_under_its_threshold(name: str) -> None:
    with pytest.raises(UsageError, match=r"E003.*expected under the threshold 0.5, got 0.5"):
        make_neuron("lif", {"threshold": 0.5, name: 0.5})


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Range("steps", 1, 2**20), "at least 1 and at most 1048576 (steps)"),
        (Range("volts", 0, low_open=True), "over 0 (volts)"),
        (Range("volts", high=0.5, high_open=True), "under 0.5 (volts)"),
        (Range("volts"), "a finite number (volts)"),
    ],
)
def test_a_range_is_told_in_words(limits: Range, told: str) -> None:
    assert str(limits) == told


@pytest.mark.parametrize("tau", [1.5, 1e20, 2.5e-5 + 1, 1e300])
def test_function_names_are_identifiers(tau: float) -> None:
    names = [make_neuron(name, {}).onnx_function().name for name in NEURONS]
    names.append(make_neuron("lif", {"tau": tau, "reset_potential": -1e-9, "bias": 1e30}).onnx_function().name)
    assert all(re.fullmatch(r"[A-Za-z]\w*", name) for name in names)
    assert len(set(names)) == len(names)
