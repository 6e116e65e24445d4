"""Files of predictions: what is refused, and what comes back."""

import io
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnconvert.gate.predictions import Predictions, read_npz


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


GOOD = {
    "id": np.array(["0" * 16, "1" * 16, "1" * 16 + "-1"]),
    "label": np.array([0, 1, 1]),
    "ann": np.array([0, 1, 2]),
    "steps": np.array([1, 4]),
    "snn": np.array([[0, 0], [1, 1], [2, 1]]),
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": np.array(["0" * 16, "1" * 16, "1" * 16])}, "each once"),
        ({"id": np.array(["../x", "1" * 16, "2" * 16])}, "names are not those of samples"),
        ({"id": np.array([1, 2, 3])}, "'id' has type int64"),
        ({"label": np.array([0.0, 1, 1])}, "values of type float64"),
        ({"label": np.array([0, 1])}, "do not fit"),
        ({"snn": np.zeros((3, 0), np.int32), "steps": np.zeros(0, np.int64)}, "no answers"),
        ({"steps": np.array([4, 1])}, "do not ascend"),
        ({"steps": np.array([0, 1])}, "do not ascend"),
        ({"snn": np.array([0, 1, 2])}, "'snn' has type"),
        ({"ann": np.array([{}, 1, 2], object)}, "values of type object"),
    ],
)
def test_arrays_that_are_no_predictions_are_refused(change: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_npz(npz(**{**GOOD, **change}))


def test_a_missing_array_is_named() -> None:
    with pytest.raises(ValueError, match="the array 'ann' is missing"):
        read_npz(npz(**{name: array for name, array in GOOD.items() if name != "ann"}))


def test_a_header_that_asks_for_more_than_there_is_takes_no_memory() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (2**40,)})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("id.npy", header.getvalue() + b"\0" * 8)
    with pytest.raises(ValueError, match="8 bytes of data, expected 8796093022208"):
        read_npz(archive.getvalue())


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnconvert.gate.predictions.MOST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"'id.npy' would expand to \d+ bytes"):
        read_npz(npz(id=np.zeros(10_000, "U16")))


def test_two_arrays_of_one_name_are_refused() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("id.npy", b"")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("id.npy", b"")
    with pytest.raises(ValueError, match="two arrays have one name"):
        read_npz(archive.getvalue())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_in_one_line_or_read(data: st.DataObject) -> None:
    content = bytearray(npz(**GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        told = f"{len(read_npz(bytes(content[: data.draw(st.integers(0, len(content)))])))} samples"
    except ValueError as problem:
        told = str(problem)
    assert len(told.splitlines()) == 1


def test_what_is_written_comes_back_and_equal_ones_give_equal_bytes(predict: Callable) -> None:
    predictions = predict(50, {8: [1, 2], 32: [3]}, ann_wrong=4)
    content = predictions.to_npz()
    found = read_npz(content)
    assert (found.ids, found.steps) == (predictions.ids, predictions.steps)
    for name in ("label", "ann", "snn"):
        np.testing.assert_array_equal(getattr(found, name), getattr(predictions, name))
    assert found.to_npz() == content
    assert len(content) < 50 * 16 + 1500


def test_digest_knows_samples_and_labels_but_not_their_order(predict: Callable) -> None:
    one = predict(20)
    back = Predictions(one.ids[::-1], one.label[::-1], one.ann[::-1], one.steps, one.snn[::-1])
    assert back.digest == one.digest
    assert back.of(one.ids).ids == one.ids
    assert predict(20, labelled=False).digest != one.digest
    assert predict(21).digest != one.digest


def test_without_labels_the_ann_tells_what_is_right(predict: Callable) -> None:
    unlabelled = predict(10, labelled=False, ann_wrong=3)
    assert unlabelled.truth is not None
    np.testing.assert_array_equal(unlabelled.truth, unlabelled.ann)
    unknown = Predictions(unlabelled.ids, unlabelled.label, unlabelled.ann * 0 - 1, unlabelled.steps, unlabelled.snn)
    assert unknown.truth is None
