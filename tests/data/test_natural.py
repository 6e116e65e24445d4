from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnconvert.data import Preprocessing, layout, natural_shape, open_dataset
from snnconvert.errors import DataError, UsageError

Save = Callable[..., np.ndarray]


def natural(path: Path, spec: str = "none") -> tuple[int, ...]:
    return natural_shape(str(path), Preprocessing.parse(spec))


def test_sample_that_cannot_be_prepared_is_named(tmp_path: Path, save_image: Save) -> None:
    save_image(tmp_path / "a.png", (4, 9, 3))
    with pytest.raises(DataError, match=r"E204.*a\.png: 9x4 pixels are fewer than crop=5"):
        natural(tmp_path, "crop=5")
    np.save(tmp_path / "x.npy", np.zeros((3, 7)))
    with pytest.raises(DataError, match=r"E204.*x\.npy: sample 0: resize and crop need images"):
        natural(tmp_path / "x.npy", "resize=3")
    with pytest.raises(UsageError, match="mean: got '2 values', expected 1 or 7"):
        natural(tmp_path / "x.npy", "mean=1/2")


def test_images_that_cannot_be_read_are_passed_over(tmp_path: Path, save_image: Save) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"E202.*a\.png: cannot be read"):
        natural(tmp_path)
    save_image(tmp_path / "c.png", (4, 9, 3))
    assert natural(tmp_path) == (3, 4, 9)


@pytest.mark.parametrize(
    ("stored", "dtype", "spec", "expected"),
    [
        ((7,), "f4", "none", (7,)),
        ((), "f4", "none", (1,)),
        ((9, 50), "f4", "none", (9, 50)),
        ((9, 50), "f4", "resize=6,crop=5", (1, 5, 5)),
        ((28, 27), "u1", "none", (1, 28, 27)),
        ((28, 28), "u1", "mean=1/2/3", (3, 28, 28)),
        ((28, 28), "u1", "bgr", (3, 28, 28)),
        ((8, 6, 3), "u1", "none", (3, 8, 6)),
        ((8, 6, 3), "f4", "none", (3, 8, 6)),
        ((8, 6, 1), "u1", "none", (1, 8, 6)),
        ((3, 8, 6), "f4", "none", (3, 8, 6)),
        ((1, 8, 6), "f4", "none", (1, 8, 6)),
        ((5, 8, 6), "f4", "none", (5, 8, 6)),
        ((2, 3, 4, 5), "f4", "none", (2, 3, 4, 5)),
        ((30, 40, 3), "u1", "resize=20", (3, 20, 26)),
        ((30, 40, 3), "u1", "resize=20,crop=16", (3, 16, 16)),
        ((3, 40, 30), "f4", "resize=20", (3, 26, 20)),
    ],
)
def test_shape_of_arrays(tmp_path: Path, stored: tuple[int, ...], dtype: str, spec: str, expected: tuple) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, *stored), dtype))
    assert natural(tmp_path / "x.npy", spec) == expected


@pytest.mark.parametrize(("size", "expected"), [((40, 30, 3), (3, 40, 30)), ((40, 30), (1, 40, 30))])
def test_shape_of_image_files(tmp_path: Path, save_image: Save, size: tuple[int, ...], expected: tuple) -> None:
    save_image(tmp_path / "cat" / "a.png", size)
    assert natural(tmp_path) == expected
    assert natural(tmp_path, "imagenet") == (3, 224, 224)


def test_shape_of_a_part(mnist_folder: Path) -> None:
    assert natural(f"{mnist_folder}:train") == (1, 4, 4)


sides = st.integers(2, 9).filter(lambda side: side != 3)
specs = st.sampled_from(
    ["none", "scale=1/255,mean=1,std=2", "mean=1/2/3", "bgr", "resize=8", "resize=7,crop=5", "crop=2"]
)
shapes = st.one_of(
    st.tuples(sides),
    st.tuples(sides, sides),
    st.tuples(sides, sides, st.sampled_from([1, 3])),
    st.tuples(st.sampled_from([1, 3, 4]), sides, sides),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes, specs, st.sampled_from(["u1", "f4"]))
def test_samples_fit_their_natural_shape(tmp_path: Path, stored: tuple[int, ...], spec: str, dtype: str) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (3, *stored)).astype(dtype)
    (tmp_path / "x.npy").unlink(missing_ok=True)
    np.save(tmp_path / "x.npy", samples)
    preprocessing = Preprocessing.parse(spec)
    try:
        shape = natural(tmp_path / "x.npy", spec)
    except (DataError, UsageError):
        shape = None
    if shape is None:
        assert spec != "none"
        assert len(stored) < 3 or 3 not in (stored[0], stored[-1]) or "crop" in spec
        return
    x = preprocessing.many(open_dataset(tmp_path / "x.npy").array, shape)
    assert x.shape == (3, *shape)
    if spec == "none":  # nothing is lost, nothing read otherwise than it is stored
        last = layout(stored, shape) == "NHWC"
        np.testing.assert_array_equal(x.transpose(0, 2, 3, 1) if last else x.reshape(samples.shape), samples)


def test_shape_of_the_real_sets(shared_data: Path) -> None:
    assert natural(f"{shared_data}/mnist:test") == (1, 28, 28)
    assert natural(shared_data / "cifar10" / "test.npz") == (3, 32, 32)
    assert natural(shared_data / "imagenet", "imagenet") == (3, 224, 224)
