"""`--method auto`, and options for few steps chosen by hand, from the command to the answer of the evaluator."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from snnconvert import recipes
from snnconvert.convert import recipe as recipe_module
from snnconvert.convert.auto import CLOSE, Trial, choose
from snnconvert.convert.corrections import corrected
from snnconvert.neurons import NEURONS

MODELS = Path(__file__).parents[2] / "models"
CAN_SEND = {"binary": {"binary"}, "signed": {"binary", "signed"}, "graded": {"binary", "signed", "graded"}}


@pytest.fixture
def deep(digits: dict[str, Path]) -> list[str]:
    """Arguments of a conversion of a network in which layers have something to wait for."""
    files = [MODELS / "digits_resnet.onnx", "--calib", digits["calib"], "--eval", digits["eval"]]
    return [*map(str, files), "--preprocess", "scale=1/16", "--steps", "1,4", "--seed", "3"]


class Search:
    """What a search that runs by itself tried, fitted on and compared on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried: list[Trial] = []
        self.held_out = torch.zeros(0)
        self.fitted: list[Tensor] = []
        monkeypatch.setattr(recipes, "choose", self.choose)
        monkeypatch.setattr(recipe_module, "corrected", self.corrected)

    def choose(self, base: object, spikes: object, convert: object, ann: object, held_out: Tensor, heard: Callable):
        self.held_out = held_out

        def both(trial: Trial) -> None:
            self.tried.append(trial)
            heard(trial)

        found = choose(base, spikes, convert, ann, held_out, both)
        self.while_searching = len(self.fitted)
        return found

    def corrected(self, network: object, x: Tensor, *others: object) -> object:
        self.fitted.append(x)
        return corrected(network, x, *others)

    @property
    def best(self) -> Trial:
        close = [trial for trial in self.tried if trial.loss <= CLOSE * min(each.loss for each in self.tried)]
        return min(close, key=lambda trial: trial.synops)


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Search:
    return Search(monkeypatch)


def chosen(bundle: str) -> dict[str, object]:
    return yaml.safe_load(Path(bundle, "config.yaml").read_text(encoding="utf-8"))


# --method auto


@pytest.mark.parametrize("spikes", CAN_SEND)
def test_auto_keeps_the_best_of_what_it_says_it_tried(
    cli: Callable, deep: list[str], search: Search, spikes: str
) -> None:
    result = cli("convert", *deep, "--method", "auto", "--spikes", spikes)
    assert result.status == 0
    pattern = r"note: tried: (.+): output error ([\d.]+), ([\d,]+) SynOps"
    told = [match.groups() for match in re.finditer(pattern, result.err)]
    assert told == [(each.told, f"{each.loss:.4f}", f"{each.synops:,.0f}") for each in search.tried]
    best = search.best
    (line,) = re.findall(r"note: auto chose: (.+)", result.err)
    assert line == f"{best.told} (output error {best.loss:.4f} on 20 samples not fitted on)"
    assert {NEURONS[each.recipe.neuron.name].spikes for each in search.tried} == CAN_SEND[spikes]
    options = chosen("digits_resnet_snn")["convert"]
    found = (options["method"], options["neuron"], tuple(options["correct"]), options["warm_up"])
    assert found == (
        best.recipe.method,
        best.recipe.neuron.name,
        best.recipe.correct,
        best.recipe.schedule.warm_up,
    )


def test_auto_compares_on_calibration_samples_that_it_did_not_fit_on(
    cli: Callable, deep: list[str], search: Search, digits: dict[str, Path]
) -> None:
    assert cli("-q", *deep, "--method", "auto").status == 0
    with np.load(digits["calib"]) as data:
        calib = {image.tobytes() for image in np.float32(data["images"].reshape(40, 64) / 16)}
    held_out, *fitted = (
        {image.tobytes() for image in x.numpy().reshape(len(x), 64)}
        for x in (search.held_out, *search.fitted[: search.while_searching])
    )
    assert len(held_out) == 20
    assert fitted
    assert all(part == calib - held_out for part in fitted)
    assert held_out < calib


