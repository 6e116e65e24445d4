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


def test_the_bundle_has_the_same_numbers(cli: Callable, bundle: Path) -> None:
    """The network that was converted, and the one read back from snn.onnx, cost the same."""
    kept = json.loads((bundle / "metrics.json").read_bytes())["cost"]
    document = json.loads(cli("cost", bundle, "--samples", str(kept["samples"]), "--json").out)
    assert {name: value for name, value in document.items() if name not in ("schema", "bundle")} == kept


@pytest.mark.parametrize("arguments", [["--samples", "0"], ["--energy-model", "none.yaml"], ["--data", "nowhere"]])
def test_what_cannot_be_used_is_refused(cli: Callable, bundle: Path, arguments: list[str]) -> None:
    done = cli("cost", bundle, *arguments)
    assert (done.status, done.out) == (2, "")
    assert "error[E0" in done.err


@pytest.mark.parametrize(
    ("weights", "target", "status"),
    [("float32", "loihi2", 1), ("int8", "loihi2", 1), ("int8", "speck", 1), ("int8", "spinnaker2", 0)],
)
def test_a_chip_is_compared(cli: Callable, job: list[str], work: Path, weights: str, target: str, status: int) -> None:
    assert cli(*job, "--weights", weights, "--out", work / "net").status == 0
    told = cli("cost", work / "net", "--target", target)
    assert told.status == status
    assert max(map(len, told.out.splitlines())) <= 80
    assert "nobody ran it on the chip" in told.out
    document = json.loads(cli("cost", work / "net", "--target", target, "--json").out)
    assert (document["target"], document["fits"], document["ran_on_chip"]) == (target, not status, False)
    measured = {row["what"]: row for row in document["rows"]}.get("potentials, as measured")
    assert (measured is None) == (target == "spinnaker2" or weights == "float32")
    assert all(row["source"] for row in document["rows"])


def test_an_unknown_chip_is_refused(cli: Callable, bundle: Path) -> None:
    done = cli("cost", bundle, "--target", "spek")
    assert (done.status, done.out) == (2, "")
    assert "did you mean 'speck'?" in done.err


def test_export_tells_the_same(cli: Callable, bundle: Path, work: Path) -> None:
    """As interfaces of chips ask for it: what would be written for a target, and what it would cost."""
    assert cli("export", bundle, "--target", "speck").out == cli("cost", bundle, "--target", "speck").out
    (work / "mine.yaml").write_text("name: mine\nsource: a guess\nac_pj: 1.0\nmac_pj: 2.0\n")
    told = cli("export", bundle, "--energy-model", "mine.yaml", "--json")
    assert told.status == 0
    assert [each["model"] for each in json.loads(told.out)["energy"]][-1] == "mine"
    assert "Missing option '--to'" in cli("export", bundle).err
    assert "Missing option '--out'" in cli("export", bundle, "--to", "nir").err
    done = cli("export", bundle, "--to", "nir", "--out", "a.nir", "--target", "speck")
    assert done.status == 2
    assert "one of them" in done.err
