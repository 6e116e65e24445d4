import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnconvert.data import Dataset, Preprocessing, batches, open_dataset, sample_id, sample_ids, split_half
from snnconvert.errors import DataError, UsageError


def array_dataset(array: np.ndarray) -> Dataset:
    return Dataset("data.npz", "npz", array=array)


def all_batches(dataset: Dataset, spec: str, shape: tuple[int, ...], size: int) -> np.ndarray:
    return np.concatenate([x for _, x in batches(dataset, range(len(dataset)), Preprocessing.parse(spec), shape, size)])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_value_that_is_not_finite_is_refused_by_name(bad: float) -> None:
    array = np.zeros((6, 4))
    array[4, 1:3] = bad
    with pytest.raises(DataError, match=r"data.npz: sample 4: 2 values are NaN or infinite") as caught:
        list(batches(array_dataset(array), [5, 4, 0], Preprocessing(), (4,), 2))
    assert caught.value.code == "E204"


def test_shape_that_does_not_fit_names_the_file(tmp_path: Path, save_image: Callable[..., np.ndarray]) -> None:
    with pytest.raises(DataError, match=r"data\.npz: samples do not fit .* got \(5,\), expected \(4,\)") as caught:
        list(batches(array_dataset(np.zeros((6, 5))), [0], Preprocessing(), (4,), 2))
    assert caught.value.code == "E204"
    save_image(tmp_path / "a.png", (4, 4))
    save_image(tmp_path / "b.png", (4, 4, 3))
    with pytest.raises(
        DataError, match=r"b\.png: samples do not fit .* got \(4, 4, 3\), expected \(1, 4, 4\)"
    ) as caught:
        list(batches(open_dataset(tmp_path), [0, 1], Preprocessing(), (1, 4, 4), 2))
    assert "grey" in caught.value.hint


def test_batch_size_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="batch size: got 0"):
        list(batches(array_dataset(np.zeros((6, 5))), [0], Preprocessing(), (5,), 0))


def test_unreadable_image_is_refused_by_name(tmp_path: Path, save_image: Callable[..., np.ndarray]) -> None:
    save_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("text")
    with pytest.raises(DataError, match=r"b\.png: cannot be read") as caught:
        list(batches(open_dataset(tmp_path), [0, 1], Preprocessing(), (3, 6, 5), 1))
    assert caught.value.code == "E202"


@pytest.mark.parametrize("spec", ["none", "scale=1/255,mean=0.4/0.5/0.6,std=0.2/0.3/0.4", "resize=6,crop=6,bgr"])
def test_batches_equal_single_samples_bit_for_bit(tmp_path: Path, spec: str, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (23, 8, 8, 3), np.uint8)
    np.save(tmp_path / "data.npy", images)
    dataset = open_dataset(tmp_path / "data.npy")
    side = 6 if "crop" in spec else 8
    alone = np.stack([Preprocessing.parse(spec)(image, (3, side, side)) for image in images])
    for size in (1, 5, 100):
        assert all_batches(dataset, spec, (3, side, side), size).tobytes() == alone.tobytes()


def test_batches_keep_the_order_that_was_asked_for() -> None:
    dataset = array_dataset(np.arange(10, dtype=np.uint8)[:, np.newaxis])
    seen = list(batches(dataset, np.array([7, 2, 2, 9, 0]), Preprocessing(), (1,), 2))
    assert [indices.tolist() for indices, _ in seen] == [[7, 2], [2, 9], [0]]
    assert [x.ravel().tolist() for _, x in seen] == [[7, 2], [2, 9], [0]]
    assert list(batches(dataset, [], Preprocessing(), (1,), 2)) == []


def test_grey_and_colour_files_mix_for_a_colour_model(tmp_path: Path, save_image: Callable[..., np.ndarray]) -> None:
    grey, colour = save_image(tmp_path / "a.png", (4, 4)), save_image(tmp_path / "b.png", (4, 4, 3))
    x = all_batches(open_dataset(tmp_path), "none", (3, 4, 4), 2)
    np.testing.assert_array_equal(x[0], np.stack([grey] * 3))
    np.testing.assert_array_equal(x[1], colour.transpose(2, 0, 1))


def test_id_is_the_documented_digest() -> None:
    sample = np.arange(6, dtype=np.uint8).reshape(2, 3)
    expected = hashlib.sha256(b"|u1" + b"(2, 3)" + bytes(range(6))).hexdigest()[:16]
    assert sample_id(sample) == expected
    assert sample_id(np.asfortranarray(sample)) == expected
    assert len({sample_id(sample), sample_id(sample.reshape(3, 2)), sample_id(sample.view(np.int8))}) == 3


def test_repeated_samples_are_numbered_in_order() -> None:
    dataset = array_dataset(np.array([[1], [2], [1], [1], [2]], np.uint8))
    one, two = sample_id(dataset.sample(0)), sample_id(dataset.sample(1))
    assert sample_ids(dataset, range(5)) == [one, two, f"{one}-1", f"{one}-2", f"{two}-1"]
    assert sample_ids(dataset, [3, 1]) == [one, two]


def test_id_does_not_depend_on_the_format(tmp_path: Path, save_image: Callable[..., np.ndarray]) -> None:
    pixels = save_image(tmp_path / "folder" / "a.png")
    np.savez(tmp_path / "data.npz", images=pixels[np.newaxis])
    assert sample_ids(open_dataset(tmp_path / "folder"), [0]) == sample_ids(open_dataset(tmp_path / "data.npz"), [0])


def test_ten_thousand_small_images_take_a_moment(rng: np.random.Generator) -> None:
    dataset = array_dataset(rng.integers(0, 256, (10_000, 32, 32, 3), np.uint8))
    start = time.process_time()
    for _ in batches(dataset, range(10_000), Preprocessing.parse("scale=1/255,mean=0.5,std=0.2"), (3, 32, 32), 250):
        pass
    split_half(sample_ids(dataset, range(10_000)), 0)
    assert time.process_time() - start < 5  # about 0.3 s on one quiet core
