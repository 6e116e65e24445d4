"""The steps table, the CSV and the sentence say the same as metrics.json."""

import copy
import csv
import io
from typing import Any

import pytest

from snnconvert.errors import OutputError
from snnconvert.report.quantities import count, points, size, suffixed
from snnconvert.report.tables import curve_csv, steps_table, verdict


def unlabelled(metrics: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(metrics) | {"labelled": False, "ann": {"accuracy": None}}
    for row in changed["steps"]:
        row["accuracy"] = row["accuracy_ci95"] = None
    return changed


def dense(metrics: dict[str, Any]) -> dict[str, Any]:
    return unlabelled(metrics) | {"classes": None}


@pytest.mark.parametrize("wrong", ["<script>", True, [1], {"a": 1}])
@pytest.mark.parametrize("make", [steps_table, verdict, curve_csv])
def test_what_is_no_number_is_refused(metrics: dict[str, Any], make: Any, wrong: object) -> None:
    metrics["steps"][-1]["agreement" if make is not verdict else "accuracy"] = wrong
    with pytest.raises(OutputError, match=r"E403.*metrics\.json.*expected a number"):
        make(metrics)


@pytest.mark.parametrize("steps", ["text", [1, 2], {"t": 1}])
def test_rows_that_are_no_rows_are_refused(metrics: dict[str, Any], steps: object) -> None:
    with pytest.raises(OutputError, match=r"E403.*'steps'.*expected a list"):
        steps_table(metrics | {"steps": steps})


def test_ann_that_is_no_object_is_refused(metrics: dict[str, Any]) -> None:
    with pytest.raises(OutputError, match=r"E403.*'ann'.*expected an object"):
        steps_table(metrics | {"ann": 0.9})


def test_column_name_that_breaks_csv_is_refused(metrics: dict[str, Any]) -> None:
    metrics["steps"][0]['=cmd|"x"'] = 1
    with pytest.raises(OutputError, match=r"E403.*column"):
        curve_csv(metrics)


def test_table_of_classes(metrics: dict[str, Any]) -> None:
    assert steps_table(metrics) == (
        "steps | accuracy | vs ANN | agreement | spikes/sample | SynOps\n"
        "------+----------+--------+-----------+---------------+-------\n"
        "    1 |  10.00 % | -81.73 |   11.20 % |        11,250 |  1.21M\n"
        "    2 |  12.00 % | -79.73 |   13.20 % |        22,500 |  2.42M\n"
        "    4 |  25.00 % | -66.73 |   26.20 % |        45,000 |  4.84M\n"
        "    8 |  38.00 % | -53.73 |   39.20 % |        90,000 |  9.68M\n"
        "   16 |  69.00 % | -22.73 |   70.20 % |       180,000 | 19.36M\n"
        "   32 |  82.50 % |  -9.23 |   83.70 % |       360,000 | 38.72M\n"
        "ANN accuracy 91.73 %, 10,000 samples\n"
    )


def test_table_without_labels_has_dashes(metrics: dict[str, Any]) -> None:
    lines = steps_table(unlabelled(metrics)).splitlines()
    assert lines[2] == "    1 |        - |      - |   11.20 % |        11,250 |  1.21M"
    assert lines[-1] == "ANN accuracy not known: 10,000 samples without labels"


def test_dense_outputs_are_led_by_their_error(metrics: dict[str, Any]) -> None:
    lines = steps_table(dense(metrics)).splitlines()
    assert lines[0].split(" | ") == ["steps", "output error", "agreement", "spikes/sample", "SynOps"]
    assert lines[-2].split(" | ")[1].strip() == "18.92 %"
    assert "relative L2" in lines[-1]


def test_time_that_the_steps_do_not_show_is_told(metrics: dict[str, Any]) -> None:
    for row in metrics["steps"]:
        row["total_steps"] = row["t"] + 19
    assert steps_table(metrics).splitlines()[-1] == "total time steps of these rows: 20, 21, 23, 27, 35, 51"


def test_largest_numbers_fit_80_columns(metrics: dict[str, Any]) -> None:
    for row in metrics["steps"]:
        row |= {"t": 65536, "total_steps": 10**7, "accuracy": 1.0, "agreement": 1.0, "output_error": 1e3}
        row |= {"spikes_per_sample": 999_999_999.0, "synops_per_sample": 9.9999e14}
    metrics["steps"] *= 5
    for document in (metrics, dense(metrics)):
        assert max(map(len, steps_table(document).splitlines())) <= 80


def test_no_rows_make_an_empty_table(metrics: dict[str, Any]) -> None:
    assert len(steps_table(metrics | {"steps": []}).splitlines()) == 3
    assert verdict(metrics | {"steps": []}) == "No time step was evaluated."


def test_verdict_in_words(metrics: dict[str, Any]) -> None:
    assert verdict(metrics) == (
        "At T = 32 the spiking network keeps 89.9 % of the original's accuracy: "
        "82.50 % against 91.73 % on 10,000 samples, so it loses 9.23 points."
    )
    metrics["steps"][-1]["accuracy"] = 0.9173
    assert verdict(metrics).endswith("so it loses nothing.")
    metrics["steps"][-1]["accuracy"] = 0.9183
    assert verdict(metrics).endswith("so it gains 0.10 points.")
    assert "same answer as the original for 83.70 % of 10,000 samples" in verdict(unlabelled(metrics))
    assert "by 18.92 % (relative L2 distance)" in verdict(dense(metrics))


def test_ann_that_is_never_right_divides_nothing(metrics: dict[str, Any]) -> None:
    assert "nothing to keep" in verdict(metrics | {"ann": {"accuracy": 0.0}})


def test_csv_gives_the_rows_back(metrics: dict[str, Any]) -> None:
    metrics["steps"][0] |= {"accuracy": None, "accuracy_ci95": None, "latency": 0.1 + 0.2}
    content = curve_csv(metrics)
    assert b"\r" not in content
    read = list(csv.DictReader(io.StringIO(content.decode())))
    assert len(read) == len(metrics["steps"])
    for line, row in zip(read, metrics["steps"], strict=True):
        low, high = row.pop("accuracy_ci95") or (None, None)
        expected = row | {"accuracy_ci95_low": low, "accuracy_ci95_high": high}
        for name, text in line.items():
            value = expected.get(name)
            assert text == "" if value is None else float(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (12.34, "12.3"), (999.4, "999"), (11250.0, "11,250"), (1e9, "1.00G"), (1e400, "inf")],
)
def test_counts(value: float | None, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(999.0, "999"), (999.999, "1.00k"), (1000, "1.00k"), (999_999, "1.00M"), (40551040, "40.55M"), (1e16, "1.0e+16")],
)
def test_suffixes(value: float, text: str) -> None:
    assert suffixed(value) == text


def test_points_and_sizes() -> None:
    assert [points(x) for x in (None, 0.00001, -0.00001, 0.01, -0.5)] == ["-", "0.00", "0.00", "+1.00", "-50.00"]
    assert [size(x) for x in (0, 999, 1000, 12_300_000)] == ["0 B", "999 B", "1.00 kB", "12.30 MB"]


def test_labels_without_the_answers_of_the_ann_are_not_called_missing() -> None:
    metrics = {"samples": 100, "classes": 10, "labelled": True, "ann": {"accuracy": None}, "steps": []}
    told = steps_table(metrics).splitlines()[-1]
    assert told == "ANN accuracy not known: of these 100 samples, the bundle does not hold all of its answers"
