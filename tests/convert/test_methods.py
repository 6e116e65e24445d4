"""Methods against the obvious computation on the raw activations."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from snnconvert.calibrate import RELATIVE_ERROR, ActivationStatistics, LayerStatistics, LogHistogram, collect
from snnconvert.convert import METHODS, Task
from snnconvert.errors import UsageError
from snnconvert.network import NormalForm, Schedule, spiking_network
from snnconvert.neurons import Neuron, make_neuron
from tests import nets

IF = make_neuron("if", {})
EIGHT = Schedule(8)


def statistics(values: np.ndarray, parts: int = 1, per_channel: bool = True) -> ActivationStatistics:
    histogram = LogHistogram(values.shape[1] if per_channel else 1)
    for part in np.array_split(values, parts):
        histogram.add(np.ascontiguousarray(part, np.float32).reshape(-1, histogram.channels))
    return ActivationStatistics({"r": LayerStatistics(0, 1, histogram)}, len(values), per_channel)


def scale_of(
    method: str, found: ActivationStatistics, neuron: Neuron = IF, schedule: Schedule = EIGHT, depth: int = 0
) -> np.ndarray:
    graph = nets.recipe(["chain"])
    task = Task(graph, found, neuron, schedule, {"r": depth}, 99.9, True, list)
    return METHODS[method](task)["r"].numpy()


def activations(rows: int = 4000, channels: int = 3) -> np.ndarray:
    values = np.random.default_rng(0).standard_normal((rows, channels)) * [1, 4, 0.1]
    return np.maximum(values, 0).astype(np.float32)


def test_unknown_method_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"E002.*unknown method 'mean'") as refusal:
        METHODS["mean"]
    assert "known: balance, max, mse, percentile, spike-norm" in str(refusal.value.hint)


@pytest.mark.parametrize("steps", [2, 8, 64])
def test_mse_is_the_best_of_its_grid(steps: int) -> None:
    values = activations()
    found = scale_of("mse", statistics(values), schedule=Schedule(steps))

    def loss(channel: int, clip: float) -> float:
        a = values[:, channel].astype(np.float64)
        said = clip / steps * np.clip(np.rint(a * steps / clip), 0, steps)
        return float(((said - a) ** 2).sum())

    for channel in range(3):
        grid = np.arange(0.01, 1.2, 0.01) * values[:, channel].max()
        best = min(loss(channel, clip) for clip in grid)
        assert loss(channel, found[channel]) <= best * (1 + 4 * RELATIVE_ERROR)


def test_mse_clips_more_where_there_are_fewer_levels() -> None:
    found = [scale_of("mse", statistics(activations()), schedule=Schedule(steps)) for steps in (2, 8, 64)]
    assert (found[0] < found[1]).all()
    assert (found[1] < found[2]).all()


def test_more_levels_a_step_are_as_good_as_more_steps() -> None:
    many = scale_of("mse", statistics(activations()), make_neuron("if-signed-multi", {"k": 4}), Schedule(2))
    long = scale_of("mse", statistics(activations()), IF, Schedule(8))
    np.testing.assert_allclose(4 * many, long)  # a spike stands for a quarter of what the neuron can send


def test_warm_up_raises_the_scale_by_the_time_that_is_lost() -> None:
    plain = scale_of("max", statistics(activations()))
    waiting = scale_of("max", statistics(activations()), schedule=Schedule(8, warm_up=1.0), depth=2)
    np.testing.assert_allclose(waiting, plain * 8 / 6)
    delayed = scale_of("max", statistics(activations()), schedule=Schedule(8, onset_delay=1), depth=2)
    np.testing.assert_allclose(delayed, plain)


def test_balance_is_the_loop_over_the_raw_activations() -> None:
    values = activations()
    clips = np.zeros(3)
    for _ in range(1000):
        clips += 2 * np.maximum(values.astype(np.float64) - clips, 0).mean(0)
    np.testing.assert_allclose(scale_of("balance", statistics(values)), clips, rtol=2 * RELATIVE_ERROR)


@pytest.mark.parametrize("method", ["balance", "mse", "percentile", "max"])
def test_order_and_batches_of_samples_play_no_part(method: str) -> None:
    values = activations()
    shuffled = np.random.default_rng(1).permutation(values)
    assert np.array_equal(scale_of(method, statistics(values)), scale_of(method, statistics(shuffled, parts=7)))


@pytest.mark.parametrize("method", ["balance", "mse", "percentile", "max"])
def test_dead_channels_take_the_layers_value_and_weak_ones_its_floor(method: str) -> None:
    values = activations()
    values[:, 1] = 0
    values[:, 2] *= 1e-5
    found = scale_of(method, statistics(values))
    whole = scale_of(method, statistics(values, per_channel=False))
    assert found[1] == pytest.approx(whole[0])
    assert found[2] == pytest.approx(values.max() / 1000)
    assert scale_of(method, statistics(np.zeros((9, 3)))).tolist() == [1.0]


def test_spike_norm_sees_64_samples_in_whatever_batches_they_come() -> None:
    graph = nets.recipe(["chain", "chain"])
    x = torch.randn((100, *graph.input_shape), generator=torch.Generator().manual_seed(0)).numpy()
    found = collect(graph, [x], False, torch.device("cpu"))
    depths = dict.fromkeys((node.name for node in graph.activations), 0)

    def scales(size: int, count: int = 100) -> list[float]:
        def batches() -> Iterable[np.ndarray]:
            return (x[start : min(start + size, count)] for start in range(0, count, size))

        task = Task(graph, found, IF, EIGHT, depths, 99.9, True, batches)
        return [float(scale) for scale in METHODS["spike-norm"](task).values()]

    assert scales(7) == scales(100) == scales(64, 64)
    assert scales(7) != scales(7, 40)


def test_spike_norm_is_the_largest_current_of_real_spikes() -> None:
    graph = nets.recipe(["chain", "chain"], dyadic=True)
    x = torch.randint(0, 7, (4, *graph.input_shape), generator=torch.Generator().manual_seed(0)) / 4
    found = collect(graph, [x.numpy()], False, torch.device("cpu"))
    schedule, names = Schedule(6), [node.name for node in graph.activations]

    def batches() -> Iterable[np.ndarray]:
        return [x.numpy()]

    task = Task(graph, found, IF, schedule, dict.fromkeys(names, 0), 99.9, True, batches)
    scales = METHODS["spike-norm"](task)
    thresholds: dict[str, float] = {}
    potential: dict[str, torch.Tensor] = {}
    for layer in names:  # one layer more is known each time
        largest = -1.0
        potential.clear()
        for _ in range(schedule.steps):
            values = {graph.input: x}
            for node in graph.nodes:
                inputs = [values[value] for value in node.inputs]
                if node.name == layer:
                    largest = max(largest, float(inputs[0].max()))
                    break
                if node.name in names:
                    theta = thresholds[node.name]
                    v = potential.get(node.name, torch.full_like(inputs[0], 0.5)) + inputs[0] / theta
                    spikes = (v >= 1).float()
                    potential[node.name] = v - spikes
                    values[node.name] = spikes * theta
                else:
                    values[node.name] = node.operator.evaluate(inputs)
        thresholds[layer] = largest
        assert float(scales[layer].max()) == pytest.approx(largest, rel=1e-5)
    assert spiking_network(NormalForm(graph, {}), IF).depths[names[-1]] == 1
