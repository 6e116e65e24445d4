"""``snnconvert cost``: what a bundle's network costs, told and as JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def test_cost_is_told_in_80_columns_and_as_json(cli: Callable, bundle: Path, work: Path) -> None:
    (work / "m.yaml").write_text("name: a chip\nsource: its data sheet\nac_pj: 1\nmac_pj: 2.5\n")
    arguments = ["cost", str(bundle), "--samples", "8", "--energy-model", str(work / "m.yaml")]
    told = cli(*arguments)
    assert told.status == 0
    assert max(map(len, told.out.splitlines())) <= 80
    assert "a chip" in told.out
    document = json.loads(cli(*arguments, "--json").out)
    assert document["schema"] == "snnconvert/cost/1"
    assert document["samples"] == 8
    mine = document["energy"][-1]
    done = document["synaptic_operations"]
    assert mine["joules"] == pytest.approx(1e-12 * (done["Effective_ACs"] + 2.5 * done["Effective_MACs"]))


def test_more_samples_than_there_are_are_all(cli: Callable, bundle: Path) -> None:
    done = cli("cost", bundle, "--json")
    metrics = json.loads((bundle / "metrics.json").read_bytes())
    document = json.loads(done.out)
    assert document["samples"] == min(64, metrics["samples"])
    if document["samples"] == metrics["samples"]:
        counted = document["synaptic_operations"]["Effective_ACs"]
        assert counted == pytest.approx(metrics["steps"][-1]["synops_per_sample"], rel=0.01)  # without zero weights


@pytest.mark.parametrize("arguments", [["--samples", "0"], ["--energy-model", "none.yaml"], ["--data", "nowhere"]])
def test_what_cannot_be_used_is_refused(cli: Callable, bundle: Path, arguments: list[str]) -> None:
    done = cli("cost", bundle, *arguments)
    assert (done.status, done.out) == (2, "")
    assert "error[E0" in done.err


@pytest.mark.parametrize(("target", "status"), [("speck", 1), ("loihi2", 0), ("spinnaker2", 0)])
def test_a_chip_is_compared(cli: Callable, bundle: Path, target: str, status: int) -> None:
    told = cli("cost", bundle, "--target", target)
    assert told.status == status
    table = [line for line in told.out.splitlines() if not line.startswith("[")]  # sources are as long as they are
    assert max(map(len, table)) <= 80
    document = json.loads(cli("cost", bundle, "--target", target, "--json").out)
    assert (document["target"], document["fits"]) == (target, not status)


def test_an_unknown_chip_is_refused(cli: Callable, bundle: Path) -> None:
    done = cli("cost", bundle, "--target", "spek")
    assert (done.status, done.out) == (2, "")
    assert "did you mean 'speck'?" in done.err
