"""Accuracy, agreement, intervals and energy, against published and hand-computed numbers."""

from collections.abc import Sequence

import numpy as np
import pytest

from snnconvert.measure import Outcomes, top1, wilson

MACS = {"ann": 1, "snn_first_layer": 1, "snn_graded_per_step": 0}


@pytest.mark.parametrize(
    ("correct", "samples", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_is_the_published_one(correct: int, samples: int, low: float, high: float) -> None:
    assert wilson(correct, samples) == pytest.approx((low, high), abs=5e-5)


def test_interval_holds_its_fraction() -> None:
    for samples in (1, 2, 3, 7, 100, 598, 10_000):
        for correct in {0, 1, samples // 2, samples - 1, samples}:
            low, high = wilson(correct, samples)
            assert 0.0 <= low <= correct / samples <= high <= 1.0
    assert wilson(598, 598)[1] == 1.0
    assert wilson(0, 598)[0] == 0.0


def test_interval_is_symmetric() -> None:
    low, high = wilson(30, 100)
    assert wilson(70, 100) == pytest.approx((1 - high, 1 - low))


def test_interval_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_top1_of_classes_and_of_dense_outputs() -> None:
    np.testing.assert_array_equal(top1(np.array([[0.1, 0.9], [0.5, 0.5]])), [1, 0])  # the first of equals
    assert top1(np.zeros((2, 5, 3, 4))).shape == (2, 3, 4)
    assert top1(np.zeros((2, 5))).dtype == np.int32


def test_top1_of_one_output() -> None:
    logits = np.array([0.1, -0.1, 0.0])
    for shape in ((3,), (3, 1), (3, 1, 1, 1)):
        np.testing.assert_array_equal(top1(logits.reshape(shape), binary=True), [1, 0, 0])
    np.testing.assert_array_equal(top1(logits.reshape(3, 1)), [-1, -1, -1])
    np.testing.assert_array_equal(top1(logits.reshape(1, 1, 3), binary=True), [[1, 0, 0]])


def gathered(
    snn: Sequence[Sequence[int]],
    ann: Sequence[int],
    labels: Sequence[int] | None,
    cut: int,
) -> Outcomes:
    """Give answers at steps 2 and 8 in two batches."""
    outcomes = Outcomes((2, 8), 10)
    answers = np.array(snn, np.int32)
    for part in (slice(0, cut), slice(cut, None)):
        count = answers[:, part].shape[1]
        truth = None if labels is None else np.array(labels[part])
        totals = np.array([1.0, 4.0]) * count
        outcomes.add(answers[:, part], totals, 100 * totals, np.array(ann[part], np.int32), truth)
    return outcomes


def macs(ann: int, first_layer: int, graded: int = 0) -> dict[str, int]:
    return {"ann": ann, "snn_first_layer": first_layer, "snn_graded_per_step": graded}


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_answers_with_labels(cut: int) -> None:
    outcomes = gathered([[0, 1, 1, 3], [0, 1, 2, 2]], [0, 1, 2, 0], [0, 1, 2, 3], cut)
    outcomes.add_outputs(np.array([3.0, 0.5]), 6.0)
    outcomes.add_outputs(np.array([1.0, 0.5]), 10.0)
    found = outcomes.document(macs(200, 50, 5))
    assert (found["samples"], found["labelled"], found["ann"]) == (4, True, {"accuracy": 0.75})
    assert found["schedule"] == {"T": 8, "onset_delay": 0, "latency": 0}
    assert found["macs_per_sample"] == macs(200, 50, 5)
    first, last = found["steps"]
    assert (first["t"], first["total_steps"], last["t"]) == (2, 2, 8)
    assert (first["accuracy"], last["accuracy"]) == (0.75, 0.75)
    assert first["accuracy_ci95"] == list(wilson(3, 4))
    assert (first["agreement"], last["agreement"]) == (0.5, 0.75)
    assert (first["output_error"], last["output_error"]) == (0.5, 0.25)
    assert (first["spikes_per_sample"], last["spikes_per_sample"]) == (1.0, 4.0)
    assert (first["synops_per_sample"], last["synops_per_sample"]) == (100.0, 400.0)
    assert last["energy_ratio"] == pytest.approx((0.9 * 400 + 4.6 * (50 + 8 * 5)) / (4.6 * 200))


def test_answers_without_labels_have_agreement_only() -> None:
    found = gathered([[0, 1, 1], [0, 1, 2]], [0, 1, 2], None, 2).document(macs(1, 1))
    assert (found["labelled"], found["ann"]) == (False, {"accuracy": None})
    for row, agreement in zip(found["steps"], (2 / 3, 1.0), strict=True):
        assert row["accuracy"] is row["accuracy_ci95"] is row["output_error"] is None
        assert row["agreement"] == pytest.approx(agreement)


@pytest.mark.parametrize("ann", [[0, -1, 2], [-1, -1, -1]])
def test_where_answers_of_the_ann_are_unknown_nothing_is_compared_with_it(ann: list[int]) -> None:
    found = gathered([[0, 1, 1], [0, 1, 2]], ann, [0, 1, 1], 1).document(macs(1, 1))
    assert [row["accuracy"] for row in found["steps"]] == [1.0, pytest.approx(2 / 3)]
    assert found["ann"] == {"accuracy": None}
    assert [row["agreement"] for row in found["steps"]] == [None, None]


def test_dense_outputs_have_no_accuracy() -> None:
    outcomes = Outcomes((1,), None)
    snn = np.array([[[[0, 1], [2, 2]]]], np.int32)  # (steps, N, H, W)
    for ann in ([[[0, 1], [2, 0]]], [[[0, 0], [2, 0]]], [[[-1, -1], [-1, -1]]]):
        outcomes.add(snn, np.ones(1), np.ones(1), np.array(ann, np.int32), np.array([7]))
    found = outcomes.document(macs(1, 1))
    (row,) = found["steps"]
    assert (found["samples"], found["classes"]) == (3, None)
    assert (found["labelled"], found["ann"]) == (False, {"accuracy": None})
    assert (row["accuracy"], row["agreement"]) == (None, 5 / 8)
    assert (outcomes.snn.size, outcomes.ann.size, outcomes.labels) == (0, 0, None)


@pytest.mark.parametrize("shape", [(3, 1), (3, 1, 4, 5)])
def test_single_outputs_have_nothing_to_agree_on(shape: tuple[int, ...]) -> None:
    outcomes, output = Outcomes((1,), None), np.random.default_rng(0).random(shape)
    outcomes.add(top1(output)[None], np.ones(1), np.ones(1), top1(output), np.array([0, 1, 2]))
    outcomes.add_outputs(np.array([1.0]), 4.0)
    (row,) = outcomes.document(macs(1, 1))["steps"]
    assert (row["accuracy"], row["agreement"], row["output_error"]) == (None, None, 0.5)


def test_network_without_macs_has_no_energy_ratio() -> None:
    rows = gathered([[0, 1], [0, 1]], [0, 1], None, 1).document(macs(0, 0))["steps"]
    assert [row["energy_ratio"] for row in rows] == [None, None]
