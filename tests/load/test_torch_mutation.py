"""Hostile archives by the dozen: sound ones, mutated. What comes of them is a model or one refusal."""

from collections.abc import Callable, Sized
from pathlib import Path
from typing import Literal, NamedTuple

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


class Mutation(NamedTuple):
    """Places are fractions of a content: what is drawn does not depend on what it is done to."""

    what: Literal["flip", "cut", "splice"]
    member: float
    places: list[tuple[float, int]]  # and the bit to flip there
    added: bytes
    removed: int

    def of(self, content: bytes) -> bytes:
        place = at(content, self.places[0][0])
        if self.what == "cut":
            return content[:place]
        if self.what == "splice":
            return content[:place] + self.added + content[place + self.removed :]
        changed = bytearray(content)
        for where, bit in self.places if content else ():
            changed[at(content, where)] ^= 1 << bit
        return bytes(changed)


def at(within: Sized, fraction: float) -> int:
    return int(fraction * len(within))


def mutated(sound: bytes, mutation: Mutation, members: dict[str, bytes], edit: Callable[..., bytes]) -> bytes:
    """A sound archive again, so that the mutation reaches what is inside of it."""
    name = list(members)[at(members, mutation.member)]
    return edit(sound, {name: mutation.of(members[name])})


FRACTIONS = st.floats(0, 1, exclude_max=True)
MUTATIONS = st.builds(
    Mutation,
    what=st.sampled_from(["flip", "cut", "splice"]),
    member=FRACTIONS,
    places=st.lists(st.tuples(FRACTIONS, st.integers(0, 7)), min_size=1, max_size=4),
    added=st.binary(max_size=9),
    removed=st.integers(0, 9),
)


@FUZZ
@given(MUTATIONS)
def test_mutated_script_is_a_model_or_one_refusal(scripted: bytes, mutation: Mutation) -> None:
    survive(mutation.of(scripted))


@FUZZ
@given(MUTATIONS)
def test_mutated_member_of_a_script_is_a_model_or_one_refusal(
    scripted: bytes, edit_archive: Callable[..., bytes], mutation: Mutation
) -> None:
    members = read_archive(PATH, scripted).items()
    read = {
        name: content for name, content in members if name.endswith((".py", ".pkl", "version")) and "debug" not in name
    }
    survive(mutated(scripted, mutation, read, edit_archive))


@settings(FUZZ, max_examples=40)
@given(MUTATIONS)
def test_mutated_program_is_a_model_or_one_refusal(exported: bytes, mutation: Mutation) -> None:
    survive(mutation.of(exported))


@settings(FUZZ, max_examples=25)
@given(MUTATIONS)
def test_mutated_graph_of_a_program_is_a_model_or_one_refusal(
    exported: bytes, edit_archive: Callable[..., bytes], mutation: Mutation
) -> None:
    graphs = {name: content for name, content in read_archive(PATH, exported).items() if name.endswith(".json")}
    survive(mutated(exported, mutation, graphs, edit_archive))
