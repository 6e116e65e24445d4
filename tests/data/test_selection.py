import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnconvert.data import Dataset, Preprocessing, Selection, open_dataset, sample_ids, select, shared
from snnconvert.data import samples as samples_module
from snnconvert.errors import DataError

Save = Callable[..., np.ndarray]
SHAPE = (3, 6, 5)
HINT = "--skip-bad N leaves out up to N images that cannot be read"


@pytest.fixture
def folder(tmp_path: Path, save_image: Save) -> Path:
    """Two class folders of ten images each; of `cat`, 2 is no image, 5 is cut short, 8 repeats 7."""
    for name in ("cat", "dog"):
        for number in range(10):
            save_image(tmp_path / "set" / name / f"{number}.png")
    cat = tmp_path / "set" / "cat"
    (cat / "2.png").write_text("text")
    (cat / "5.png").write_bytes((cat / "5.png").read_bytes()[:60])
    (cat / "8.png").write_bytes((cat / "7.png").read_bytes())
    return tmp_path / "set"


@pytest.fixture
def sound(folder: Path) -> Path:
    for number in (2, 5):
        (folder / "cat" / f"{number}.png").unlink()
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The image files that were decoded, as often as they were."""
    seen: list[Path] = []
    read = samples_module.read_image
    monkeypatch.setattr(samples_module, "read_image", lambda path: (seen.append(path), read(path))[1])
    return seen


def chosen(
    calib: Path, evaluation: Path | None = None, limits: tuple[int | None, int | None] = (None, None), **more: int
) -> tuple[Selection, Selection]:
    other = None if evaluation is None else str(evaluation)
    return select((str(calib), limits[0]), (other, limits[1]), 0, Preprocessing.parse("scale=1/255"), SHAPE, **more)


def inputs(selection: Selection, size: int = 4) -> np.ndarray:
    return np.concatenate(list(selection.batches(size, lambda _: None)))


# bad images


@pytest.mark.parametrize("workers", [1, 3])
def test_first_bad_image_is_refused_by_name(folder: Path, workers: int) -> None:
    with pytest.raises(DataError, match=r"E202.*cat/2\.png: cannot be read") as caught:
        chosen(folder, workers=workers)
    assert caught.value.hint == HINT
    calib, _ = chosen(folder, folder, workers=workers)  # which are read later
    for use in (lambda: calib.ids, lambda: inputs(calib), lambda: calib.first(3)):
        with pytest.raises(DataError, match=r"E202.*cat/2\.png: cannot be read") as caught:
            use()
        assert caught.value.hint == HINT


def test_first_image_that_tells_the_layout_may_be_bad(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError) as caught:
        chosen(tmp_path, tmp_path)[0].layout  # noqa: B018
    assert caught.value.message == f"{tmp_path}/a.png: cannot be read: no PNG, JPEG, BMP, WEBP"
    assert caught.value.hint == HINT


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("two", [False, True])
def test_one_bad_image_more_than_may_be_skipped_is_refused(folder: Path, workers: int, two: bool) -> None:
    with pytest.raises(DataError, match=r"E202.*cat/5\.png: cannot be read") as caught:
        chosen(folder, folder if two else None, workers=workers, skip_bad=1)
    assert caught.value.hint == HINT


@pytest.mark.parametrize("workers", [1, 3])
def test_skipped_images_are_named_and_left_out_before_samples_are_chosen(folder: Path, workers: int) -> None:
    calib, evaluation = chosen(folder, skip_bad=2, workers=workers)
    start = [f"{folder}/cat/{number}.png: cannot be read: " for number in (2, 5)]
    assert [text.startswith(name) for text, name in zip(calib.skipped, start, strict=True)] == [True, True]
    assert evaluation.skipped == ()  # one set, told once
    kept = [index for index in range(20) if index not in (2, 5)]
    assert sorted([*calib.indices, *evaluation.indices]) == kept
    few, others = chosen(folder, limits=(3, 4), skip_bad=2, workers=workers)
    assert (len(few), len(others), few.skipped) == (3, 4, calib.skipped)
    assert set(few.indices) < set(calib.indices)
    assert set(others.indices) < set(evaluation.indices)


def test_labels_ids_and_inputs_stay_with_their_image(folder: Path) -> None:
    dataset = open_dataset(folder)
    for part in chosen(folder, skip_bad=5):
        assert part.labels.tolist() == [0 if "/cat/" in dataset.files[index] else 1 for index in part.indices]
        assert part.ids == sample_ids(dataset, part.indices)
        expected = [part.preprocessing(dataset.sample(index), SHAPE) for index in part.indices]
        np.testing.assert_array_equal(inputs(part), expected)


def test_skipping_chooses_as_if_the_bad_images_were_not_there(folder: Path) -> None:
    skipping = [part.ids for part in chosen(folder, skip_bad=2)]
    for number in (2, 5):
        (folder / "cat" / f"{number}.png").unlink()
    assert [part.ids for part in chosen(folder)] == skipping


def test_each_of_two_sets_tells_its_own(folder: Path, sound: Path, tmp_path: Path, save_image: Save) -> None:
    save_image(tmp_path / "other" / "a.png")
    (tmp_path / "other" / "b.png").write_text("text")
    calib, evaluation = chosen(sound, tmp_path / "other", skip_bad=1)
    assert calib.skipped == ()
    assert [text.partition(":")[0] for text in evaluation.skipped] == [f"{tmp_path}/other/b.png"]
    assert evaluation.indices.tolist() == [0]


def test_set_of_bad_images_only_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"E201.*none of 2 images can be read") as caught:
        chosen(tmp_path, tmp_path, skip_bad=9)
    assert "a.png" in caught.value.hint


def test_image_of_another_size_is_not_skipped(sound: Path, save_image: Save) -> None:
    save_image(sound / "dog" / "0.png", (9, 9, 3))
    calib, _ = chosen(sound, sound, skip_bad=9)
    with pytest.raises(DataError, match=r"E204.*dog/0\.png: samples do not fit"):
        inputs(calib)


def test_without_skipping_no_pass_is_made(folder: Path, reads: list[Path]) -> None:
    chosen(folder, folder, limits=(3, 3))
    assert reads == []


# streaming


def test_results_do_not_depend_on_the_workers(sound: Path) -> None:
    expected = [(part.ids, part.indices.tolist(), inputs(part).tobytes()) for part in chosen(sound)]
    for workers in (0, 2, 7):
        parts = chosen(sound, workers=workers)
        for size in (1, 5, 100):
            found = [(part.ids, part.indices.tolist(), inputs(part, size).tobytes()) for part in parts]
            assert found == expected


def test_every_image_is_decoded_once_for_its_id_and_once_for_use(sound: Path, reads: list[Path]) -> None:
    calib, evaluation = chosen(sound, skip_bad=3)
    assert len(reads) == 18
    assert len({*calib.ids, *evaluation.ids}) == 18  # one repeats another, and is numbered
    assert len(reads) == 18
    inputs(calib)
    inputs(evaluation)
    assert sorted(reads) == sorted(2 * [Path(file) for file in calib.dataset.files])


def test_images_are_decoded_when_their_batch_is_asked_for(sound: Path, reads: list[Path]) -> None:
    calib, _ = chosen(sound, sound)
    stream = calib.batches(3, lambda _: None)
    for done in (3, 6):
        assert next(stream).shape == (3, *SHAPE)
        assert len(reads) == done


def test_batches_that_nobody_finishes_leave_no_thread(sound: Path) -> None:
    before = threading.active_count()
    calib, _ = chosen(sound, sound, workers=3)
    stream = calib.batches(2, lambda _: None)
    next(stream)
    assert threading.active_count() > before
    stream.close()
    assert threading.active_count() == before


def test_arrays_are_at_hand_without_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", np.arange(4 * 90, dtype=np.uint8).reshape(4, *SHAPE))
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread"))
    calib, evaluation = chosen(tmp_path / "x.npy", workers=4, skip_bad=2)
    assert len(inputs(calib)) == len(inputs(evaluation)) == 2
    assert chosen(tmp_path / "x.npy", tmp_path / "x.npy", skip_bad=2)[0].names is None  # none can be bad


# two sets


def test_samples_that_both_sets_have_are_counted(tmp_path: Path, save_image: Save) -> None:
    pixels = [save_image(tmp_path / "set" / f"{number}.png") for number in range(4)]
    np.save(tmp_path / "x.npy", np.stack([pixels[1], pixels[1], pixels[3], 255 - pixels[0]]))
    assert shared(*chosen(tmp_path / "set", tmp_path / "x.npy")) == 3
    assert shared(*chosen(tmp_path / "x.npy", tmp_path / "set")) == 2
    assert shared(*chosen(tmp_path / "set")) == 0


def test_one_class_folder_may_calibrate(tmp_path: Path, save_image: Save) -> None:
    save_image(tmp_path / "calib" / "cat" / "a.png")
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 6, 5, 3), np.uint8), labels=[0, 1])
    calib, _ = chosen(tmp_path / "calib", tmp_path / "x.npz")
    assert inputs(calib).shape == (1, *SHAPE)


def test_selection_needs_no_more_than_a_dataset() -> None:
    dataset = Dataset("x", "npy", array=np.zeros((3, 6, 5, 3), np.uint8))
    selection = Selection(dataset, np.array([2, 0]), Preprocessing(), SHAPE)
    assert (len(selection.ids), selection.skipped, selection.layout, selection.labels) == (2, (), "NHWC", None)
