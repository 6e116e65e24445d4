"""Baselines and predictions with anything in them: each is refused in one line, or judged and told in every form."""

import copy
import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnconvert.checking import compared
from snnconvert.errors import SnnError
from snnconvert.gate.baseline import digest, read_baseline
from snnconvert.gate.document import as_document, as_text
from snnconvert.gate.github import annotations
from snnconvert.gate.junit import as_junit
from snnconvert.gate.markdown import as_markdown
from snnconvert.gate.measurement import Measurement
from snnconvert.gate.schema import Gate, Rails, Reach
from snnconvert.gate.update import write_baseline

FUZZED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400, deadline=None)
RAILS = Rails(min_agreement=1.0, max_synops=5.0, max_steps_to_reach=Reach(accuracy=10.0, steps=8))
DEEP = json.loads('{"x": ' * 600 + "1" + "}" * 600)
NUMBERS = [-1, 0, 1, 7, 2**31, 2**40, 2**64, 10**30, -0.5, 0.5, 5e-324, 1e300, 1e999, -1e999]
VALUES = [None, True, "", "x", "é\ud800\x00\n|`@", [], {}, [[[]]], {"x": {"x": []}}, DEEP, *NUMBERS]


@pytest.fixture
def networks(predict: Callable, measure: Callable) -> dict[str, Measurement]:
    """What three networks do: with labels, without, and with outputs that are no classes."""
    dense = dataclasses.replace(predict(20), label=np.full(20, -1), ann=np.full(20, -1), snn=np.full((20, 2), -1))
    found = measure(dense)
    rows = tuple(row.model_copy(update={"agreement": 0.9, "output_error": 0.1}) for row in found.rows)
    plain, bare = measure(predict(20)), measure(predict(20, labelled=False))
    return {"plain": plain, "bare": bare, "dense": dataclasses.replace(found, rows=rows)}


@pytest.fixture
def place(tmp_path: Path, networks: dict[str, Measurement]) -> Path:
    """A baseline of the networks."""
    path, gate = tmp_path / "b.json", Gate(rails=RAILS, steps=[8, 32])
    write_baseline(path, None, [(name, each, gate) for name, each in networks.items()], "first")
    return path


@pytest.fixture
def fresh(place: Path) -> Callable[[], dict]:
    """Put everything back as it was written, and return the document."""
    files = {path: path.read_bytes() for path in place.parent.rglob("*") if path.is_file()}

    def call() -> dict:
        for path, content in files.items():
            path.write_bytes(content)
        found: dict = json.loads(files[place])
        return found

    return call


@pytest.fixture
def survives(place: Path, networks: dict[str, Measurement]) -> Callable[..., None]:
    """Judge a network by the baseline and tell the result in every form, or be refused in one line."""

    def call(name: str, partial: bool) -> None:
        judged, refused = [], None
        try:
            judged = [compared(name, networks[name], read_baseline(place)[0], place, lambda gate: gate, partial)]
        except SnnError as problem:
            refused = problem
        if refused is not None:
            assert refused.exit_status in (2, 4)
            assert len(str(refused).splitlines()) == 1
            return
        json.dumps(as_document(judged, str(place), False), allow_nan=False)
        ET.fromstring(as_junit(judged, True))  # noqa: S314 - our own
        told = [as_text(judged, True), as_markdown(judged, True), *annotations(judged, place)]
        assert all(text.encode() for text in told)

    return call


def spots(part: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container of a document, with every key of it."""
    for key in list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        yield part, key
        yield from spots(part[key])


@FUZZED
@given(st.data())
def test_whatever_stands_in_a_baseline(place: Path, fresh: Callable, survives: Callable, data: st.DataObject) -> None:
    document = fresh()
    network = data.draw(st.sampled_from(document["models"]))
    name, file = network["name"], place.parent / network["predictions"]["path"]
    for _ in range(data.draw(st.integers(1, 3))):
        part, key = data.draw(st.sampled_from([*spots(data.draw(st.sampled_from([document, network])))]))
        if data.draw(st.booleans()):
            part[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
        else:
            del part[key]
    place.write_text(json.dumps(document))
    if data.draw(st.booleans()):
        file.unlink()
    survives(name, data.draw(st.booleans()))


@FUZZED
@given(st.data())
def test_whatever_stands_in_predictions(place: Path, fresh: Callable, survives: Callable, data: st.DataObject) -> None:
    document = fresh()
    entry = data.draw(st.sampled_from(document["models"]))
    file = place.parent / entry["predictions"]["path"]
    with np.load(file) as stored:
        arrays = dict(stored)
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = arrays[name]
    changes: dict[str, Callable[[], Any]] = {
        "gone": lambda: None,
        "fewer": lambda: array[:-1],
        "none": lambda: array[:0],
        "flat": array.ravel,
        "narrow": lambda: array[..., :0],
        "deep": lambda: array[None],
        "scalar": lambda: np.array(1),
        "real": lambda: np.zeros(array.shape),
        "unsigned": lambda: np.full(array.shape, 2**64 - 1, np.uint64),
        "negative": lambda: np.full(array.shape, -1),
        "text": lambda: np.full(array.shape, "é"),
        "empty text": lambda: np.zeros(array.shape, "S0"),
        "doubled": lambda: np.concatenate([array, array]),
        "swapped": lambda: array[::-1],
        "complex": lambda: np.zeros(array.shape, complex),
    }
    if data.draw(st.booleans()):
        arrays[name] = data.draw(st.sampled_from([*changes.values()]))()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{each: value for each, value in arrays.items() if value is not None})
    file.write_bytes(buffer.getvalue())
    entry["predictions"]["sha256"] = digest(buffer.getvalue())
    if data.draw(st.booleans()):
        entry["gate"]["steps"], entry["steps"] = [], [{**row, "t": row["t"] * 4} for row in entry["steps"]]
    place.write_text(json.dumps(document))
    survives(entry["name"], data.draw(st.booleans()))
