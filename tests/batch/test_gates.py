"""Jobs with a gate are compared with a baseline; the verdict stands in the summary, and no bundle depends on it."""

import json
from pathlib import Path
from typing import Any

import pytest

from snnconvert.batch import batch as story
from snnconvert.batch.expansion import expand
from snnconvert.batch.schema import JobGate, read_batch
from snnconvert.checking import stored
from snnconvert.errors import UsageError
from snnconvert.gate.schema import Gate, Rails
from snnconvert.gate.update import write_baseline

from .conftest import carried_out, contents, states

pytestmark = pytest.mark.usefixtures("inline")
WORSE = ("convert.percentile=1", "convert.percentile_of=all", "convert.per_channel=false", "convert.correct=[]")


@pytest.fixture
def gated(sweep: Path) -> Path:
    """The batch with a baseline of its network at the percentile 99.9, and a gate on all jobs."""
    carried_out(sweep, only=["*=99.9"])
    (bundle,) = (sweep.parent / "runs").glob("mlp-percentile=99.9-*")
    write_baseline(sweep.parent / "snn-baseline.json", None, [("net", stored(bundle), Gate())], "first")
    sweep.write_text(sweep.read_text().replace("matrix:", "  gate: {margin: 1.0}\nmatrix:", 1))
    return sweep


def verdicts(document: dict[str, Any]) -> dict[str, str | None]:
    return {job["name"]: job["gate"]["verdict"] for job in document["jobs"] if "gate" in job}


def exits_with_1(config: Path, *assignments: str, only: tuple[str, ...] = ()) -> bool:
    source = read_batch(config, assignments)
    found = story.look(source, only, trust=False)
    return bool(story.gated_out(story.run(source, found, lambda result: None), found))


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        (
            "{margin: 0}",
            r"sweep\.yaml:8:10: defaults\.gate\.margin: Input should be greater than or equal to 0.000001",
            None,
        ),
        ("{margn: 1}", r"sweep\.yaml:8:10: defaults\.gate\.margn: unknown option", "did you mean 'margin'?"),
        ("{rails: {min: 1}}", r"sweep\.yaml:8:18: defaults\.gate\.rails\.min: unknown option", None),
        ("[1]", r"sweep\.yaml:8:3: defaults\.gate: expected options below it", None),
        (
            "{baseline: none.json}",
            r"E001.*sweep\.yaml:12:5: job 'mlp-.*': gate: .*none\.json: cannot be read",
            "gate=null",
        ),
        ("{name: nett}", r"E303.*12:5: job 'mlp-.*': gate: .*has no model 'nett'", "did you mean 'net'?"),
        ("{steps: [2]}", r"E303.*gate: .*snn-baseline\.json has no row of T = 2, but of 1, 4", "gate.steps chooses"),
    ],
)
def test_gate_on_nothing_is_refused_before_anything_runs(gated: Path, text: str, words: str, hint: str | None) -> None:
    gated.write_text(gated.read_text().replace("{margin: 1.0}", text))
    before = contents(gated.parent / "runs")
    with pytest.raises(UsageError, match=words) as caught:
        carried_out(gated)
    assert hint is None or hint in (caught.value.hint or "")
    assert contents(gated.parent / "runs") == before


def test_step_that_a_job_does_not_report_is_refused(gated: Path) -> None:
    with pytest.raises(UsageError, match=r"gate: the job has no row of T = 4, but of 1, 2"):
        carried_out(gated, "convert.steps=[1, 2]")


def test_gate_cannot_be_swept(gated: Path) -> None:
    gated.write_text(gated.read_text().replace("convert.percentile: [", "gate.margin: [1.0]\n  convert.percentile: ["))
    with pytest.raises(UsageError, match=r"matrix\.gate\.margin: changes no result, and cannot be swept"):
        expand(read_batch(gated))


def test_gate_is_no_part_of_a_key(gated: Path) -> None:
    before = states(gated, "gate=null")
    assert states(gated) == states(gated, "gate.margin=7", "gate.rails.min_accuracy=10") == before
    assert sorted(before.values()) == ["done", "missing", "missing", "missing"]


def test_verdicts_stand_in_the_summary(gated: Path) -> None:
    document, _ = carried_out(gated)
    found = {job["name"]: job for job in document["jobs"]}
    same = found["mlp-percentile=99.9"]["gate"]
    assert (same["verdict"], same["network"], same["samples"], same["changed"]) == ("PASS", "net", 24, [])
    assert same["findings"][0]["identical"]
    assert "convert.percentile from 99.9 to 99.0" in found["mlp-percentile=99.0"]["gate"]["changed"]
    assert str(gated.parent) not in json.dumps([job["gate"] for job in document["jobs"]])
    lines = (gated.parent / "runs" / "summary.csv").read_text().splitlines()
    assert lines[0].endswith(",gate")
    assert [line.split(",")[-1] for line in lines if line.startswith("mlp-percentile=99.9,")] == ["PASS", "PASS"]


