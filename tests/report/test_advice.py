"""One sentence, by rule: each rule speaks in its own case, and names options that exist."""

import re
from typing import Any

import pytest
import torch

from snnconvert.cli.convert import command
from snnconvert.convert.recipe import Recipe
from snnconvert.graph import Graph, Node
from snnconvert.network import NormalForm, Schedule, spiking_network
from snnconvert.neurons import make_neuron
from snnconvert.operators.activation import ReLU
from snnconvert.operators.linear import Linear
from snnconvert.report.advice import advice

OPTIONS = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
GRAPH = Graph(
    "net",
    "x",
    (1,),
    tuple(
        node
        for k in range(4)
        for node in (
            Node(f"w{k}", Linear(torch.ones(1, 1), torch.zeros(1)), ("x" if k == 0 else f"r{k - 1}",)),
            Node(f"r{k}", ReLU(), (f"w{k}",)),
        )
    ),
    "r3",
)


def document(clipping: float, quantisation: float, unevenness: float) -> dict[str, Any]:
    total = clipping + quantisation + unevenness
    parts = {"clipping": clipping, "quantisation": quantisation, "unevenness": unevenness}
    rows = [{"name": f"r{k}", **{cause: k * part for cause, part in parts.items()}, "unused": 0.0} for k in range(4)]
    return {"samples": 8, "t": 8, "output_error": {**parts, "total": total}, "layers": rows}


def said(
    diagnosis: dict[str, Any],
    schedule: Schedule | None = None,
    neuron: tuple[str, dict[str, Any]] = ("if", {}),
    curves: dict[str, Any] | None = None,
    evaluated: float | None = None,
    averaged: float | None = None,
    **recipe: Any,
) -> str:
    chosen = make_neuron(*neuron)
    schedule = schedule or Schedule(8)
    network = spiking_network(NormalForm(GRAPH, {}), chosen, schedule=schedule)
    made = Recipe(**{"method": "percentile", "neuron": chosen, "schedule": schedule, **recipe})
    sentence = advice(diagnosis, curves, made, network, evaluated, averaged)
    assert set(re.findall(r"--[a-z][-a-z]*", sentence)) <= OPTIONS, sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 500
    return sentence


EVEN = document(0.0, 0.0, 0.5)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        (lambda: said(document(0.01, 0.02, 0.01)), ["Nothing to change", "4.0 %"]),
        (lambda: said(document(0.5, 0.1, 0.1)), ["71 %", "clipping", "'r3'", "--percentile", "--method mse"]),
        (lambda: said(document(0.5, 0.1, 0.1), method="mse"), ["--method percentile --percentile 99.99"]),
        (lambda: said(document(0.1, 0.5, 0.1)), ["quantisation", "8 steps", "--steps, such as 16", "--spikes graded"]),
        (lambda: said(document(0.1, 0.5, 0.4)), ["50 %", "40 % from unevenness"]),
        (lambda: said(EVEN), ["unevenness", "'r3'", "--correct step-bias,weights", "if-signed"]),
        (lambda: said(EVEN, correct=("bias",)), ["--correct step-bias,weights"]),
        (lambda: said(EVEN, correct=("step-bias", "weights")), ["try --warm-up 0.5"]),
        (lambda: said(EVEN, curves={"delayed": [0.9], "synchronous": [0.5]}), ["--onset-delay 1 (3 steps more)"]),
        (
            lambda: said(EVEN, neuron=("if-signed", {}), correct=("step-bias", "weights"), schedule=Schedule(8, 1)),
            ["more --steps"],
        ),
        (lambda: said(EVEN, neuron=("differential", {})), ["--correct bias,weights"]),
        (lambda: said(EVEN, Schedule(1)), ["one step of a spike or none", "cannot", "if-multi"]),
        (lambda: said(EVEN, Schedule(4, warm_up=2.0)), ["'r2'", "never fires", "--warm-up"]),
        (lambda: said(EVEN, neuron=("if", {"reset": "zero"})), ["reset to zero", "no number of steps", "--reset"]),
        (lambda: said(EVEN, neuron=("if", {"leak": 0.1})), ["leak", "neuron.leak=0"]),
        (lambda: said(EVEN, neuron=("lif", {})), ["no rectifier", "--neuron if"]),
        (lambda: said(document(0.1, 0.1, 0.1), evaluated=0.9), ["evaluation set", "90.0 %", "30.0 %"]),
    ],
)
def test_rules(sentence: Any, words: list[str]) -> None:
    told = sentence()
    for word in words:
        assert word in told, told


def test_graded_spikes_in_one_step_are_no_single_bit() -> None:
    assert "one step of a spike" not in said(document(0, 0.5, 0), Schedule(1), ("if-multi", {}))


def test_negative_parts_take_no_share() -> None:
    assert "100 % of that" in said(document(0.0, 0.5, -0.2))


def test_onset_delay_that_does_not_help_is_not_advised() -> None:
    assert "--onset-delay" not in said(EVEN, curves={"delayed": [0.5], "synchronous": [0.5]})


def test_layer_that_no_sample_reaches_comes_first() -> None:
    diagnosis = document(0.0, 0.0, 0.0)
    diagnosis["layers"][1]["unused"] = 1.0
    assert "'r1' is zero on every calibration sample" in said(diagnosis)


def test_outputs_that_are_zero() -> None:
    diagnosis = document(0.0, 0.0, 0.0)
    diagnosis["output_error"] = dict.fromkeys(diagnosis["output_error"])
    assert said(diagnosis).startswith("Nothing can be said")


def test_hostile_names_are_made_printable() -> None:
    diagnosis = document(0.0, 0.5, 0.0)
    diagnosis["layers"][3]["name"] = "a\x1b[2J\n" + "b" * 10_000
    sentence = said(diagnosis)
    assert "\x1b" not in sentence


def test_averaged_pools_are_named_before_anything_else() -> None:
    sentence = said(document(0.01, 0.01, 0.01), evaluated=0.9, averaged=0.87)
    assert sentence.startswith(
        "Averages in the place of max pools change the outputs by 87.0 % before there is any spike"
    )
    assert said(document(0.01, 0.01, 0.01), averaged=0.05).startswith("Nothing to change")
