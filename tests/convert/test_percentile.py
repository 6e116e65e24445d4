"""Scales from activation statistics: floors, dead channels, dead layers."""

import numpy as np
import pytest
import torch

from snnconvert.calibrate import RELATIVE_ERROR, ActivationStatistics, LayerStatistics, LogHistogram
from snnconvert.convert import dead_layers
from tests.percentile import percentile_scales


def layer(values: np.ndarray, per_channel: bool, axis: int = 0, rank: int = 3) -> LayerStatistics:
    """Count ``values (rows, channels)``."""
    histogram = LogHistogram(values.shape[1] if per_channel else 1)
    histogram.add(np.ascontiguousarray(values, np.float32).reshape(-1, histogram.channels))
    return LayerStatistics(axis, rank, histogram)


def scales_of(values: object, *, per_channel: bool = True, percent: float = 100.0, nonzero: bool = True):
    statistics = ActivationStatistics({"r": layer(np.array(values, np.float32), per_channel)}, 1, per_channel)
    return percentile_scales(statistics, percent, nonzero)["r"], dead_layers(statistics)


def test_maximum_per_channel_and_per_layer() -> None:
    values = [[1.0, 8.0, 2.0], [3.0, 0.0, 1.0]]
    scale, dead = scales_of(values)
    assert (scale.shape, scale.dtype, dead) == ((3, 1, 1), torch.float64, [])
    assert scale.flatten().tolist() == [3.0, 8.0, 2.0]
    scale, dead = scales_of(values, per_channel=False)
    assert (scale.shape, dead) == ((1, 1, 1), [])
    assert scale.item() == 8.0


@pytest.mark.parametrize("per_channel", [True, False])
def test_percentile_is_that_of_numpy(per_channel: bool) -> None:
    values = np.abs(np.random.default_rng(0).standard_normal((20_000, 3))).astype(np.float32)
    scale, _ = scales_of(values, per_channel=per_channel, percent=99.0)
    axis = 0 if per_channel else None
    expected = np.quantile(values, 0.99, axis=axis, method="inverted_cdf")
    np.testing.assert_allclose(scale.flatten().numpy(), np.atleast_1d(expected), rtol=RELATIVE_ERROR)


def test_zeros_count_where_they_are_asked_to() -> None:
    values = np.zeros((100, 1), np.float32)
    values[:10, 0] = np.arange(1, 11)
    of_positive, _ = scales_of(values, percent=50.0)
    of_all, _ = scales_of(values, percent=95.0, nonzero=False)
    assert of_positive.item() == pytest.approx(5.0, rel=RELATIVE_ERROR)
    assert of_all.item() == pytest.approx(5.0, rel=RELATIVE_ERROR)


def test_scale_is_never_under_a_thousandth_of_the_maximum() -> None:
    scale, dead = scales_of([[1000.0, 1e-6, 2.0]])
    assert scale.flatten().tolist() == pytest.approx([1000.0, 1.0, 2.0])
    assert dead == []
    # percentile 0+ of a layer with an outlier is lifted as well
    scale, _ = scales_of([[1e-6]] * 999 + [[10.0]], per_channel=False, percent=50.0)
    assert scale.item() == pytest.approx(0.01)


def test_dead_channel_takes_the_scale_of_the_layer() -> None:
    values = np.tile(np.array([[4.0, 0.0, 1.0]], np.float32), (10, 1))
    scale, dead = scales_of(values)
    assert scale.flatten().tolist() == [4.0, 4.0, 1.0]
    assert dead == []
    scale, _ = scales_of(values, percent=50.0)  # of the layer's values: half of the positive ones are 1
    assert scale.flatten().tolist() == pytest.approx([4.0, 1.0, 1.0], rel=RELATIVE_ERROR)


@pytest.mark.parametrize("per_channel", [True, False])
def test_dead_layer_has_the_scale_one_and_is_named(per_channel: bool) -> None:
    scale, dead = scales_of(np.zeros((5, 3)), per_channel=per_channel)
    assert dead == ["r"]
    assert scale.flatten().tolist() == [1.0]
    assert scale.shape == (1, 1, 1)


def test_zero_percentile_of_a_living_layer_is_lifted_to_the_floor() -> None:
    values = np.zeros((1000, 1), np.float32)
    values[0] = 5.0
    scale, dead = scales_of(values, percent=50.0, nonzero=False)
    assert scale.item() == pytest.approx(0.005)
    assert dead == []


def test_scale_lies_along_the_channels_of_its_layer() -> None:
    values = np.array([[1.0, 2.0]], np.float32)
    statistics = ActivationStatistics(
        {"rows": layer(values, True, axis=1, rank=2), "flat": layer(values, True, axis=0, rank=1)}, 1, True
    )
    scales = percentile_scales(statistics, 100.0, True)
    assert (scales["rows"].shape, scales["flat"].shape) == ((1, 2), (2,))
