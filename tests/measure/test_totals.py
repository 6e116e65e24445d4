"""Sums do not depend on how many threads torch has, whatever the order of memory."""

import math

import pytest
import torch

from snnconvert.measure.totals import squared, total


@pytest.mark.parametrize("shape", [(3, 70_001), (4, 16, 40, 41)])
def test_sums_have_the_same_bits_with_any_number_of_threads(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if len(shape) == 4:
        values = values.contiguous(memory_format=torch.channels_last)
    found = set()
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)  # put back by a fixture
        found.add((total(values), squared(values)))
    assert len(found) == 1
    ((one, square),) = found
    exact = values.double().flatten().tolist()
    assert one == pytest.approx(math.fsum(exact), rel=1e-9)
    assert square == pytest.approx(math.fsum(each * each for each in exact), rel=1e-12)


def test_what_is_true_is_counted() -> None:
    assert total(torch.tensor([True, False, True])) == 2
