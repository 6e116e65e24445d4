"""Broken bytes end in a DataError, never in another exception, whatever was broken."""

import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.data import open_dataset
from snnconvert.data.formats import read_npy, read_npz
from snnconvert.errors import DataError

ARRAYS = ("a.npy", "stored.npz", "packed.npz", "images-idx3-ubyte", "images-idx3-ubyte.gz", "test_batch.bin")
IMAGES = ("a.png", "a.jpg", "a.bmp", "a.webp")
SEEDS = 250


def refused(path: Path) -> bool:
    """Open a set and read all of it; tell whether that was refused, and be sure that it was refused well."""
    try:
        dataset = open_dataset(path)
        for i in range(min(len(dataset), 100)):
            dataset.sample(i)
    except DataError as error:
        refusal = error
    else:
        return False
    assert refusal.code in ("E201", "E202", "E203", "E204")
    assert "\n" not in str(refusal)
    assert str(path) in refusal.message
    return True


def test_every_format_is_broken_here(mutations: ModuleType) -> None:
    assert set(mutations.sound_files()) == {*ARRAYS, *IMAGES, "labels.csv"}


@pytest.mark.parametrize("name", [*ARRAYS, *IMAGES, "labels.csv"])
def test_broken_file_raises_only_data_errors(mutations: ModuleType, tmp_path: Path, name: str) -> None:
    whole = mutations.sound_files()
    place = tmp_path / name
    for image in ("a.png", "a.jpg") if name == "labels.csv" else ():
        (tmp_path / image).write_bytes(whole[image])
    path = tmp_path if name in (*IMAGES, "labels.csv") else place
    place.write_bytes(whole[name])
    assert not refused(path)
    outcomes = []
    for seed in range(SEEDS):
        place.unlink()  # what is mapped may not change under the map
        place.write_bytes(mutations.mutated(name, whole[name], seed))
        outcomes.append(refused(path))
    assert any(outcomes)


@pytest.mark.parametrize(("name", "read"), [("a.npy", read_npy), ("stored.npz", read_npz), ("packed.npz", read_npz)])
def test_reader_that_is_told_the_format_raises_only_data_errors(
    mutations: ModuleType, tmp_path: Path, name: str, read: object
) -> None:
    whole = mutations.sound_files()[name]
    for seed in range(SEEDS):
        path = tmp_path / str(seed)
        path.write_bytes(mutations.mutated(name, whole, seed + 10_000))
        try:
            read(path)
        except DataError as error:
            assert error.code == "E203"  # noqa: PT017 - reading may also succeed


def test_mutations_depend_on_the_seed_alone(mutations: ModuleType) -> None:
    for name, content in mutations.sound_files().items():
        assert [mutations.mutated(name, content, seed) for seed in range(20)] == [
            mutations.mutated(name, content, seed) for seed in range(20)
        ]
        assert len({mutations.mutated(name, content, seed) for seed in range(20)}) > 10


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet='file,class_index\n"\r./\0é1-', max_size=80))
def test_any_labels_table_raises_only_data_errors(text: str) -> None:
    for content in (text.encode(), b"file,class_index\n" + text.encode()):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "labels.csv").write_bytes(content)
            assert refused(Path(folder))