def test_second_run_gives_the_same_summary(gated: Path) -> None:
    document, _ = carried_out(gated)
    before = contents(gated.parent / "runs")
    assert carried_out(gated)[0] == document
    assert contents(gated.parent / "runs") == before


def test_without_a_gate_nothing_is_said(sweep: Path) -> None:
    document, _ = carried_out(sweep, only=["once"])
    assert verdicts(document) == {}
    assert (sweep.parent / "runs" / "summary.csv").read_text().splitlines()[-1].endswith(",")


def test_a_regression_fails_the_batch_and_none_of_its_jobs(gated: Path) -> None:
    gated.write_text(gated.read_text().replace("matrix: false, convert", "matrix: false, gate: null, convert"))
    assert exits_with_1(gated, *WORSE, only=("mlp*",))
    document, _ = carried_out(gated, *WORSE)
    assert verdicts(document) == {"mlp": "FAIL"}
    assert document["counts"] == {"done": 2}
    assert story.failed(document) == []
    assert not exits_with_1(gated, *WORSE, only=("once",)), "what was not chosen does not count"


def test_what_a_job_says_wins_over_the_defaults_and_null_is_no_gate(gated: Path) -> None:
    text = gated.read_text().replace("matrix: false, convert", "matrix: false, gate: null, convert")
    gated.write_text(text.replace("model: net.onnx}", "model: net.onnx, gate: {rails: {min_accuracy: 100}}}"))
    mlp, *_, once = expand(read_batch(gated))
    assert once.gate is None
    assert mlp.gate is not None
    assert (mlp.gate.margin, mlp.gate.rails.min_accuracy) == (1.0, 100)
    assert mlp.gate.baseline == str(gated.parent / "snn-baseline.json")


def test_a_part_of_a_gate_gives_none_to_a_job_that_has_none(gated: Path) -> None:
    gated.write_text(gated.read_text().replace("matrix: false, convert", "matrix: false, gate: null, convert"))
    mlp, *_, once = expand(read_batch(gated, ("gate.margin=2",)))
    assert (mlp.gate, once.gate) == (JobGate(margin=2.0, baseline=str(gated.parent / "snn-baseline.json")), None)
    assert expand(read_batch(gated, ("gate={margin: 2}",)))[-1].gate == mlp.gate
    gated.write_text(gated.read_text().replace("gate: {margin: 1.0}", "gate: null"))
    with pytest.raises(UsageError, match=r"E003.*--set gate\.margin: every job says that it has no gate"):
        expand(read_batch(gated, ("gate.margin=2",)))
    with pytest.raises(UsageError, match=r"E003.*--set gate\.margin: every job says that it has no gate"):
        expand(read_batch(gated, ("gate=null", "gate.margin=2")))


def test_a_part_of_a_gate_gives_one_to_jobs_that_say_nothing(sweep: Path) -> None:
    assert {each.gate.margin for each in expand(read_batch(sweep, ("gate.margin=2",)))} == {2.0}


def test_paths_of_baselines_are_relative_to_who_names_them(gated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gated.write_text(gated.read_text().replace("{margin: 1.0}", "{baseline: b/x.json}"))
    monkeypatch.chdir("/")
    assert expand(read_batch(gated))[0].gate.baseline == str(gated.parent / "b/x.json")
    assert expand(read_batch(gated, ("gate.baseline=y.json",)))[0].gate.baseline == "/y.json"


def test_what_the_gate_does_not_say_is_as_the_baseline_says() -> None:
    stored_gate = Gate(margin=3.0, alpha=0.1, steps=[8], rails=Rails(min_accuracy=90.0, max_synops=5.0))
    given = JobGate.model_validate({"margin": 2.0, "rails": {"max_synops": None, "min_agreement": 80.0}})
    found = given.over(stored_gate)
    assert found == Gate(margin=2.0, alpha=0.1, steps=[8], rails=Rails(min_accuracy=90.0, min_agreement=80.0))
    assert JobGate().over(stored_gate) == stored_gate


def test_what_cannot_be_compared_is_told_of_that_job_only(gated: Path) -> None:
    assert exits_with_1(gated, "eval.samples=9", only=("once",))
    document, _ = carried_out(gated, "eval.samples=9", only=["once"])
    (gate,) = [job["gate"] for job in document["jobs"] if "gate" in job]
    assert (gate["verdict"], gate["error"]["code"]) == (None, "E201")
    assert "15 of the 24 samples of the baseline" in gate["error"]["message"]
    assert (gated.parent / "runs" / "summary.csv").read_text().splitlines()[-1].endswith(",E201")