REPEATED = [
    ("--spikes", "binary"),
    ("--spikes", "signed", "--initial-potential", "0.25"),
    ("--spikes", "graded"),
    ("--spikes", "graded", "--onset-delay", "1", "--initial-potential", "0.25"),
    ("--spikes", "graded", "--readout-from", "1", "--per-layer"),
]


@pytest.mark.parametrize("options", REPEATED, ids=" ".join)
def test_config_of_a_search_repeats_its_choice_without_a_search(
    cli: Callable, deep: list[str], search: Search, options: tuple[str, ...]
) -> None:
    assert cli("-q", *deep, "--method", "auto", *options, "--out", "first_snn").status == 0
    assert chosen("first_snn")["convert"]["method"] != "auto"
    tried = len(search.tried)
    result = cli("-q", "--config", "first_snn/config.yaml", "--out", "again_snn")
    assert (result.status, result.err, len(search.tried)) == (0, "", tried)
    first, again = (
        {path.name: path.read_bytes() for path in Path(name).iterdir()} for name in ("first_snn", "again_snn")
    )
    records = [json.loads(files.pop("run.json")) for files in (first, again)]
    assert first == again
    assert [len(record["tried"]) for record in records] == [tried + 1, 0]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--reset", "zero"), "--reset"),
        (("--set", "neuron.leak=0.1"), "neuron.leak"),
        (("--set", "neuron.k=3"), "neuron.k"),
    ],
)
def test_neuron_that_auto_would_not_try_is_refused(
    cli: Callable, job: list[str], option: tuple[str, str], told: str
) -> None:
    result = cli(*job, "--method", "auto", *option)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"error[E003]: --method auto: it chooses {told} itself\n")


# by hand


def test_layer_that_waits_for_all_of_the_steps_is_told(cli: Callable, deep: list[str]) -> None:
    result = cli(*deep, "--warm-up", "1")
    assert result.status == 0
    assert "waits for all of the 4 steps and never fires; take more --steps or a smaller --warm-up" in result.err


def evaluated(bundle: str, *arguments: str) -> dict[str, object]:
    """What the bundle's own evaluator reports, in a process of its own."""
    command = [sys.executable, "-I", Path(bundle, "evaluate.py").resolve(), "--json", *arguments]
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


HAND = {
    "onset delay": ("--method", "mse", "--correct", "step-bias,weights", "--onset-delay", "1"),
    "warm-up": ("--method", "mse", "--correct", "step-bias,potential", "--warm-up", "0.5"),
    "signed": ("--method", "balance", "--neuron", "if-signed", "--correct", "bias,potential", "--readout-from", "2"),
    "graded": ("--method", "mse", "--neuron", "if-signed-multi", "--set", "neuron.k=3", "--onset-delay", "2"),
    "powers": ("--method", "max", "--neuron", "multi-threshold", "--correct", "weights", "--warm-up", "1"),
    "decoded": ("--method", "mse", "--neuron", "differential", "--correct", "bias,weights"),
}


@pytest.mark.parametrize("options", HAND.values(), ids=HAND.keys())
def test_evaluator_reports_what_the_conversion_reported(
    cli: Callable, deep: list[str], options: tuple[str, ...]
) -> None:
    result = cli("--json", *deep, *options, "--steps", "1,4,8", "--out", "net_snn")
    assert result.status == 0
    told, found = json.loads(result.out), evaluated("net_snn")
    assert found["schedule"] == told["schedule"]
    for mine, theirs in zip(found["steps"], told["steps"], strict=True):
        assert [mine[name] for name in ("t", "total_steps")] == [theirs[name] for name in ("t", "total_steps")]
        assert [mine[name] for name in ("accuracy", "agreement")] == [
            theirs[name] for name in ("accuracy", "agreement")
        ]
        for name in ("spikes_per_sample", "synops_per_sample"):  # rounding may move a spike
            assert mine[name] == pytest.approx(theirs[name], rel=1e-3)
    assert told["steps"][-1]["accuracy"] > 0.9
