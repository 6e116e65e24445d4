import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from snnconvert.data import prefetch
from snnconvert.data.prefetch import in_order
from snnconvert.errors import DataError

WORKERS = [0, 1, 2, 5]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def late(number: int) -> int:
    """Take the longer the earlier, so that threads finish out of order."""
    time.sleep(0.003 * (5 - number % 5))
    return number * number


@pytest.mark.parametrize("workers", WORKERS)
def test_first_error_in_order_is_raised_whoever_fails_first(workers: int) -> None:
    def fail(number: int) -> int:
        if number in (7, 8, 9):
            time.sleep(0.02 * (9 - number))  # the last fails first
            raise DataError("E202", f"{number}.png: broken")
        return number

    seen = in_order(fail, range(100), workers)
    assert list(itertools.islice(seen, 7)) == list(range(7))
    with pytest.raises(DataError, match=r"7\.png"):
        next(seen)


@pytest.mark.parametrize("workers", WORKERS)
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(in_order(late, range(23), workers)) == [number * number for number in range(23)]
    assert list(in_order(late, [], workers)) == []


def test_work_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "AHEAD", 6)
    begun: list[int] = []
    seen = in_order(begun.append, itertools.count(), 3)
    for done in range(1, 20):
        next(seen)
        assert len(begun) <= done + 6
    seen.close()


def test_threads_do_work_at_once() -> None:
    meeting = threading.Barrier(4, timeout=5)
    assert sorted(in_order(lambda _: meeting.wait(), range(4), 4)) == [0, 1, 2, 3]


def test_nothing_new_begins_after_it_was_closed() -> None:
    begun: list[int] = []

    def slow(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)

    seen = in_order(slow, range(1000), 2)
    next(seen)
    seen.close()
    count = len(begun)
    time.sleep(0.05)
    assert len(begun) == count < prefetch.AHEAD // 4


@pytest.mark.parametrize("workers", [0, 1])
def test_one_worker_is_no_thread_and_works_when_asked(workers: int) -> None:
    threads: list[threading.Thread] = []
    seen = in_order(lambda _: threads.append(threading.current_thread()), range(9), workers)
    next(seen)
    assert threads == [threading.current_thread()]
