"""``snnconvert check``: from the first baseline to the exit status, on a small network."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import helper

from snnconvert.cli.check import command


@pytest.fixture
def baseline(bundle: Path, cli: Callable, inputs: Path) -> Path:
    """A baseline of the bundle, 32 digits at T = 1 and 4."""
    path = inputs / "snn-baseline.json"
    assert cli("check", bundle, "--baseline", path, "--update", "--reason", "first").status == 1
    return path


def entry(baseline: Path) -> dict:
    return json.loads(baseline.read_text())["models"][0]


@pytest.fixture
def forget(baseline: Path) -> Callable[[], None]:
    """Let the baseline forget its predictions."""

    def call() -> None:
        shutil.rmtree(baseline.parent / "snn-baseline")

    return call


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["net_snn", "--calib", "x.npz"], 2, "error[E003]: --calib: net_snn is a bundle"),
        (["none_snn"], 2, "error[E001]: none_snn: no such bundle or model"),
        (["net.onnx"], 2, "error[E002]: net.onnx: a model is converted first, which needs samples"),
        (["net_snn", "net_snn", "--name", "x"], 2, "error[E003]: --name: of one network, but there are 2"),
        (["net_snn", "--name", "x"], 2, "error[E303]: snn-baseline.json: has no model 'x'"),
        (["net_snn", "--reason", "x"], 2, "error[E003]: --reason: only a new baseline has one"),
        (["net_snn", "--update"], 2, "error[E003]: --update: why?"),
        *(
            (
                ["net_snn", "--update", "--reason", "x", *option],
                2,
                f"error[E003]: --update: nothing is judged, {option[0]} ",
            )
            for option in (["--junit", "j"], ["--markdown", "m"], ["--strict"], ["--allow-partial"])
        ),
        (["net_snn", "net_snn", "--update", "--reason", "x"], 2, "error[E003]: --update: two of the networks"),
        (["net_snn", "--rail", "min_accuracy"], 2, "error[E003]: --rail: expected NAME=VALUE"),
        (["net_snn", "--rail", "min=1"], 2, "error[E003]: --rail: no rail 'min'"),
        (["net_snn", "--margin", "0"], 2, "error[E003]: --margin: margin: "),
        (["net_snn", "--steps", "2"], 2, "error[E303]: net_snn: has no row of T = 2, but of 1, 4"),
        (["net_snn", "--junit", "none/j.xml"], 5, "error[E401]: none/j.xml: there is no folder"),
        (["net_snn", "--data", "calib.npz"], 4, "error[E201]: calib.npz: holds no sample of the baseline"),
    ],
)
def test_refusals(
    cli: Callable,
    baseline: Path,
    digits: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    told: str,
) -> None:
    monkeypatch.chdir(baseline.parent)
    for name in ("model", "calib"):
        shutil.copy(digits[name], baseline.parent)
    before = sorted(path for path in baseline.parent.rglob("*"))
    result = cli("check", *arguments, "--baseline", baseline.name)
    assert result.status == status
    assert result.complaint[0].startswith(told)
    assert result.complaint[1].startswith("hint: ")
    assert result.out == ""
    assert sorted(path for path in baseline.parent.rglob("*")) == before


def test_a_damaged_bundle_is_refused(cli: Callable, baseline: Path, bundle: Path) -> None:
    (bundle / "predictions.npz").write_bytes(b"x")
    assert cli("check", bundle, "--baseline", baseline).complaint[0].startswith("error[E403]: ")


def test_a_missing_baseline_says_how_to_write_one(cli: Callable, bundle: Path) -> None:
    result = cli("check", bundle, "--baseline", "none.json")
    assert result.status == 2
    assert "--update --reason TEXT writes one" in result.complaint[1]


def test_the_first_baseline_needs_a_bundle(cli: Callable, digits: dict[str, Path], inputs: Path) -> None:
    files = ("check", digits["model"], "--calib", digits["calib"], "--baseline", inputs / "new.json")
    result = cli(*files, "--update", "--reason", "x")
    assert result.status == 2
    assert "does not say how to convert it" in result.complaint[0]


def test_stored_predictions_are_compared_and_that_is_said(cli: Callable, baseline: Path, bundle: Path) -> None:
    result = cli("check", bundle, "--baseline", baseline, "--strict")
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[0].endswith("32 samples, stored predictions, nothing was run")
    assert lines[1].endswith("no prediction changed")
    assert lines[-1] == "PASS"


def test_a_bundle_is_run_on_data(cli: Callable, baseline: Path, bundle: Path, digits: dict[str, Path]) -> None:
    result = cli("check", bundle, "--baseline", baseline, "--data", digits["eval"], "--json")
    assert result.status == 0
    (found,) = json.loads(result.out)["models"]
    assert (found["source"], found["samples"], found["paired"]) == ("run", 32, True)
    assert found["findings"][0]["identical"]


def test_the_samples_of_the_baseline_are_found_among_others_in_any_order(
    cli: Callable, baseline: Path, bundle: Path, digits: dict[str, Path], inputs: Path
) -> None:
    sets = [np.load(digits[name]) for name in ("eval", "calib")]
    images, labels = (np.concatenate([each[name] for each in sets])[::-1] for name in ("images", "labels"))
    np.savez(inputs / "all.npz", images=images, labels=labels)
    result = cli("check", bundle, "--baseline", baseline, "--data", inputs / "all.npz")
    assert result.status == 0
    assert "no prediction changed" in result.out
    assert "40 samples of the data are none of the baseline's, and were left out" in result.out
    np.savez(inputs / "some.npz", images=images[-20:], labels=labels[-20:])
    some = ("check", bundle, "--baseline", baseline, "--data", inputs / "some.npz")
    result = cli(*some)
    assert result.status == 4
    assert "12 of the 32 samples of the baseline" in result.complaint[0]
    assert result.complaint[1].startswith("hint: check --allow-partial compares those that both have")
    result = cli(*some, "--allow-partial")
    assert result.status == 0
    assert ", 20 samples, run just now" in result.out.splitlines()[0]
    assert "INCONCLUSIVE  accuracy at T = 4: " in result.out
    assert "  12 samples of the baseline are missing: the others are compared" in result.out
    assert "no prediction changed" in result.out


def test_a_model_is_converted_as_the_baseline_says_and_nothing_of_it_stays(
    cli: Callable,
    baseline: Path,
    digits: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    files = ("--calib", digits["calib"], "--data", digits["eval"])
    result = cli("check", digits["model"], "--baseline", baseline, *files, "--json")
    assert result.status == 0
    (found,) = json.loads(result.out)["models"]
    assert (found["source"], found["target"], found["changed"]) == ("converted", str(digits["model"]), [])
    assert found["findings"][0]["identical"]
    assert [*(tmp_path / "scratch").iterdir()] == []
    assert [*Path().iterdir()] == []


def test_a_model_is_neither_explained_nor_converted_on_other_samples(
    cli: Callable, baseline: Path, digits: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("snnconvert.pipeline.interpret", forbidden)
    files = ("check", digits["model"], "--baseline", baseline, "--calib", digits["calib"], "--data")
    assert cli(*files, digits["eval"]).status == 0
    monkeypatch.setattr("snnconvert.pipeline.measure", forbidden)
    result = cli(*files, digits["unlabelled"])
    assert (result.status, result.complaint[0][:12]) == (4, "error[E201]:")
    assert "32 of the 32 samples of the baseline" in result.complaint[0]


def test_other_calibration_samples_are_told(
    cli: Callable, baseline: Path, digits: dict[str, Path], inputs: Path
) -> None:
    assert len(entry(baseline)["calibration"]) == 64
    with np.load(digits["calib"]) as data:
        np.savez(inputs / "fewer.npz", images=data["images"][1:], labels=data["labels"][1:])
    files = ("check", digits["model"], "--baseline", baseline, "--data", digits["eval"], "--calib")
    assert "changed since" not in cli(*files, digits["calib"]).out
    assert "changed since the baseline: the calibration samples" in cli(*files, inputs / "fewer.npz").out
    document = json.loads(baseline.read_text())
    del document["models"][0]["calibration"]  # as older versions wrote it
    baseline.write_text(json.dumps(document))
    assert "changed since" not in cli(*files, inputs / "fewer.npz").out


def test_options_of_a_baseline_cannot_ask_to_be_trusted_or_name_files(
    cli: Callable, baseline: Path, digits: dict[str, Path]
) -> None:
    assert "/" not in json.dumps(entry(baseline)["options"])
    document = json.loads(baseline.read_text())
    options = document["models"][0]["options"]
    options |= {"trust_model": True, "model": "/etc/passwd"}
    options["eval"]["path"] = "/etc/passwd"
    baseline.write_text(json.dumps(document))
    files = ("--calib", digits["calib"], "--data", digits["eval"])
    assert cli("check", digits["model"], "--baseline", baseline, *files).status == 0
    options["convert"]["percentile"] = 1000.0
    baseline.write_text(json.dumps(document))
    result = cli("check", digits["model"], "--baseline", baseline, *files)
    assert result.status == 2
    assert "snn-baseline.json: net.options: convert.percentile: " in result.complaint[0]


def test_an_option_that_is_younger_than_the_baseline_stood_at_its_default(
    cli: Callable, baseline: Path, bundle: Path
) -> None:
    document = json.loads(baseline.read_text())
    del document["models"][0]["options"]["convert"]["warm_up"]
    baseline.write_text(json.dumps(document))
    assert "changed since" not in cli("check", bundle, "--baseline", baseline).out
    document["models"][0]["options"]["convert"]["warm_up"] = 0.5
    baseline.write_text(json.dumps(document))
    assert "convert.warm_up from 0.5 to 0.0" in cli("check", bundle, "--baseline", baseline).out
    document["models"][0]["options"]["convert"]["warmup"] = 0.5
    baseline.write_text(json.dumps(document))
    result = cli("check", bundle, "--baseline", baseline)
    assert result.status == 2
    assert "snn-baseline.json: net.options: convert.warmup: unknown option" in result.complaint[0]


@pytest.fixture
def worse(job: list[str], cli: Callable, inputs: Path) -> Path:
    """A bundle of the same network that is right on few of the samples."""
    out = inputs / "worse_snn"
    options = ("--out", out, "--percentile", "1", "--percentile-of", "all", "--per-layer", "--correct", "-")
    assert cli(*job, *options).status == 0
    return out


def test_a_regression_ends_with_1_in_every_form(
    cli: Callable, baseline: Path, worse: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = inputs / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    files = ("--junit", inputs / "j.xml", "--markdown", inputs / "m.md")
    result = cli("check", worse, "--baseline", baseline, *files, "--json")
    assert result.status == 1
    assert json.loads(result.out)["verdict"] == "FAIL"
    assert "<failure " in (inputs / "j.xml").read_text()
    assert (inputs / "m.md").read_text() == summary.read_text()
    assert summary.read_text().startswith("### snnconvert check: ❌ FAIL")
    annotated = [line for line in result.err.splitlines() if line.startswith("::error file=")]
    assert len(annotated) == 1


def test_a_summary_that_cannot_be_written_changes_no_verdict(
    cli: Callable, baseline: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "none/summary.md")
    result = cli("check", bundle, "--baseline", baseline)
    assert result.status == 0
    assert "warning: GITHUB_STEP_SUMMARY: not written" in result.err


def test_inconclusive_is_0_and_with_strict_6(
    cli: Callable, baseline: Path, bundle: Path, forget: Callable[[], None]
) -> None:
    forget()
    for strict, status in (((), 0), (("--strict",), 6)):
        result = cli("check", bundle, "--baseline", baseline, *strict)
        assert result.status == status
        assert "INCONCLUSIVE  accuracy at T = 4: " in result.out
        assert "samples would decide" in result.out
        assert "the baseline's predictions are missing" in result.out
        assert result.out.splitlines()[-1].startswith("INCONCLUSIVE: ")


def test_a_broken_rail_ends_with_1_and_an_update_stores_it(cli: Callable, baseline: Path, bundle: Path) -> None:
    rails = ("--rail", "min_accuracy=10", "--rail", "max_steps_to_reach={accuracy: 100, steps: 1}")
    result = cli("check", bundle, "--baseline", baseline, *rails)
    assert "PASS  min_accuracy at T = 4: " in result.out
    assert "FAIL  max_steps_to_reach: 100 % reached at T = 4, at most 1" in result.out
    assert result.status == 1
    assert cli("check", bundle, "--baseline", baseline).status == 0
    stored = ("--update", "--reason", "rails", "--steps", "1,4", "--margin", "2", "--alpha", "0.1")
    assert cli("check", bundle, "--baseline", baseline, *rails, *stored).status == 1
    assert not {"agreement", "output_error"} & set(entry(baseline)["steps"][0])
    gate = entry(baseline)["gate"]
    assert (gate["margin"], gate["alpha"], gate["steps"]) == (2.0, 0.1, [1, 4])
    assert gate["rails"]["max_steps_to_reach"] == {"accuracy": 100, "steps": 1}
    assert cli("check", bundle, "--baseline", baseline).status == 1


def test_an_update_chains_and_still_ends_with_1(cli: Callable, baseline: Path, bundle: Path, worse: Path) -> None:
    first = baseline.read_bytes()
    result = cli("check", worse, "--baseline", baseline, "--update", "--reason", "we can live with it", "--json")
    assert result.status == 1
    told, document = json.loads(result.out), json.loads(baseline.read_text())
    assert (told["verdict"], told["reason"]) == ("UPDATED", "we can live with it")
    assert document["previous"] == told["previous"]
    assert document["previous"].startswith("sha256:")
    assert baseline.read_bytes() != first
    assert len([*(baseline.parent / "snn-baseline").iterdir()]) == 1
    assert cli("check", worse, "--baseline", baseline).status == 0
    assert cli("check", bundle, "--baseline", baseline).out.splitlines()[-1] == "PASS"


def test_a_second_network_joins_the_file(cli: Callable, baseline: Path, bundle: Path) -> None:
    more = ("--baseline", baseline, "--name", "second")
    assert cli("check", bundle, *more, "--update", "--reason", "more").status == 1
    assert [each["name"] for each in json.loads(baseline.read_text())["models"]] == ["net", "second"]
    assert cli("check", bundle, *more).out.startswith("second: ")
    result = cli("check", bundle, bundle, "--baseline", baseline, "--junit", "j.xml")
    assert result.out.count("no prediction changed") == 2
    assert Path("j.xml").read_text().count("<testcase ") == 2


def test_without_labels_agreement_is_gated(
    cli: Callable, digits: dict[str, Path], inputs: Path, tmp_path: Path
) -> None:
    common = ("--calib", digits["calib"], "--preprocess", "scale=1/16", "--steps", "1,4")
    out, path = inputs / "u_snn", inputs / "u.json"
    assert cli(digits["model"], *common, "--eval", digits["unlabelled"], "--out", out).status == 0
    assert cli("check", out, "--baseline", path, "--update", "--reason", "x").status == 1
    assert entry(path)["steps"][0]["correct"] is None
    result = cli("check", out, "--baseline", path, "--data", digits["unlabelled"], "--rail", "min_agreement=1")
    assert result.status == 0
    assert "agreement at T = 4: " in result.out
    assert "no labels: agreement with the ANN stands in for accuracy" in result.out
    with np.load(digits["eval"]) as data:
        np.save(inputs / "unknown.npy", data["images"])
    update = ("--update", "--reason", "others")
    result = cli("check", out, "--baseline", path, "--data", inputs / "unknown.npy", *update)
    assert result.complaint[0].startswith("error[E204]: ")
    assert "the bundle does not hold the ANN's answer" in result.complaint[0]


def test_longer_than_calibrated_for_is_warned_of(
    cli: Callable, job: list[str], baseline: Path, inputs: Path, digits: dict[str, Path]
) -> None:
    short = inputs / "short_snn"
    assert cli(*job[:-1], "1,2", "--out", short).status == 0
    result = cli("check", short, "--baseline", baseline, "--data", digits["eval"])
    assert "accuracy at T = 4: " in result.out
    assert f"warning: {short}: calibrated for T = 2; 4 is beyond" in result.err.splitlines()
    assert "beyond" not in cli("check", short, "--baseline", baseline, "--steps", "1").err


@pytest.fixture
def dense(save_onnx: Callable, inputs: Path) -> tuple[Path, Path]:
    """A network with an answer at each of 25 positions, and samples for it."""
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "b"], ["y"], pads=[1, 1, 1, 1]),
    ]
    make = np.random.default_rng(0)
    shapes = {"a": (4, 2, 3, 3), "b": (3, 4, 3, 3)}
    weights = {name: make.standard_normal(shape).astype(np.float32) / 3 for name, shape in shapes.items()}
    np.savez(inputs / "x.npz", x=make.random((12, 2, 5, 5), np.float32), y=np.arange(12))
    return save_onnx(nodes, weights, (2, 5, 5)), inputs / "x.npz"


def test_outputs_that_are_no_classes_are_gated_by_rails(cli: Callable, dense: tuple[Path, Path], inputs: Path) -> None:
    model, data = dense
    out, path = inputs / "dense_snn", inputs / "dense.json"
    files = ("--calib", data, "--eval", data, "--steps", "4,16")
    assert cli(model, *files, "--out", out).status == 0
    update = cli("check", out, "--baseline", path, "--update", "--reason", "x")
    assert (update.status, update.out.splitlines()[0]) == (
        1,
        f"{model.stem}: outputs that are no classes, of 12 samples at T = 16",
    )
    assert {"correct": None, "agreed": None}.items() <= entry(path)["steps"][1].items()
    assert entry(path)["steps"][1]["output_error"] < 0.2
    bare = cli("check", out, "--baseline", path)
    assert (bare.status, bare.complaint[0][:12]) == (2, "error[E303]:")
    assert "--rail min_agreement=95 --rail max_output_error=5" in bare.complaint[1]
    rails = ("--rail", "min_agreement=50", "--rail", "max_output_error=20", "--rail", "max_synops=0")
    stored = cli("check", out, "--baseline", path, *rails, "--junit", "j.xml", "--markdown", "m.md")
    assert (stored.status, stored.err) == (0, "")
    assert stored.out.splitlines()[0].endswith("outputs that are no classes: nothing but rails")
    assert [line.split()[:2] for line in stored.out.splitlines()[1:4]] == [
        ["PASS", "min_agreement"],
        ["PASS", "max_synops"],
        ["PASS", "max_output_error"],
    ]
    converted = cli("check", model, "--baseline", path, "--calib", data, "--data", data, *rails)
    assert converted.out.splitlines()[1:] == stored.out.splitlines()[1:]
    assert cli("check", out, "--baseline", path, "--rail", "max_output_error=0.001").status == 1
    run = cli("check", out, "--baseline", path, "--data", data, "--rail", "max_synops=0")
    assert (run.status, run.out.splitlines()[-1]) == (0, "PASS")
    refused = cli("check", out, "--baseline", path, "--data", data, "--rail", "min_agreement=50")
    assert "min_agreement: is not known, for want of the ANN's outputs" in refused.complaint[0]


def test_help_has_examples_that_parse() -> None:
    text = CliRunner().invoke(command, ["-h"]).output
    examples = [line.strip() for line in text.splitlines() if line.strip().startswith("snnconvert check ")]
    assert len(examples) == 4
    for example in examples:
        command.make_context("check", example.replace('"release 1"', "x").split()[2:])


def test_checking_stored_predictions_needs_no_torch(baseline: Path, bundle: Path) -> None:
    code = (
        "import sys; from snnconvert.cli import main; status = main(sys.argv[1:]); "
        "sys.exit(status or 100 * ('torch' in sys.modules))"
    )
    command_line = [sys.executable, "-c", code, "check", str(bundle), "--baseline", str(baseline)]
    assert subprocess.run(command_line, capture_output=True, check=False, env=dict(os.environ)).returncode == 0


def test_schema_of_the_baseline_is_that_of_the_file(cli: Callable, baseline: Path) -> None:
    schema = json.loads(cli("schema", "baseline").out)
    document = json.loads(baseline.read_text())
    assert set(schema["required"]) <= set(document) <= set(schema["properties"])
    assert cli("schema", "baselin").status == 2


def test_no_file_is_written_over_what_is_read(baseline: Path, bundle: Path, cli: Callable, inputs: Path) -> None:
    before = baseline.read_bytes()
    for arguments in (["--junit", baseline], ["--markdown", inputs / "x.npz", "--data", inputs / "x.npz"]):
        found = cli("check", bundle, "--baseline", baseline, *arguments)
        assert found.status == 2
        assert "stands for two files, and one would be lost" in found.err
    assert cli("check", bundle, "--baseline", baseline, "--junit", "both", "--markdown", "both").status == 2
    assert baseline.read_bytes() == before


def test_a_check_that_cannot_be_made_leaves_no_older_result(
    baseline: Path, bundle: Path, cli: Callable, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    junit, markdown = inputs / "j.xml", inputs / "m.md"
    arguments = ["check", bundle, "--baseline", baseline, "--junit", junit, "--markdown", markdown]
    assert cli(*arguments).status == 0
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    found = cli(*arguments, "--name", "other")
    assert found.status == 2
    assert "::error title=snnconvert check%3A E303::" in found.err
    assert 'errors="1"' in junit.read_text()
    assert "has no model 'other'" in junit.read_text()
    assert markdown.read_text().startswith("### snnconvert check: ❌ ERROR E303")


def test_what_others_put_into_a_baseline_meanwhile_stays(
    baseline: Path, bundle: Path, cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snnconvert import checking

    measured = checking.measured

    def slow(*arguments: object) -> object:
        monkeypatch.setattr(checking, "measured", measured)
        status = cli("check", bundle, "--baseline", baseline, "--update", "--reason", "other", "--name", "other").status
        assert status == 1
        return measured(*arguments)

    monkeypatch.setattr(checking, "measured", slow)
    assert cli("check", bundle, "--baseline", baseline, "--update", "--reason", "mine").status == 1
    assert {each["name"] for each in json.loads(baseline.read_text())["models"]} == {entry(baseline)["name"], "other"}
    assert len(json.loads(baseline.read_text())["models"]) == 2
