"""Event recordings: what is counted where, and what is refused."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from snnconvert.data import Preprocessing, batches, open_dataset, sample_ids, samples_digest, select
from snnconvert.errors import DataError, OutputError, SnnError, UsageError

Save = Callable[..., Path]


def events(count: int, seed: int = 0, width: int = 5, height: int = 4) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.integers(0, width, count, np.uint16),
        "y": rng.integers(0, height, count, np.uint16),
        "t": np.sort(rng.integers(1000, 90_000, count)),
        "p": rng.integers(0, 2, count).astype(bool),
    }


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save an .npz file of 30 events in three recordings; arrays take the place of others, None leaves one out."""

    def call(name: str = "events.npz", count: int = 30, **other: Any) -> Path:
        offsets = np.array([0, 12, 12, count])  # the second is empty
        arrays = {**events(count), "offsets": offsets, "labels": np.array([2, 0, 1]), "sensor_size": [5, 4, 2], **other}
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return call


def test_frames_count_events_by_step_polarity_and_pixel(save: Save) -> None:
    """Against a loop that does the obvious."""
    dataset, told, steps = open_dataset(save()), events(30), 7
    assert (dataset.kind, len(dataset), dataset.labels.tolist()) == ("event recordings", 3, [2, 0, 1])
    assert dataset.recordings is not None
    for recording, (start, stop) in enumerate([(0, 12), (12, 12), (12, 30)]):
        expected = np.zeros((steps, 2, 4, 5), int)
        times = told["t"][start:stop].tolist()
        for i in range(start, stop):
            step = min((told["t"][i] - times[0]) * steps // (times[-1] - times[0]), steps - 1)
            expected[step, int(told["p"][i]), told["y"][i], told["x"][i]] += 1
        np.testing.assert_array_equal(dataset.recordings.frames(recording, steps), expected)
        np.testing.assert_array_equal(dataset.sample(recording), expected.sum(0))
        assert dataset.origin(recording).endswith(f"events.npz: recording {recording}")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(-1e6, 1e6), st.integers(-1, 1)), max_size=40))
def test_no_event_is_lost_or_counted_twice(listed: list[tuple[int, int, float, int]]) -> None:
    from snnconvert.data.recordings import Recordings

    columns = tuple(np.array([each[axis] for each in listed], kind) for axis, kind in enumerate("iidi"))
    for polarities in (1, 2):
        recordings = Recordings("", (polarities, 3, 4), columns, (0, len(listed)))
        whole = recordings.frames(0, 1)
        assert whole.sum() == len(listed)
        for steps in (2, 5):
            frames = recordings.frames(0, steps)
            np.testing.assert_array_equal(frames.sum(0), whole[0])
            if listed:
                assert frames[0].any()
                assert frames[-1].any() or len(set(columns[2])) == 1


def test_what_arrives_in_each_step_has_the_sample_for_its_mean(save: Save) -> None:
    dataset, preprocessing = open_dataset(save()), Preprocessing.parse("scale=1/4,std=0.5/2")
    ((_, whole),) = batches(dataset, range(3), preprocessing, (2, 4, 5), 8)
    ((_, parts),) = batches(dataset, range(3), preprocessing, (2, 4, 5), 8, steps=8)
    assert parts.shape == (3, 8, 2, 4, 5)
    np.testing.assert_array_equal(parts.mean(1), whole)
    assert whole[0].any()
    assert not whole[1].any()


def test_without_offsets_there_is_one_and_its_events_tell_the_sensor(save: Save) -> None:
    path = save(offsets=None, labels=None, sensor_size=None)
    dataset = open_dataset(path)
    assert (len(dataset), dataset.labels) == (1, None)
    told = events(30)
    assert dataset.sample(0).shape == (2, told["y"].max() + 1, told["x"].max() + 1)


def test_classes_are_folders_of_recordings(save: Save, tmp_path: Path) -> None:
    for name in ("cat/b.npz", "cat/a.npz", "dog/c.npz"):
        save(f"set/{name}", offsets=None, labels=None, count=10 + len(name))
    dataset = open_dataset(tmp_path / "set")
    assert dataset.classes == ("cat", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 0, 1]
    assert [Path(dataset.origin(i)).name for i in range(3)] == ["a.npz", "b.npz", "c.npz"]
    assert dataset.sample(2).sum() == 19
    assert len(sample_ids(dataset, range(3))) == 3
    before = samples_digest(str(tmp_path / "set"))
    save("set/dog/c.npz", offsets=None, labels=None, count=18)
    assert samples_digest(str(tmp_path / "set")) != before


def test_one_set_is_split_as_images_are(save: Save) -> None:
    calib, evaluation = select((str(save()), None), (None, None), 0, Preprocessing(), (2, 4, 5))
    assert len(calib) + len(evaluation) == 3
    assert calib.in_time(4).first(1).shape == (1, 4, 2, 4, 5)
    assert calib.first(1).shape == (1, 2, 4, 5)


