import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.graph import compact, full, ones, same, scale_of


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_compact_is_the_inverse_of_full(shape: list[int], data: st.DataObject) -> None:
    kept = [size if data.draw(st.booleans()) else 1 for size in shape]
    values = torch.arange(1.0, 1 + torch.tensor(kept).prod()).reshape(kept)
    spread = full(values, tuple(shape))
    small = compact(spread)
    assert spread.shape == tuple(shape)
    assert torch.equal(full(small, tuple(shape)), spread)
    assert small.numel() <= values.numel()
    assert same(small, values)


def test_compact_takes_rounding_for_equal_only_where_it_is_told_to() -> None:
    scale = torch.tensor([[1.0, 1.0 + 1e-12], [1e6, 1e6]], dtype=torch.float64)
    assert compact(scale).shape == (2, 2)
    assert compact(scale, tolerance=1e-9).tolist() == [[1.0], [1e6]]
    assert compact(torch.zeros(3)).tolist() == [0]


def test_scale_lies_along_its_axis() -> None:
    assert scale_of(torch.ones(5), 0, 3).shape == (5, 1, 1)
    assert scale_of(torch.ones(5), -1, 2).shape == (1, 5)
    assert ones(3).shape == (1, 1, 1)
    assert ones(1).dtype == scale_of(torch.ones(1, dtype=torch.float32), 0, 1).dtype == torch.float64


def test_scales_are_compared_as_they_broadcast() -> None:
    assert same(ones(3), torch.ones(4, 1, 1))
    assert not same(ones(3), torch.tensor([1.0, 2.0]).reshape(2, 1, 1))
    with pytest.raises(RuntimeError, match="must match"):
        same(torch.ones(2), torch.ones(3))
