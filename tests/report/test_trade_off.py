"""The picture of many conversions: who is best, and the same bytes for the same numbers."""

from hypothesis import given
from hypothesis import strategies as st

from snnconvert.report.trade_off import NAMED, compared_by, pareto, trade_off_svg

ROWS = [
    {"total_steps": 1, "synops_per_sample": 10.0, "accuracy": 0.5, "agreement": 0.4},
    {"total_steps": 8, "synops_per_sample": 90.0, "accuracy": 0.9, "agreement": 0.8},
]
POINTS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)))


@given(points=POINTS)
def test_front_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    front = pareto(points)
    assert front == sorted(set(front))
    best = {
        point
        for point in points
        if not any((x <= point[0] and y > point[1]) or (x < point[0] and y >= point[1]) for x, y in points)
    }
    assert set(front) == best


def test_agreement_stands_in_for_accuracy() -> None:
    assert compared_by(ROWS) == "accuracy"
    assert compared_by([*ROWS, {"accuracy": None, "agreement": 0.3}]) == "agreement"
    assert compared_by([]) == "accuracy"


def test_equal_numbers_give_equal_bytes_and_names_are_escaped() -> None:
    picture = trade_off_svg({"a<b": ROWS})
    assert picture == trade_off_svg({"a<b": ROWS})
    assert b"a&lt;b" in picture
    assert b"accuracy [%]" in picture
    assert b"agreement with the ANN [%]" in trade_off_svg({"a": [{**ROWS[0], "accuracy": None}]})


def test_many_jobs_and_none_are_drawn() -> None:
    picture = trade_off_svg({f"job{index}": ROWS for index in range(NAMED + 5)}).decode()
    assert f"job{NAMED - 1}<" in picture
    assert f"job{NAMED}<" not in picture
    assert "and 5 more" in picture
    assert trade_off_svg({}).startswith(b"<?xml")
