"""A batch in this process: what is done is not done again, what is damaged is, and one failure stops nothing."""

import json
from pathlib import Path

import pytest

from snnconvert import pipeline
from snnconvert.batch import batch as story
from snnconvert.batch.schema import read_batch
from snnconvert.errors import OutputError, UsageError
from snnconvert.evaluation import Bench
from snnconvert.report.manifest import verify_bundle

from .conftest import carried_out, contents, states

pytestmark = pytest.mark.usefixtures("inline")


def test_options_that_do_not_suit_each_other_are_refused_before_anything_runs(sweep: Path) -> None:
    sweep.write_text(sweep.read_text().replace("neuron: if-signed", "spikes: graded"))
    with pytest.raises(UsageError, match=r"E301.*sweep.yaml:12:5: job 'once': --spikes: only --method auto"):
        carried_out(sweep)
    assert not (sweep.parent / "runs").exists()


def test_unknown_neuron_is_refused_before_anything_runs(sweep: Path) -> None:
    sweep.write_text(sweep.read_text().replace("if-signed", "if-singed"))
    with pytest.raises(UsageError, match=r"E301.*job 'once': unknown neuron 'if-singed'") as caught:
        carried_out(sweep)
    assert caught.value.hint == "did you mean 'if-signed'?"


@pytest.mark.parametrize(("gone", "words"), [("net.onnx", "no such file"), ("eval.npz", "no such file or folder")])
def test_missing_file_is_refused_before_anything_runs(sweep: Path, gone: str, words: str) -> None:
    (sweep.parent / gone).unlink()
    with pytest.raises(UsageError, match=rf"E001.*sweep.yaml:11:5: job 'mlp-percentile=99.0': .*{gone}: {words}"):
        carried_out(sweep)


