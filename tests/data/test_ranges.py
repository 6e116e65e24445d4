from pathlib import Path

import numpy as np
import pytest

from snnconvert.data import Preprocessing, open_dataset, range_warning, select, value_range
from snnconvert.errors import DataError

UNIT = np.linspace(0, 1, 60, dtype=np.float32).reshape(5, 12)


def test_range_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="no values"):
        value_range(np.zeros(0))


def test_value_range_is_minimum_and_maximum() -> None:
    assert value_range(np.array([[3, -1], [0, 2]])) == (-1.0, 3.0)


def test_other_units_are_told_with_both_ranges() -> None:
    assert range_warning(UNIT, 255 * UNIT) == (
        "calibration samples lie from 0 to 1, evaluation samples from 0 to 255: are both stored in the same units?"
    )


@pytest.mark.parametrize(
    ("calib", "evaluation"),
    [
        (255 * UNIT, UNIT),
        (UNIT, 16 * UNIT),
        (2 * UNIT - 1, 255 * UNIT),
        ((UNIT - 0.45) / 0.22, (UNIT / 255 - 0.45) / 0.22),
        (UNIT, UNIT + 273.15),
        (UNIT, np.zeros((5, 12))),
        (np.zeros((5, 12)), np.ones((5, 12))),
    ],
)
def test_ranges_that_are_wildly_unlike_are_told(calib: np.ndarray, evaluation: np.ndarray) -> None:
    assert range_warning(calib, evaluation) is not None


@pytest.mark.parametrize(
    ("calib", "evaluation"),
    [
        (UNIT, UNIT),
        (UNIT, 0.2 * UNIT),
        (UNIT, 4 * UNIT - 2),
        (np.zeros((5, 12)), np.zeros((5, 12))),
        (UNIT, UNIT + 3),
    ],
)
def test_ranges_that_may_be_of_one_kind_are_not(calib: np.ndarray, evaluation: np.ndarray) -> None:
    assert range_warning(calib, evaluation) is range_warning(evaluation, calib) is None


@pytest.mark.parametrize(
    ("path", "spec", "shape"),
    [
        ("mnist:train", "scale=1/255", (1, 28, 28)),
        ("cifar10/test.npz", "scale=1/255,mean=0.485/0.456/0.406,std=0.229/0.224/0.225", (3, 32, 32)),
        ("imagenet", "imagenet", (3, 224, 224)),
    ],
)
def test_real_sets_raise_no_false_alarm(shared_data: Path, path: str, spec: str, shape: tuple[int, ...]) -> None:
    dataset = open_dataset(f"{shared_data}/{path}")
    prepared = [Preprocessing.parse(spec)(dataset.sample(i), shape) for i in range(96)]
    groups = [np.stack(prepared[start : start + 8]) for start in range(0, 96, 8)]
    assert [range_warning(left, right) for left in groups for right in groups] == [None] * 144


def test_pixels_against_numbers_from_0_to_1_are_told(shared_data: Path, tmp_path: Path) -> None:
    mnist = open_dataset(f"{shared_data}/mnist:test").array
    np.save(tmp_path / "unit.npy", mnist[:50].astype(np.float32) / 255)
    sets = ((str(tmp_path / "unit.npy"), None), (f"{shared_data}/mnist:test", 50))
    calib, evaluation = select(*sets, 0, Preprocessing.parse("scale=1/255"), (1, 28, 28))
    assert "0 to 0.003922, evaluation samples from 0 to 1:" in range_warning(calib.first(8), evaluation.first(8))
