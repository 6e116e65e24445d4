"""What a network is compared with, sample by sample, and what is said of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snnconvert.errors import DataError, UsageError
from snnconvert.gate.difference import Verdict
from snnconvert.gate.measurement import Measurement
from snnconvert.gate.predictions import Predictions
from snnconvert.gate.schema import Gate, Rails, Reach
from snnconvert.gate.verdict import Judgement, judge


@pytest.fixture
def compare(predict: Callable, measure: Callable) -> Callable[..., Judgement]:
    """Judge networks wrong on these samples at T = 32, of 1,000, before and now."""

    def call(before: list[int], now: list[int], gate: Gate | None = None, *, stored: bool = True) -> Judgement:
        old, new = predict(1000, {8: [], 32: before}), predict(1000, {8: [], 32: now})
        entry = measure(old).entry("net", Gate())
        return judge(entry, old if stored else None, measure(new), gate or Gate(), "b.json")

    return call


def only(judgement: Judgement) -> Any:
    (finding,) = judgement.findings
    return finding


def test_other_samples_are_refused(predict: Callable, measure: Callable) -> None:
    old = predict(1000)
    entry = measure(old).entry("net", Gate())
    for n, told in ((999, "1 of the 1000 samples .* are missing, 0 others"), (1001, "0 of the 1000 .*, 1 others")):
        with pytest.raises(DataError, match=told) as caught:
            judge(entry, old, measure(predict(n)), Gate(), "b.json")
        assert caught.value.code == "E201"
        with pytest.raises(DataError, match="not the samples"):
            judge(entry, None, measure(predict(n)), Gate(), "b.json")


def test_what_both_have_is_compared_where_that_is_allowed(predict: Callable, measure: Callable) -> None:
    old = predict(1000, {8: [], 32: [*range(500, 510)]})
    now = predict(1000, {8: [], 32: [*range(40)]})
    some = now.of([*now.ids[20:1000]])
    entry = measure(old).entry("net", Gate())
    found = judge(entry, old, measure(some), Gate(), "b.json", partial=True)
    assert (found.samples, found.missing, found.left_out) == (980, 20, 0)
    assert (only(found).numbers["worse"], only(found).numbers["better"]) == (20, 10)
    more = judge(measure(some).entry("net", Gate()), some, measure(now), Gate(), "b.json", partial=True)
    assert (more.samples, more.missing, more.left_out) == (980, 0, 20)
    other = dataclasses.replace(now, ids=tuple(f"{index:016x}" for index in range(5000, 6000)))
    with pytest.raises(DataError, match=r"1000 of the 1000 samples .* are missing"):
        judge(entry, old, measure(other), Gate(), "b.json", partial=True)
    with pytest.raises(DataError, match="not the samples"):
        judge(entry, None, measure(some), Gate(), "b.json", partial=True)


@pytest.mark.parametrize(("n", "verdict"), [(267, Verdict.INCONCLUSIVE), (268, Verdict.PASS)])
def test_a_part_without_changes_proves_no_more_than_its_number(
    predict: Callable, measure: Callable, n: int, verdict: Verdict
) -> None:
    old = predict(1000)
    found = judge(measure(old).entry("n", Gate()), old, measure(old.of(old.ids[:n])), Gate(), "b.json", partial=True)
    assert only(found).verdict is verdict
    assert only(found).told.startswith("100.00 %, no prediction changed of those that are there")
    assert ("about 268 samples would decide" in only(found).told) == (verdict is Verdict.INCONCLUSIVE)


def test_other_labels_are_refused(predict: Callable, measure: Callable) -> None:
    old = predict(1000)
    label = old.label.copy()
    label[7] = 3
    new = dataclasses.replace(old, label=label)
    with pytest.raises(DataError, match=r"sample 0000000000000007: label 3, but 1 in b\.json"):
        judge(measure(old).entry("net", Gate()), old, measure(new), Gate(), "b.json")


@pytest.mark.parametrize("missing", ["now", "before"])
def test_a_gated_step_without_a_row_is_refused(predict: Callable, measure: Callable, missing: str) -> None:
    both, one = predict(50, {8: [], 32: []}), predict(50, {8: []})
    old, new = (both, one) if missing == "now" else (one, both)
    where = "net_snn" if missing == "now" else "b.json"
    with pytest.raises(UsageError, match=f"{where}: has no row of T = 32, but of 8"):
        judge(measure(old).entry("net", Gate()), old, measure(new), Gate(steps=[8, 32]), "b.json")


@pytest.mark.parametrize("n", [1, 30, 1000])
def test_no_changed_prediction_passes_at_any_number_of_samples(predict: Callable, measure: Callable, n: int) -> None:
    old = predict(n, {32: [0]})
    found = judge(measure(old).entry("net", Gate()), old, measure(old), Gate(), "b.json")
    assert found.verdict is Verdict.PASS
    assert "no prediction changed" in only(found).told


def test_predictions_that_are_wrong_in_another_way_are_not_identical(predict: Callable, measure: Callable) -> None:
    old = predict(100, {32: [0]})
    snn = old.snn.copy()
    snn[0] = 5
    found = judge(measure(old).entry("net", Gate()), old, measure(dataclasses.replace(old, snn=snn)), Gate(), "b.json")
    assert only(found).verdict is Verdict.INCONCLUSIVE
    assert (only(found).numbers["worse"], only(found).numbers["better"]) == (0, 0)


def test_order_of_the_samples_does_not_matter(predict: Callable, measure: Callable) -> None:
    old = predict(1000, {32: [3, 500]})
    back = Predictions(old.ids[::-1], old.label[::-1], old.ann[::-1], old.steps, old.snn[::-1])
    found = judge(measure(old).entry("net", Gate()), old, measure(back), Gate(), "b.json")
    assert only(found).numbers["identical"]


def test_a_finding_tells_the_drop_its_limits_and_the_counts(compare: Callable) -> None:
    finding = only(compare([0, 1], [*range(1, 40)]))
    assert finding.verdict is Verdict.FAIL
    assert finding.title == "accuracy at T = 32"
    assert finding.told.startswith("99.80 % -> 96.10 %, a drop of 3.70 points [")
    assert finding.told.endswith("margin 1; 38 worse and 1 better of 1,000")
    assert finding.numbers["drop_points"] == pytest.approx(3.7)


def test_an_inconclusive_finding_tells_how_many_samples_would_decide(compare: Callable) -> None:
    finding = only(compare([*range(8)], [*range(8, 20)]))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.told.endswith(f"about {finding.numbers['samples_needed']:,} samples would decide")
    assert finding.numbers["samples_needed"] > 1000
    on_it = only(compare([], [*range(1, 11)], Gate(margin=1.0)))
    assert "no number of samples decides" in on_it.told


def test_without_stored_predictions_the_counts_decide_and_less_is_seen(compare: Callable) -> None:
    before, now = [*range(100)], [*range(4, 106)]
    paired, unpaired = compare(before, now), compare(before, now, stored=False)
    assert (paired.paired, unpaired.paired) == (True, False)
    assert only(paired).verdict is Verdict.PASS
    assert only(unpaired).verdict is Verdict.INCONCLUSIVE
    assert "counts only, of 1,000: a drop under 3" in only(unpaired).told
    assert only(unpaired).numbers["detectable_points"] > 2 * only(paired).numbers["detectable_points"]
    assert only(compare([], [*range(300)], stored=False)).verdict is Verdict.FAIL


def test_counts_that_are_not_known_are_not_taken_for_none(predict: Callable, measure: Callable) -> None:
    old = predict(1000)
    entry = measure(old).entry("net", Gate())
    unknown = entry.steps[0].model_copy(update={"correct": None, "agreed": None})
    broken = entry.model_copy(update={"steps": [unknown, entry.steps[1]]})
    with pytest.raises(UsageError, match="net: has no counts of right answers at T = 8") as caught:
        judge(broken, None, measure(old), Gate(steps=[8]), "b.json")
    assert caught.value.code == "E303"


def test_without_stored_predictions_the_number_of_samples_must_fit(predict: Callable, measure: Callable) -> None:
    entry = measure(predict(1000)).entry("net", Gate())
    more = entry.model_copy(update={"dataset": entry.dataset.model_copy(update={"samples": 2000})})
    with pytest.raises(DataError, match=r"not the samples \(or labels\) of the baseline"):
        judge(more, None, measure(predict(1000)), Gate(), "b.json")


def test_several_failures_are_corrected_and_all_must_pass(predict: Callable, measure: Callable) -> None:
    steps = {t: [] for t in (1, 2, 4, 8)}
    old = predict(300, steps)
    entry = measure(old).entry("net", Gate())
    barely = predict(300, {**steps, 4: [0, 1, 2, 3]})  # p = 0.023, 0.09 of four
    alone = judge(entry, old, measure(barely), Gate(steps=[4]), "b.json")
    among = judge(entry, old, measure(barely), Gate(steps=[1, 2, 4, 8]), "b.json")
    assert alone.verdict is Verdict.FAIL
    assert among.verdict is Verdict.INCONCLUSIVE
    assert [each.verdict for each in among.findings].count(Verdict.PASS) == 3
    assert among.findings[2].numbers["p"] == pytest.approx(4 * alone.findings[0].numbers["p"])


def test_without_labels_agreement_stands_in(predict: Callable, measure: Callable) -> None:
    old, new = predict(1000, {32: []}, labelled=False), predict(1000, {32: [*range(40)]}, labelled=False)
    found = judge(measure(old).entry("net", Gate()), old, measure(new), Gate(), "b.json")
    assert not found.labelled
    assert only(found).title == "agreement at T = 32"
    assert found.verdict is Verdict.FAIL


def test_what_was_converted_differently_is_named(predict: Callable, measure: Callable) -> None:
    old = predict(300)
    entry = measure(old, convert={"percentile": 99.9, "steps": [8]}).entry("net", Gate())
    now = measure(old, convert={"percentile": 99.0, "steps": [8]}, neuron={"k": 3})
    changed = judge(entry, old, dataclasses.replace(now, model=entry.model), Gate(), "b.json").changed
    assert changed == ("convert.percentile from 99.9 to 99.0", "neuron.k from None to 3")
    other = dataclasses.replace(now, model=entry.model.model_copy(update={"sha256": "b" * 64}))
    assert judge(entry, old, other, Gate(), "b.json").changed[0] == "the model file"


@pytest.mark.parametrize(
    ("rails", "kept", "told"),
    [
        ({"min_accuracy": 97.0}, True, "97.00 %, at least 97"),
        ({"min_accuracy": 97.1}, False, "97.00 %, at least 97.1"),
        ({"max_drop_vs_ann": 2.0}, True, "2.00 points, at most 2"),
        ({"max_drop_vs_ann": 1.9}, False, "2.00 points, at most 1.9"),
        ({"min_agreement": 96.0}, True, "96.00 %, at least 96"),
        ({"min_agreement": 96.5}, False, "96.00 %, at least 96.5"),
        ({"max_spikes_per_sample": 10}, True, "10.00 % more, at most 10"),
        ({"max_spikes_per_sample": 9}, False, "10.00 % more, at most 9"),
        ({"max_synops": 9}, False, "10.00 % more, at most 9"),
        ({"max_steps_to_reach": Reach(accuracy=90.0, steps=8)}, True, "90 % reached at T = 8, at most 8"),
        ({"max_steps_to_reach": Reach(accuracy=90.0, steps=4)}, False, "90 % reached at T = 8, at most 4"),
        ({"max_steps_to_reach": Reach(accuracy=99.0, steps=64)}, False, "99 % reached nowhere, at most 64"),
    ],
)
def test_rails(predict: Callable, measure: Callable, rails: dict, kept: bool, told: str) -> None:
    before = predict(100, {8: [*range(10)], 32: [50, 51, 52]}, ann_wrong=1)
    entry = measure(before).entry("net", Gate())
    now = measure(before, spikes=110.0)
    _, finding = judge(entry, before, now, Gate(rails=Rails(**rails)), "b.json").findings
    assert finding.verdict is (Verdict.PASS if kept else Verdict.FAIL)
    assert finding.told == told
    assert finding.rail == next(iter(rails))


@pytest.mark.parametrize(("first", "last"), [(0, 900), (0, 1100), (100, 1100)])
@pytest.mark.parametrize("more", [0.92, 1.125])
def test_costs_of_other_samples_than_those_of_the_baseline_prove_nothing(
    predict: Callable, measure: Callable, first: int, last: int, more: float
) -> None:
    """The samples that are there may take more than all on average, or less."""
    everything = predict(1100)
    old, new = everything.of(everything.ids[:1000]), everything.of(everything.ids[first:last])
    gate = Gate(rails=Rails(min_accuracy=90.0, min_agreement=90.0, max_spikes_per_sample=5.0, max_synops=5.0))
    entry, now = measure(old).entry("net", Gate()), measure(new, spikes=100.0 * more)
    _, accuracy, agreement, *costs = judge(entry, old, now, gate, "b.json", partial=True).findings
    assert (accuracy.verdict, agreement.verdict) == (Verdict.PASS, Verdict.PASS)
    for cost in costs:
        assert cost.verdict is Verdict.INCONCLUSIVE
        assert cost.told.startswith("known as a mean over more samples only, not over the ")
        assert (cost.numbers["measured"], cost.numbers["limit"]) == (None, 5.0)
    (same,) = judge(entry, old, measure(old), gate, "b.json", partial=True).findings[3:4]
    assert same.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("rails", "told"),
    [({"min_accuracy": 1.0}, "the samples have no labels"), ({"max_drop_vs_ann": 1.0}, "the samples have no labels")],
)
def test_rails_that_need_labels_are_refused_without(
    predict: Callable, measure: Callable, rails: dict, told: str
) -> None:
    old = predict(100, labelled=False)
    with pytest.raises(UsageError, match=told):
        judge(measure(old).entry("net", Gate()), old, measure(old), Gate(rails=Rails(**rails)), "b.json")


def test_rails_that_need_the_ann_are_refused_where_it_is_not_known(predict: Callable, measure: Callable) -> None:
    old = predict(100)
    unknown = dataclasses.replace(old, ann=np.full(100, -1))
    old = dataclasses.replace(old, ann=unknown.ann)
    with pytest.raises(UsageError, match="min_agreement: the ANN's answers on these samples are not known"):
        judge(measure(old).entry("n", Gate()), old, measure(unknown), Gate(rails=Rails(min_agreement=1.0)), "b.json")


@pytest.mark.parametrize(
    ("more", "told"),
    [(1 + 4e-6, "0.0004 % more, at most 0"), (1 - 4e-6, "0.00 % more, at most 0"), (1.5, "50.00 % more, at most 0")],
)
def test_a_broken_limit_is_told_with_the_digits_that_break_it(
    predict: Callable, measure: Callable, more: float, told: str
) -> None:
    old, gate = predict(300), Gate(rails=Rails(max_synops=0.0))
    judgement = judge(measure(old).entry("n", Gate()), old, measure(old, spikes=100.0 * more), gate, "b.json")
    assert judgement.findings[1].told == told


def test_from_no_spikes_to_some_is_too_many(predict: Callable, measure: Callable) -> None:
    old = predict(300)
    entry, gate = measure(old, spikes=0.0).entry("n", Gate()), Gate(rails=Rails(max_synops=1e6))
    assert judge(entry, old, measure(old, spikes=0.0), gate, "b.json").verdict is Verdict.PASS
    for spikes in (0.0, 1e-322):
        entry = measure(old, spikes=spikes).entry("n", Gate())
        found = judge(entry, old, measure(old, spikes=0.1), gate, "b.json").findings[1]
        assert (found.verdict, found.numbers["measured"]) == (Verdict.FAIL, 1e9)


@pytest.fixture
def dense(predict: Callable, measure: Callable) -> Callable[..., Measurement]:
    """A network whose outputs are no classes, measured at T = 8 and 32."""

    def make(agreement: float | None = 0.97, error: float | None = 0.04, spikes: float = 100.0) -> Measurement:
        none = np.full(300, -1)
        predictions = dataclasses.replace(predict(300), label=none, ann=none, snn=np.full((300, 2), -1))
        found = measure(predictions, spikes)
        rows = [row.model_copy(update={"agreement": agreement, "output_error": error}) for row in found.rows]
        return dataclasses.replace(found, rows=tuple(rows))

    return make


def test_outputs_that_are_no_classes_need_a_rail(dense: Callable) -> None:
    with pytest.raises(UsageError, match="its outputs are no classes, so that nothing but rails can gate it"):
        judge(dense().entry("n", Gate()), dense().predictions, dense(), Gate(), "b.json")


def test_classes_and_others_are_not_compared(dense: Callable, predict: Callable, measure: Callable) -> None:
    entry = dense().entry("n", Gate())
    classes = measure(dataclasses.replace(predict(300), label=np.full(300, -1)))
    with pytest.raises(UsageError, match=r"net_snn: its outputs are classes, other than in b\.json"):
        judge(entry, dense().predictions, classes, Gate(rails=Rails(max_synops=1.0)), "b.json")


@pytest.mark.parametrize(
    ("rails", "kept", "told"),
    [
        ({"min_agreement": 97.0}, True, "97.00 %, at least 97"),
        ({"min_agreement": 97.5}, False, "97.00 %, at least 97.5"),
        ({"max_output_error": 4.0}, True, "4.00 %, at most 4"),
        ({"max_output_error": 3.9}, False, "4.00 %, at most 3.9"),
        ({"max_spikes_per_sample": 5.0}, False, "10.00 % more, at most 5"),
        ({"max_synops": 11.0}, True, "10.00 % more, at most 11"),
        ({"max_steps_to_reach": Reach(accuracy=97.0, steps=8)}, True, "97 % reached at T = 8, at most 8"),
    ],
)
def test_rails_of_outputs_that_are_no_classes(dense: Callable, rails: dict, kept: bool, told: str) -> None:
    entry, gate = dense().entry("n", Gate()), Gate(rails=Rails(**rails))
    found = judge(entry, dense().predictions, dense(spikes=110.0), gate, "b.json")
    assert (only(found).told, only(found).verdict) == (told, Verdict.PASS if kept else Verdict.FAIL)
    assert not found.has_classes
    assert judge(entry, None, dense(spikes=110.0), gate, "b.json").verdict is found.verdict


ABSOLUTE = Rails(min_agreement=90.0, max_output_error=5.0, max_steps_to_reach=Reach(accuracy=90.0, steps=8))


def test_a_part_of_outputs_that_are_no_classes_is_measured_alone_or_not_at_all(dense: Callable) -> None:
    few = dense()
    some = few.predictions.of(few.predictions.ids[:200])
    less, gate = dataclasses.replace(few, predictions=some), Gate(rails=ABSOLUTE)
    there = judge(few.entry("n", Gate()), few.predictions, less, gate, "b.json", partial=True)
    assert [each.verdict for each in there.findings] == [Verdict.PASS] * 3
    more = judge(less.entry("n", Gate()), some, few, gate, "b.json", partial=True)
    assert [each.verdict for each in more.findings] == [Verdict.INCONCLUSIVE] * 3
    assert (there.missing, more.left_out) == (100, 100)


def test_a_share_that_is_the_limit_keeps_it(dense: Callable) -> None:
    """100 * 0.57 is less than 57, and 100 * 0.28 is more than 28."""
    rails = Rails(min_agreement=57.0, max_output_error=28.0, max_steps_to_reach=Reach(accuracy=57.0, steps=8))
    now = dense(0.57, 0.28)
    assert judge(now.entry("n", Gate()), None, now, Gate(rails=rails), "b.json").verdict is Verdict.PASS


@pytest.mark.parametrize(
    "rails",
    [{"min_agreement": 1.0}, {"max_steps_to_reach": Reach(accuracy=1.0, steps=8)}],
    ids=lambda rails: next(iter(rails)),
)
def test_a_single_value_agrees_with_nothing(dense: Callable, rails: dict) -> None:
    value, (rail,) = dense(None, 0.04), rails
    with pytest.raises(UsageError, match=f"{rail}: the output is a single value, which agrees with nothing") as caught:
        judge(value.entry("n", Gate()), None, value, Gate(rails=Rails(**rails)), "b.json")
    assert caught.value.hint == "max_output_error"


@pytest.mark.parametrize("rail", ["min_agreement", "max_output_error"])
def test_what_only_a_conversion_measures_is_not_made_up(dense: Callable, rail: str) -> None:
    gate = Gate(rails=Rails(**{rail: 1.0}))
    with pytest.raises(UsageError, match=f"{rail}: is not known, for want of the ANN's outputs"):
        judge(dense().entry("n", Gate()), dense().predictions, dense(None, None), gate, "b.json")


@pytest.mark.parametrize(("rail", "told"), [("min_accuracy", "no labels that count"), ("max_drop_vs_ann", "no labels")])
def test_no_accuracy_of_outputs_that_are_no_classes(dense: Callable, rail: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"{rail}: the samples have {told}"):
        judge(dense().entry("n", Gate()), None, dense(), Gate(rails=Rails(**{rail: 1.0})), "b.json")


def test_error_of_outputs_that_are_classes_is_refused(predict: Callable, measure: Callable) -> None:
    old, gate = predict(100), Gate(rails=Rails(max_output_error=1.0))
    with pytest.raises(UsageError, match="max_output_error: the outputs are classes"):
        judge(measure(old).entry("n", Gate()), old, measure(old), gate, "b.json")


def test_rails_against_the_ann_ask_it_of_every_sample(predict: Callable, measure: Callable) -> None:
    old = predict(100, {8: [0, 1], 32: [0]}, ann_wrong=5)
    partly = dataclasses.replace(old, ann=np.where(np.arange(100) < 90, -1, old.ann))
    entry, now = measure(old).entry("n", Gate()), measure(partly)
    gate = Gate(rails=Rails(min_agreement=99.0, max_drop_vs_ann=0.1))
    _, drop, agreement = judge(entry, old, now, gate, "b.json").findings
    assert agreement.numbers["measured"] == 95.0  # its answers stand in the baseline, of the same model
    assert agreement.verdict is Verdict.FAIL
    assert drop.numbers["measured"] == -4.0
    other = dataclasses.replace(now, model=now.model.model_copy(update={"sha256": "b" * 64}))
    for found in judge(entry, old, other, gate, "b.json").findings[1:]:
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.told == "the ANN's answers are known of 10 of the 100 samples only"
