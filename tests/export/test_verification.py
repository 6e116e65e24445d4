"""Samples with exact sums, and a comparison that finds one spike too many."""

import dataclasses
from types import ModuleType

import numpy as np
import pytest
import torch

from snnconvert.errors import InternalError, ModelError, UsageError
from snnconvert.export import step_model
from snnconvert.export.approximations import approximated
from snnconvert.export.deployed import read_step_model
from snnconvert.export.probes import exact_samples
from snnconvert.export.session import run_step_model
from snnconvert.export.verification import expected_of, inexact, require_equal
from snnconvert.fold import pools_averaged
from snnconvert.network import NormalForm, Schedule, SpikingNetwork, fixed_point, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from tests.export.test_deployed import FILE, about

STEPS = 6


def spiking(nets: ModuleType, blocks: list[str], pooling="exact", **options: object) -> SpikingNetwork:
    """Weights of any size, on the grid that conversions put them on."""
    graph = nets.recipe(blocks, **options)
    graph = pools_averaged(graph) if pooling == "average" else graph
    return fixed_point(spiking_network(NormalForm(graph, {}), IntegrateAndFire(), pooling, Schedule(STEPS)))


@pytest.mark.parametrize("blocks", [["chain"], ["residual", "projection"], ["maximum"], ["chain", "inception"]])
def test_sums_over_the_samples_are_exact_in_any_order(nets: ModuleType, blocks: list[str]) -> None:
    network = spiking(nets, blocks)
    x = exact_samples(network, 4)
    first = network.graph.nodes[0].operator
    exact = first.mapped(lambda tensor: tensor.double()).evaluate([x.double()])
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(1))
    shuffled = dataclasses.replace(first, weight=first.weight[:, order])  # type: ignore[attr-defined, type-var]
    for operator, given in ((first, x), (shuffled, x[:, order])):
        assert torch.equal(operator.evaluate([given]).double(), exact)


def test_the_samples_make_every_layer_fire(nets: ModuleType) -> None:
    network = spiking(nets, ["chain", "residual"])
    expected = expected_of(network, exact_samples(network, 4), STEPS)
    assert all(bool(count.any()) for count in expected.counts.values())
    assert len(torch.unique(exact_samples(network, 4))) > 3


def test_samples_are_the_same_in_every_run(nets: ModuleType) -> None:
    network = spiking(nets, ["chain"])
    assert torch.equal(exact_samples(network, 2), exact_samples(network, 2))
    assert not torch.equal(exact_samples(network, 2), exact_samples(network, 2, seed=1))


def test_weights_that_no_sum_holds_are_refused(nets: ModuleType) -> None:
    network = spiking(nets, ["chain"])
    huge = dataclasses.replace(network, graph=network.graph.mapped(lambda tensor: tensor * 1e38))
    with pytest.raises(ModelError, match=r"E128.*no samples were found"):
        exact_samples(huge, 2)


def test_onnx_runtime_counts_as_the_engine_does(nets: ModuleType) -> None:
    network = spiking(nets, ["chain", "maximum", "residual"])
    content = step_model(network, about(network))
    read = read_step_model(FILE, content, "0" * 64)
    x = exact_samples(read.network, 3)
    expected = expected_of(read.network, x, STEPS)
    agreement = require_equal(read.network, expected, "it", *run_step_model(content, read.about, x, STEPS, "snn.onnx"))
    assert agreement.differing == 0
    assert agreement.spikes > 0
    assert "all equal" in str(agreement)


def test_one_spike_too_many_is_found(nets: ModuleType) -> None:
    network = spiking(nets, ["chain", "chain"])
    expected = expected_of(network, exact_samples(network, 2), STEPS)
    counts = {name: count.clone() for name, count in expected.counts.items()}
    require_equal(network, expected, "it", expected.output, counts)
    next(iter(counts.values()))[0, 0, 0, 0] += 1
    with pytest.raises(InternalError, match=r"E912.*it: 1 of "):
        require_equal(network, expected, "it", expected.output, counts)


