"""The search keeps what loses least on samples that it did not fit on, and of equals the cheapest."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from snnconvert.calibrate import collect
from snnconvert.convert import auto
from snnconvert.convert.auto import CLOSE, Trial, choose
from snnconvert.convert.recipe import Recipe
from snnconvert.graph import Graph
from snnconvert.network import Schedule, SpikingNetwork
from snnconvert.neurons import make_neuron
from snnconvert.simulate import Simulator
from tests import nets

STEPS = 8
BASE = Recipe("percentile", make_neuron("if", {}), Schedule(STEPS), ("bias",))
SPIKES = ("binary", "signed", "graded")
SENT = {"binary": {"binary"}, "signed": {"binary", "signed"}, "graded": {"binary", "signed", "graded"}}
Measure = Callable[[Recipe], tuple[float, float]]


def graph_of() -> Graph:
    net = nets.Net(2, 6, 6, seed=1)
    x = net.relu(net.conv("x", 4))
    for _ in range(2):
        x = nets.residual(net, x)
    return net.graph(net.linear(net.flatten(net.average(x)), 3))


GRAPH = graph_of()
SAMPLES = torch.randn((64, *GRAPH.input_shape), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Trial, list[Trial]]]:
    """Search where losses and SynOps are what a test says; return the choice and all that was tried."""

    def call(measure: Measure, spikes: str = "binary", base: Recipe = BASE) -> tuple[Trial, list[Trial]]:
        monkeypatch.setattr(auto, "_measured", lambda recipe, *_: Trial(recipe, *measure(recipe)))
        tried: list[Trial] = []
        best = choose(base, spikes, lambda recipe: recipe.try_on(GRAPH), GRAPH, SAMPLES[:2], tried.append)
        return best, tried

    return call


def by_chance(seed: int) -> Callable[[], float]:
    """Numbers that are far apart, in any order."""
    numbers = [1.1**power for power in range(100)]
    random.Random(seed).shuffle(numbers)
    return iter(numbers).__next__


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spikes", SPIKES)
def test_least_loss_is_kept_whatever_it_costs(search: Callable, spikes: str, seed: int) -> None:
    draw = by_chance(seed)

    def measure(recipe: Recipe) -> tuple[float, float]:
        loss = draw()
        return loss, 1 / loss

    best, tried = search(measure, spikes)
    assert best.loss == min(trial.loss for trial in tried)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spikes", SPIKES)
def test_of_equal_losses_the_fewest_operations_are_kept(search: Callable, spikes: str, seed: int) -> None:
    draw = by_chance(seed)
    best, tried = search(lambda recipe: (0.5, draw()), spikes)
    assert best.synops == min(trial.synops for trial in tried)


@pytest.mark.parametrize(("loss", "kept"), [(1.019, "percentile"), (1.021, "mse")])
def test_two_percent_are_equal_and_more_are_not(search: Callable, loss: float, kept: str) -> None:
    assert CLOSE == 1.02
    best, _ = search(lambda recipe: (1.0, 2.0) if recipe.method == "mse" else (loss, 1.0))
    assert best.recipe.method == kept


@pytest.mark.parametrize("spikes", SPIKES)
def test_nothing_worse_than_the_defaults_is_chosen_though_it_is_cheaper(search: Callable, spikes: str) -> None:
    best, _ = search(lambda recipe: (1.0, 2.0) if recipe == BASE else (1.019, 1.0), spikes)
    assert best.recipe == BASE


@pytest.mark.parametrize("spikes", SPIKES)
def test_only_neurons_that_the_hardware_can_run_are_tried(search: Callable, spikes: str) -> None:
    draw = by_chance(0)
    _, tried = search(lambda recipe: (draw(), 1.0), spikes)
    assert {trial.recipe.neuron.spikes for trial in tried} == SENT[spikes]


def test_no_recipe_is_tried_twice(search: Callable) -> None:
    _, tried = search(lambda recipe: (1.0, 1.0), "graded")
    assert all(one.recipe != other.recipe for index, one in enumerate(tried) for other in tried[:index])


@pytest.mark.parametrize("kind", ["mse", "percentile"])
@pytest.mark.parametrize("correct", [*auto.CORRECTIONS, auto.BEST_GUESS])
@pytest.mark.parametrize("warm_up", [0.0, *auto.WARM_UPS])
def test_every_binary_recipe_can_be_found(
    search: Callable, kind: str, correct: tuple[str, ...], warm_up: float
) -> None:
    def measure(recipe: Recipe) -> tuple[float, float]:
        wrong = (recipe.method != kind, recipe.correct != correct, recipe.schedule.warm_up != warm_up)
        return 1.0 + sum(wrong), 1.0

    best, _ = search(measure)
    assert (best.recipe.method, best.recipe.correct, best.recipe.schedule.warm_up) == (kind, correct, warm_up)


def test_layers_that_wait_already_get_no_warm_up_and_no_code_that_cannot_wait(search: Callable) -> None:
    base = replace(BASE, schedule=Schedule(STEPS, onset_delay=1))
    _, tried = search(lambda recipe: (1.0, 1.0), "graded", base)
    assert {trial.recipe.schedule for trial in tried} == {base.schedule}
    assert "if-signed-multi" in {trial.recipe.neuron.name for trial in tried}
    assert not any(trial.recipe.neuron.decodes for trial in tried)


def test_all_neurons_start_at_the_potential_that_was_asked_for(search: Callable) -> None:
    base = replace(BASE, neuron=make_neuron("if", {"initial_potential": 0.25}))
    _, tried = search(lambda recipe: (1.0, 1.0), "graded", base)
    started = {getattr(trial.recipe.neuron, "initial_potential", None) for trial in tried}
    assert started == {0.25, None}
    assert all(trial.recipe.neuron.decodes for trial in tried if not hasattr(trial.recipe.neuron, "initial_potential"))


@pytest.mark.parametrize("spikes", SPIKES)
def test_losses_and_operations_are_those_of_the_network_on_the_samples_held_out(spikes: str) -> None:
    fitted, held_out = SAMPLES[::2], SAMPLES[1::2]
    statistics = collect(GRAPH, [SAMPLES.numpy()], True, torch.device("cpu"))
    depths = BASE.try_on(GRAPH).depths
    made: list[tuple[Recipe, SpikingNetwork]] = []

    def build(recipe: Recipe) -> SpikingNetwork:
        normal = recipe.scaled(GRAPH, statistics, depths, list)
        made.append((recipe, recipe.spiking(normal, statistics, fitted, lambda _: None)))
        return made[-1][1]

    tried: list[Trial] = []
    best = choose(replace(BASE, schedule=Schedule(4)), spikes, build, GRAPH, held_out, tried.append)
    expected = GRAPH.run(held_out)
    for trial in tried:
        network = next(network for recipe, network in made if recipe == trial.recipe)
        (readout,) = Simulator(network).run(held_out, [4])
        loss = float((readout.estimate - expected).norm() / expected.norm())
        synops = sum(float((each.double() * network.fan_out[name]).sum()) for name, each in readout.events.items())
        assert trial.loss == pytest.approx(loss, rel=1e-4)
        assert trial.synops == pytest.approx(synops / len(held_out), rel=1e-9)
    close = [trial for trial in tried if trial.loss <= CLOSE * min(each.loss for each in tried)]
    assert best in close
    assert best.synops == min(trial.synops for trial in close)
