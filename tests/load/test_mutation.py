"""Hostile files by the dozen: a sound model, mutated. Whatever comes of it, it is a network or one SnnError, soon."""

import importlib.util
import math
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnconvert.errors import InternalError, SnnError
from snnconvert.load import load_model

SPEC = importlib.util.spec_from_file_location("mutations", Path(__file__).parents[1] / "mutations.py")
assert SPEC is not None
assert SPEC.loader is not None
mutations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutations)

LIMIT = 5.0  # seconds
CONTENTS = {name: model().SerializeToString() for name, model in mutations.MODELS.items()}
FUZZ = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated")
    (folder / mutations.DATA).write_bytes(mutations.external_data())
    return folder / "net.onnx"


def survive(path: Path, content: bytes) -> None:
    """Load and run what may be anything."""
    path.write_bytes(content)
    start = time.process_time()
    try:
        loaded = load_model(path)
        if math.prod(loaded.graph.input_shape) < 10_000:
            loaded.compare(mutations.noise(2, *loaded.graph.input_shape))
    except SnnError as refusal:
        if isinstance(refusal, InternalError) or not refusal.code.startswith("E1"):
            raise
    assert time.process_time() - start < LIMIT
    assert {each.name for each in path.parent.iterdir()} == {path.name, mutations.DATA}


@pytest.mark.parametrize("name", CONTENTS)
def test_unchanged_model_is_loaded(path: Path, name: str) -> None:
    path.write_bytes(CONTENTS[name])
    loaded = load_model(path)
    assert len(loaded.graph.nodes) == 10
    assert loaded.compare(mutations.noise(3, 2, 6, 6)).max_error < 1e-5


def test_all_models_are_the_same_network(path: Path) -> None:
    outputs = []
    for content in CONTENTS.values():
        path.write_bytes(content)
        outputs.append(load_model(path).reference.run(mutations.noise(3, 2, 6, 6)))
    assert all(np.array_equal(outputs[0], output) for output in outputs)


@pytest.mark.parametrize("name", CONTENTS)
@FUZZ
@given(random=st.randoms(use_true_random=False))
def test_mutated_model_is_loaded_or_refused(path: Path, name: str, random: Random) -> None:
    survive(path, mutations.mutated_onnx(CONTENTS[name], random))


@pytest.mark.parametrize("kind", [*mutations.BYTES, *mutations.FIELDS])
def test_every_mutation_changes_something(kind: str) -> None:
    content = CONTENTS["operators"]
    found = set()
    for seed in range(5):
        if kind in mutations.BYTES:
            found.add(mutations.BYTES[kind](content, Random(seed)))
        else:
            model = mutations.sound()
            mutations.FIELDS[kind](model, Random(seed))
            found.add(model.SerializeToString())
    assert len(found - {content}) > 1