def test_output_with_a_summary_of_something_else_is_refused(sweep: Path) -> None:
    (sweep.parent / "runs").mkdir()
    (sweep.parent / "runs" / "summary.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"E401.*runs: holds a summary of something else"):
        carried_out(sweep)
    assert (sweep.parent / "runs" / "summary.csv").read_text() == "mine"


def test_second_run_does_nothing_and_gives_the_same_summary(sweep: Path) -> None:
    document, results = carried_out(sweep)
    assert [job["state"] for job in document["jobs"]] == ["done"] * 4
    assert len(results) == 4
    before = contents(sweep.parent / "runs")
    again, results = carried_out(sweep)
    assert (again, results) == (document, [])
    assert contents(sweep.parent / "runs") == before
    assert {path.suffix for path in (sweep.parent / "runs").iterdir() if path.is_file()} == {".csv", ".json", ".svg"}
    for job in document["jobs"]:
        verify_bundle(sweep.parent / "runs" / job["bundle"])


def test_shards_change_no_byte(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carried_out(sweep)
    measured = []
    measure = Bench.measure
    monkeypatch.setattr(Bench, "measure", lambda self, piece: measured.append(piece.first) or measure(self, piece))
    carried_out(sweep, "execution.shards=2", f"output={sweep.parent / 'sharded'}")
    assert sorted(measured) == [0] * 4 + [16] * 4, "every batch once"
    assert contents(sweep.parent / "sharded") == contents(sweep.parent / "runs")
    private = sweep.parent / "sharded" / ".snnconvert"
    assert len([*private.glob("*/log.txt")]) == 4
    assert [*private.rglob("parts")] == []


def test_bundle_is_that_of_the_same_conversion_alone(sweep: Path) -> None:
    from snnconvert.cli import main

    document, _ = carried_out(sweep, only=["once"])
    bundle = sweep.parent / "runs" / document["jobs"][3]["bundle"]
    assert main(["-q", "convert", "--config", str(bundle / "config.yaml"), "--out", str(sweep.parent / "alone")]) == 0
    assert contents(bundle) == contents(sweep.parent / "alone")


def test_one_flipped_byte_makes_that_job_run_again(sweep: Path) -> None:
    document, _ = carried_out(sweep)
    before = contents(sweep.parent / "runs")
    bundle = document["jobs"][1]["bundle"]
    path = sweep.parent / "runs" / bundle / "snn.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert states(sweep)[bundle] == "damaged"
    _, results = carried_out(sweep)
    assert [result.entry.folder for result in results] == [bundle]
    assert contents(sweep.parent / "runs") == before


def test_what_is_no_bundle_any_more_is_kept_aside(sweep: Path) -> None:
    document, _ = carried_out(sweep, only=["once"])
    before = contents(sweep.parent / "runs")
    bundle = sweep.parent / "runs" / document["jobs"][3]["bundle"]
    (bundle / "manifest.json").write_bytes(b"\0")
    _, results = carried_out(sweep, only=["once"])
    assert len(results) == 1
    assert contents(sweep.parent / "runs") == before
    aside = sweep.parent / "runs" / ".snnconvert" / bundle.name / "damaged-0"
    assert (aside / "manifest.json").read_bytes() == b"\0"


def test_failing_job_stops_no_other(sweep: Path) -> None:
    (sweep.parent / "broken.onnx").write_bytes(b"no model")
    sweep.write_text(sweep.read_text().replace("name: once, model: net", "name: once, model: broken"))
    document, _ = carried_out(sweep)
    assert document["counts"] == {"done": 3, "failed": 1}
    assert [job["name"] for job in story.failed(document)] == ["once"]
    assert document["jobs"][3]["status"] == 3
    assert document["jobs"][3]["error"]["code"] == "E101"
    found = story.look(read_batch(sweep), (), trust=False)
    (row,) = [row for row in story.status(found) if row[1] == "failed"]
    assert row[2].startswith("failed before: error[E101]: broken.onnx: ")


def test_first_failure_ends_the_batch_where_it_is_asked_for(sweep: Path) -> None:
    text = sweep.read_text().replace("name: mlp, model: net", "name: mlp, model: broken")
    sweep.write_text(text.replace("jobs: 2}", "keep_going: false}"))
    (sweep.parent / "broken.onnx").write_bytes(b"no model")
    document, _ = carried_out(sweep)
    assert [job["state"] for job in document["jobs"]] == ["failed", "failed", "skipped", "skipped"]  # two at once
    assert len(story.failed(document)) == 4


def test_changed_option_makes_a_new_bundle_and_is_told_as_the_reason(sweep: Path) -> None:
    document, _ = carried_out(sweep, only=["once"])
    changed = "eval.samples=8"
    found = story.look(read_batch(sweep, (changed,)), ("once",), trust=False)
    rows = story.status(found)
    assert [row[1:] for row in rows] == [("missing", "eval.samples was null, is 8"), ("old", "of no job in the file")]
    assert rows[1][0] == document["jobs"][3]["bundle"]
    again, results = carried_out(sweep, changed, only=["once"])
    assert len(results) == 1
    assert again["jobs"][3]["bundle"] != document["jobs"][3]["bundle"]
    verify_bundle(sweep.parent / "runs" / document["jobs"][3]["bundle"])


def test_data_that_moved_is_the_same_data(sweep: Path) -> None:
    carried_out(sweep, only=["once"])
    (sweep.parent / "eval.npz").rename(sweep.parent / "test.npz")
    sweep.write_text(sweep.read_text().replace("eval.npz", "test.npz"))
    _, results = carried_out(sweep, only=["once"])
    assert results == []


def test_the_last_of_two_runs_tells_what_the_other_one_did(sweep: Path) -> None:
    source = read_batch(sweep)
    names = [entry.planned.name for entry in story.look(source, (), False).entries]
    first, second = (story.look(source, (name,), False) for name in names[:2])  # both begin while nothing is done
    for batch in (second, first):
        document = story.run(source, batch, lambda _: None)
    assert [job["state"] for job in document["jobs"]] == ["done", "done", "missing", "missing"]


def test_summary_of_some_jobs_still_tells_of_the_others(sweep: Path) -> None:
    carried_out(sweep, only=["mlp*=99.0"])
    document, _ = carried_out(sweep, only=["once"])
    assert [job["state"] for job in document["jobs"]] == ["done", "missing", "missing", "done"]
    rows = (sweep.parent / "runs" / "summary.csv").read_text().splitlines()
    assert rows[0].startswith("job,bundle,state,convert.percentile,t,total_steps,accuracy,")
    assert [row.split(",")[2] for row in rows[1:]] == ["done", "done", "missing", "missing", "done", "done"]
    assert all(row.split(",")[4].isdecimal() for row in rows[1:3])  # T is no fraction
    assert json.loads((sweep.parent / "runs" / "summary.json").read_text()) == document


def test_sweep_over_percentiles_calibrates_once(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    collect = pipeline.collect
    monkeypatch.setattr(pipeline, "collect", lambda *arguments: calls.append(1) or collect(*arguments))
    carried_out(sweep)
    assert len(calls) == 1
    carried_out(sweep, "calib.samples=8")
    assert len(calls) == 2