def test_a_weight_that_moves_no_spike_is_found(nets: ModuleType) -> None:
    network = spiking(nets, ["chain", "chain"])
    x = exact_samples(network, 2)
    expected = expected_of(network, x, STEPS)
    weight = [node for node in network.graph.nodes if node.operator.weights][1].operator.weight.clone()
    busy = int(next(iter(expected.counts.values())).sum((0, 2, 3)).argmax())
    weight[0, busy, 1, 1] += 2.0**-12
    other = dataclasses.replace(
        network, graph=network.graph.mapped(lambda tensor: weight if tensor.shape == weight.shape else tensor)
    )
    runs = []
    for each in (network, other):
        content = step_model(each, about(each))
        runs.append(run_step_model(content, read_step_model(FILE, content, "0" * 64).about, x, STEPS, "snn.onnx"))
    (output, counts, potentials), (_, same, others) = runs
    assert all(torch.equal(count, same[name]) for name, count in counts.items())
    expected = dataclasses.replace(expected, potentials=potentials)
    require_equal(network, expected, "it", output, counts, potentials)
    with pytest.raises(InternalError, match=r"E912.*it: potentials of '.*' differ"):
        require_equal(network, expected, "it", output, counts, others)


def test_a_layer_that_is_not_compared_is_found(nets: ModuleType) -> None:
    network = spiking(nets, ["chain", "chain"])
    expected = expected_of(network, exact_samples(network, 2), STEPS)
    (one, count), *others = expected.counts.items()
    for counts in (dict(others), {"x": count, **dict(others)}, {one: count[:1], **dict(others)}):
        with pytest.raises(InternalError, match=r"E912.*it: counts spikes of other layers"):
            require_equal(network, expected, "it", expected.output, counts)


def test_another_output_is_found(nets: ModuleType) -> None:
    network = spiking(nets, ["chain"])
    expected = expected_of(network, exact_samples(network, 2), STEPS)
    with pytest.raises(InternalError, match="outputs by"):
        require_equal(network, expected, "it", expected.output * 1.01, expected.counts)
    with pytest.raises(InternalError, match="outputs by nan"):
        require_equal(network, expected, "it", expected.output * np.nan, expected.counts)


def test_where_sums_are_rounded_a_few_spikes_may_differ(nets: ModuleType) -> None:
    exact = spiking(nets, ["chain", "chain"])
    rounded = spiking(nets, ["maximum", "chain"], "average")
    assert inexact(exact) == []
    assert inexact(rounded) == ["a mean of 9 in 'maxpool2'"]
    expected = expected_of(rounded, exact_samples(rounded, 4), STEPS)
    counts = {name: count.clone() for name, count in expected.counts.items()}
    first = next(iter(counts.values()))
    first[0, 0, 0, 0] += 1
    assert require_equal(rounded, expected, "it", expected.output, counts).differing == 1
    with pytest.raises(InternalError, match=r"outputs by \de\+0"):  # a spike more is no reason for any output
        require_equal(rounded, expected, "it", expected.output * 0 + 1e6, counts)
    first += 1
    with pytest.raises(InternalError, match="differ from the engine's"):
        require_equal(rounded, expected, "it", expected.output, counts)


def test_metadata_that_do_not_fit_are_refused(nets: ModuleType) -> None:
    network = spiking(nets, ["chain"])
    content = step_model(network, about(network))
    read = read_step_model(FILE, content, "0" * 64)
    with pytest.raises(ModelError, match="not what its metadata say"):
        run_step_model(content, {"states": {}, "emitters": {}}, exact_samples(read.network, 1), 1, "snn.onnx")
    with pytest.raises(ModelError, match="ONNX Runtime does not take it"):
        run_step_model(content[:-50], read.about, exact_samples(read.network, 1), 1, "snn.onnx")


def test_an_approximation_is_made_where_it_is_allowed_and_told(nets: ModuleType) -> None:
    network = spiking(nets, ["maximum"])
    changed, told = approximated(network, ["max-pool"])
    assert not changed.pools.keys() - {name for name, form in changed.pools.items() if form == "average"}
    assert told == ["max pools are approximated by the mean of their window: maxpool2"]
    layer = network.graph.activations[0].name
    rows = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    changed, told = approximated(dataclasses.replace(network, biases={layer: rows}), ["step-bias"])
    assert changed.biases[layer].tolist() == [[[[0.5]]]]
    assert "approximated by their mean" in told[0]


@pytest.mark.parametrize(("name", "message"), [("rates", "no 'rates'"), ("step-bias", "holds nothing of it")])
def test_an_approximation_that_means_nothing_is_refused(nets: ModuleType, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        approximated(spiking(nets, ["chain"]), [name])
