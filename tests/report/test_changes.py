"""What changed from ANN to spiking network: counts, confusions, and samples to look at."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from snnconvert.data import Dataset, Preprocessing, Selection
from snnconvert.measure import Outcomes
from snnconvert.report.changes import SIDE, changes

ANN = [0, 1, 2, 0, 1, 2, 0]
SNN = [0, 2, 2, 1, 1, 0, 0]
TRUTH = [0, 1, 2, 1, 1, 1, 2]


def outcomes(classes: int | None = 3, labels: bool = True, ann: list[int] | None = None) -> Outcomes:
    found = Outcomes([2, 8], classes)
    snn = np.array([[0] * len(SNN), SNN], np.int32)
    truth = np.array(TRUTH, np.int64) if labels else None
    found.add(snn, np.zeros(2), np.zeros(2), np.array(ann or ANN, np.int32), truth)
    return found


def selection(samples: np.ndarray, classes: tuple[str, ...] | None = None) -> Selection:
    dataset = Dataset("x", "npz", None, classes, samples)
    return Selection(dataset, np.arange(len(samples))[::-1].copy(), Preprocessing(), samples.shape[1:])


PICTURES = np.random.default_rng(0).integers(0, 256, (7, 6, 4, 3)).astype(np.uint8)


def test_changes_are_counted() -> None:
    found = changes(outcomes(), selection(PICTURES, ("cat", "dog", "emu")))
    assert found is not None
    assert (found["t"], found["samples"], found["changed"]) == (8, 7, 3)
    assert [*found["both"].values()] == [3, 1, 1, 2]
    assert sum(found["both"].values()) == 7
    assert found["matrix"] == [[2, 1, 0], [0, 1, 1], [1, 0, 1]]
    assert {(each["ann"], each["snn"], each["count"]) for each in found["pairs"]} == {
        ("cat", "dog", 1),
        ("dog", "emu", 1),
        ("emu", "cat", 1),
    }
    first, *rest = found["shown"]
    assert (first["ann"], first["snn"], first["label"], first["place"]) == ("dog", "emu", "dog", 5)  # the ANN was right
    assert [each["place"] for each in rest] == [3, 1]  # places are in the set, which is chosen from back to front


def test_without_labels_or_classes_less_is_told() -> None:
    found = changes(outcomes(labels=False), selection(PICTURES))
    assert found is not None
    assert "both" not in found
    assert [each["label"] for each in found["shown"]] == [None] * 3
    assert changes(outcomes(classes=None), selection(PICTURES)) is None
    many = changes(outcomes(classes=40), selection(PICTURES))
    assert many is not None
    assert "matrix" not in many
    unknown = changes(outcomes(labels=False, ann=[-1] * 7), selection(PICTURES))
    assert unknown is not None
    assert unknown["changed"] == 0


@pytest.mark.parametrize(
    ("samples", "size"),
    [
        (PICTURES, (48, 72)),
        (PICTURES[..., 0], (48, 72)),
        (PICTURES[:, :, :, :1], (48, 72)),
        (np.moveaxis(PICTURES, -1, 1), (48, 72)),
        (PICTURES[..., 0].astype(np.float32) / 255, (48, 72)),
        (np.ones((7, 2, 5, 5), np.uint32), (72, 72)),  # events
        (np.zeros((7, 200, 100), np.uint8), (36, 72)),
        (np.ones((7, 1, 5, 5), np.float64), (72, 72)),
        (np.ones((7, 30)), None),
        (np.ones((7, 1, 30)), None),
        (np.ones((7, 4, 5, 6, 7)), None),
    ],
)
def test_pictures_are_made_of_what_is_one(samples: np.ndarray, size: tuple[int, int] | None) -> None:
    found = changes(outcomes(), selection(samples))
    assert found is not None
    picture = found["shown"][0]["picture"]
    if size is None:
        assert picture is None
        return
    head, _, content = picture.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == size
        assert max(image.size) == SIDE
        assert image.mode in ("L", "RGB")
    again: Any = changes(outcomes(), selection(samples))
    assert again == found


def test_dark_pictures_are_stretched() -> None:
    faint = np.zeros((7, 4, 4), np.uint8)
    faint[:, 1, 1] = 16
    found = changes(outcomes(), selection(faint))
    assert found is not None
    content = base64.b64decode(found["shown"][0]["picture"].partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        assert image.getextrema() == (0, 255)