BAD = [
    ({"p": None}, "E203", "which array holds the samples"),
    ({"x": np.zeros(29, int)}, "E204", r"got x \(29,\), y \(30,\)"),
    ({"x": np.zeros(30)}, "E204", "x: got values of type float64"),
    ({"p": np.full(30, 2)}, "E204", "recording 0: p: got 2, expected -1 to 1"),
    ({"x": np.full(30, 5)}, "E204", "recording 0: x: got 5, expected 0 to 4"),
    ({"y": np.full(30, -1)}, "E204", "recording 0: y: got -1, expected 0 to 3"),
    ({"t": np.full(30, np.nan)}, "E204", "recording 0: t: got NaN"),
    ({"offsets": np.array([0, 40])}, "E204", "offsets: expected rising whole numbers from 0 to 30"),
    ({"offsets": np.array([0, 20, 10, 30])}, "E204", "offsets"),
    ({"offsets": np.array([0, 20, 10, 30], np.uint64)}, "E204", "offsets"),
    ({"offsets": np.array([0.0, 30.0])}, "E204", "offsets"),
    ({"offsets": np.zeros((2, 2), int)}, "E204", "offsets"),
    ({"labels": np.array([1, 2])}, "E204", "2 labels, expected 3"),
    ({"sensor_size": np.array([5, 4])}, "E204", "sensor_size"),
    ({"sensor_size": np.array([5, 4, 3])}, "E204", "sensor_size"),
    ({"sensor_size": np.array([10**6, 4, 2])}, "E204", "sides from 1 to 4096"),
    ({"sensor_size": np.array([0, 4, 2])}, "E204", "sides from 1"),
]


@pytest.mark.parametrize(
    ("other", "code", "told"), BAD, ids=[f"{next(iter(each[0]))}-{n}" for n, each in enumerate(BAD)]
)
def test_what_does_not_fit_is_refused(save: Save, other: dict[str, Any], code: str, told: str) -> None:
    with pytest.raises(SnnError, match=told) as refusal:
        open_dataset(save(**other)).sample(0)
    assert refusal.value.code == code


def test_frames_that_would_fill_memory_are_refused(save: Save) -> None:
    dataset = open_dataset(save(sensor_size=np.array([4096, 4096, 2])))
    assert dataset.recordings is not None
    with pytest.raises(DataError, match=r"E204.*64 frames of \(2, 4096, 4096\) are more than"):
        dataset.recordings.frames(0, 64)


def test_folders_of_recordings_that_do_not_fit_are_refused(save: Save, tmp_path: Path) -> None:
    save("set/a/1.npz", sensor_size=None)
    with pytest.raises(DataError, match=r"E203.*no array 'sensor_size'"):
        open_dataset(tmp_path / "set")
    save("set/a/1.npz")
    save("set/a/2.npz", sensor_size=[6, 4, 2])
    save("set/a/3.npz", x=None)
    (tmp_path / "set/a/4.npz").write_bytes(b"PK\x03\x04 and nothing more")
    dataset = open_dataset(tmp_path / "set")
    for i, told in ((1, "E204.*2.npz: got a sensor"), (2, "E203.*no array 'x'"), (3, "E203|E202")):
        with pytest.raises(DataError, match=told):
            dataset.sample(i)
    (tmp_path / "set" / "b").mkdir()
    with pytest.raises(DataError, match=r"E201.*a class folder without recordings"):
        open_dataset(tmp_path / "set")


def test_only_recordings_have_steps(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(UsageError, match=r"E003.*npz: no event recordings"):
        list(batches(open_dataset(tmp_path / "images.npz"), [0], Preprocessing(), (4, 5), 1, steps=4))


def nmnist(count: int, seed: int = 0) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """Return a file as the description of N-MNIST has it: 40 bits an event, x, y, polarity and 23 bits of time."""
    told = events(count, seed, 34, 34)
    rows = np.stack(
        [
            told["x"],
            told["y"],
            told["p"].astype(int) << 7 | told["t"] >> 16,
            told["t"] >> 8 & 255,
            told["t"] & 255,
        ],
        axis=1,
    )
    return rows.astype(np.uint8).tobytes(), told


def test_nmnist_is_read_by_tonic(tmp_path: Path) -> None:
    pytest.importorskip("tonic.io", reason="tonic is not installed")
    for label, seed in (("0", 1), ("1", 2)):
        (tmp_path / "Test" / label).mkdir(parents=True)
        (tmp_path / "Test" / label / "00003.bin").write_bytes(nmnist(50, seed)[0])
    dataset = open_dataset(f"{tmp_path}:Test")
    for i, seed in enumerate((1, 2)):
        told = nmnist(50, seed)[1]
        expected = np.zeros((2, 34, 34), int)
        np.add.at(expected, (told["p"].astype(int), told["y"], told["x"]), 1)
        np.testing.assert_array_equal(dataset.sample(i), expected)
    (tmp_path / "Train").mkdir()
    with pytest.raises(UsageError, match=r"E001.*which part"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"), [(b"1234", "expected 5 for each event"), (b"\0\xf0\0\0\0" * 1001, "clock runs over")]
)
def test_broken_recordings_of_nmnist_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    pytest.importorskip("tonic.io", reason="tonic is not installed")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "1.bin").write_bytes(content)
    with pytest.raises(DataError, match=f"E202.*{told}"):
        open_dataset(tmp_path).sample(0)


def test_without_tonic_nmnist_is_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "1.bin").write_bytes(nmnist(5)[0])
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(OutputError, match=r"E404.*need tonic") as refusal:
        open_dataset(tmp_path).sample(0)
    assert refusal.value.hint is not None
    assert "snnconvert[events]" in refusal.value.hint
