"""Hostile archives by the dozen: sound ones, mutated. What comes of them is a model or one refusal."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnconvert.errors import SnnError
from snnconvert.load.archive import read_archive
from snnconvert.load.asked import Asked
from snnconvert.load.torch_model import read_torch

PATH = Path("net.pt")
ASKED = Asked(input_shape=(2, 8, 8))
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def survive(content: bytes) -> None:
    """Convert what may be anything."""
    try:
        told = str(len(read_torch(PATH, content, ASKED).to_onnx()))
        status = 3
    except SnnError as refusal:
        told, status = refusal.message, refusal.exit_status
    assert status == 3
    assert len(told.splitlines()) == 1


# what is wrapped once more is a sound archive again, so that the mutation reaches what is inside of it
def mutated(content: bytes, data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(content)))
    what = data.draw(st.sampled_from(["flip", "cut", "splice"]))
    if what == "cut":
        return content[:place]
    if what == "splice":
        return content[:place] + data.draw(st.binary(max_size=9)) + content[place + data.draw(st.integers(0, 9)) :]
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4)) if content else 0):
        changed[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    return bytes(changed)


@FUZZ
@given(st.data())
def test_mutated_script_is_a_model_or_one_refusal(scripted: bytes, data: st.DataObject) -> None:
    survive(mutated(scripted, data))


@FUZZ
@given(st.data())
def test_mutated_member_of_a_script_is_a_model_or_one_refusal(
    scripted: bytes, edit_archive: Callable[..., bytes], data: st.DataObject
) -> None:
    members = read_archive(PATH, scripted)
    read = [name for name in members if name.endswith((".py", ".pkl", "version")) and "debug" not in name]
    name = data.draw(st.sampled_from(read))
    survive(edit_archive(scripted, {name: mutated(members[name], data)}))


@settings(FUZZ, max_examples=40)
@given(st.data())
def test_mutated_program_is_a_model_or_one_refusal(exported: bytes, data: st.DataObject) -> None:
    survive(mutated(exported, data))


@settings(FUZZ, max_examples=25)
@given(st.data())
def test_mutated_graph_of_a_program_is_a_model_or_one_refusal(
    exported: bytes, edit_archive: Callable[..., bytes], data: st.DataObject
) -> None:
    members = read_archive(PATH, exported)
    name = data.draw(st.sampled_from([name for name in members if name.endswith(".json")]))
    survive(edit_archive(exported, {name: mutated(members[name], data)}))
