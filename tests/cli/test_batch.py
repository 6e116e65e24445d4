"""``snnconvert batch`` and ``schema``: what they print, and their exit statuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snnconvert.batch import executors
from snnconvert.batch.child import attempt
from snnconvert.batch.schema import BatchFile, read_batch
from snnconvert.batch.task import Outcome, Task

CONFIGS = Path(__file__).parents[2] / "configs"
TEXT = """\
version: 1
output: runs
defaults: {{calib: {{path: {calib}}}, eval: {{path: {eval}}}, preprocess: scale=1/16, convert: {{steps: [1, 4]}}}}
matrix: {{convert.percentile: [99.0, 99.9]}}
jobs: [{{name: net, model: {model}}}]
"""


class Inline:
    slots = 1

    def __init__(self) -> None:
        self.ended: list[tuple[str, Outcome]] = []

    def submit(self, task: Task) -> None:
        self.ended = [(task.name, attempt(task))]

    def wait(self, timeout: float | None) -> list[tuple[str, Outcome]]:
        return self.ended

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "executor_of", lambda execution, on_gpu: Inline())


@pytest.fixture
def config(digits: dict[str, Path], work: Path) -> Path:
    (work / "sweep.yaml").write_text(TEXT.format(**digits), encoding="utf-8")
    return work / "sweep.yaml"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("jbs: []", "error[E301]: sweep.yaml:6:1: jbs: unknown option"),
        ("execution: {jobs: many}", "error[E301]: sweep.yaml:6:13: execution.jobs: expected auto, or a number of jobs"),
        ("execution: {backend: dask, memory: 7}", "error[E301]: sweep.yaml:6:28: execution.memory: expected a size"),
    ],
)
def test_wrong_file_ends_with_2_and_its_place(cli: Callable, config: Path, change: str, complaint: str) -> None:
    config.write_text(config.read_text() + change)
    result = cli("batch", "sweep.yaml")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(complaint)
    assert not (config.parent / "runs").exists()


def test_missing_file_and_unknown_name_end_with_2(cli: Callable, config: Path) -> None:
    assert cli("batch", "gone.yaml").complaint[0].startswith("error[E001]: gone.yaml: cannot be read")
    result = cli("batch", config, "--only", "net-percentle=99.9")
    assert (result.status, result.complaint[1][:19]) == (2, "hint: did you mean ")
    assert cli("schema", "btach").status == 2


def test_table_and_the_second_run(cli: Callable, config: Path, work: Path) -> None:
    first = cli("batch", "sweep.yaml")
    assert first.status == 0
    lines = first.out.splitlines()
    assert [line.split(" | ")[0].strip() for line in lines[:1] + lines[2:4]] == [
        "job",
        "net-percentile=99.0",
        "net-percentile=99.9",
    ]
    assert lines[4:] == ["runs/summary.svg"]
    beside = "note: snnconvert report runs shows the runs beside each other"
    assert [line for line in first.err.splitlines() if ": done in " in line] + [beside] == first.err.splitlines()
    assert (work / "runs" / "summary.svg").read_bytes().startswith(b"<?xml")
    second = cli("batch", "sweep.yaml")
    assert (second.status, second.out) == (0, first.out)
    assert second.err.splitlines() == ["note: 2 of 2 jobs are done already", beside]
    assert cli("-q", "batch", "sweep.yaml").err == ""
    found = json.loads(cli("batch", "sweep.yaml", "--json").out)
    assert found == json.loads((work / "runs" / "summary.json").read_text())
    assert (found["schema"], found["counts"]) == ("snnconvert/batch/1", {"done": 2})


def test_dry_run_and_status_write_nothing(cli: Callable, config: Path, work: Path) -> None:
    before = cli("batch", "sweep.yaml", "--dry-run")
    assert before.status == 0
    assert [line.split()[1:] for line in before.out.splitlines()] == [["run", "not", "done", "yet"]] * 2
    assert not (work / "runs").exists()
    cli("batch", "sweep.yaml", "--only", "*99.0")
    (bundle,) = (work / "runs").glob("net-*")
    (bundle / "curve.csv").write_bytes(b"")
    rows = cli("batch", "sweep.yaml", "--dry-run").out.splitlines()
    assert rows[0].split()[1] == "run"
    assert "file 'curve.csv' has 0 bytes, expected " in rows[0]
    rows = cli("batch", "sweep.yaml", "--status", "--set", "eval.samples=9", "--json")
    jobs = json.loads(rows.out)["jobs"]
    assert [(job["state"], job["why"]) for job in jobs] == [
        ("missing", "eval.samples was null, is 9"),
        ("missing", "not done yet"),
        ("old", "of no job in the file"),
    ]


def test_failed_job_ends_with_1_and_its_reason(cli: Callable, config: Path, work: Path) -> None:
    (work / "broken.onnx").write_bytes(b"x")
    config.write_text(
        config.read_text().replace("jobs: [", "jobs: [{name: broken, model: broken.onnx, matrix: false}, ")
    )
    result = cli("batch", "sweep.yaml")
    assert result.status == 1
    assert "failed: E101" in result.out
    assert "broken-" in result.err
    assert ": failed: error[E101]: broken.onnx: not an ONNX model\nnote: hint: is it truncated" in result.err


def test_full_disk_ends_with_5(cli: Callable, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Outcome(5, 1.0, "E402", "runs/net: cannot write the bundle: No space left on device", "free some space")
    monkeypatch.setattr(Inline, "submit", lambda self, task: setattr(self, "ended", [(task.name, failed)]))
    result = cli("batch", "sweep.yaml")
    assert result.status == 5
    assert "No space left on device\nnote: hint: free some space\n" in result.err


def test_schema_is_that_of_the_file(cli: Callable) -> None:
    schema = json.loads(cli("schema", "batch").out)
    assert schema.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert schema == BatchFile.model_json_schema()


@pytest.mark.parametrize(
    "name", sorted(path.name for path in CONFIGS.glob("*.yaml") if not path.name.startswith("digits_"))
)
def test_example_runs(cli: Callable, work: Path, name: str) -> None:
    shutil.copytree(CONFIGS, work / "configs")
    (work / "models").symlink_to(CONFIGS.parent / "models")
    less = ("--set", "eval.samples=16", "--set", "calib.samples=32", "--set", "execution.scheduler=null")
    less = () if name == "gate.yaml" else less  # whose samples are those of the baseline
    result = cli("-q", "batch", f"configs/{name}", *less)
    assert (result.status, result.err) == (0, "")
    jobs = json.loads((work / "runs" / name.removesuffix(".yaml") / "summary.json").read_text())["jobs"]
    assert [job["state"] for job in jobs] == ["done"] * {"sweep": 5, "networks": 5, "cluster": 4, "gate": 4}[name[:-5]]
    assert {job["gate"]["verdict"] for job in jobs if "gate" in job} == ({"PASS"} if name == "gate.yaml" else set())
    assert read_batch(CONFIGS / name).checked.version == 1


def test_gate_is_told_and_a_regression_ends_with_1(cli: Callable, config: Path, work: Path) -> None:
    cli("batch", "sweep.yaml", "--only", "*99.9")
    (bundle,) = (work / "runs").glob("net-*")
    assert cli("check", bundle, "--baseline", "snn-baseline.json", "--update", "--reason", "first").status == 1
    config.write_text(f"{config.read_text()[:-3]}, gate: {{margin: 1.0}}}}]\n")
    passed = cli("batch", "sweep.yaml", "--only", "*99.9")
    assert passed.status == 0
    header, _, missing, line = passed.out.splitlines()[:4]
    assert [each.rsplit("|", 1)[1].strip() for each in (header, missing, line)] == ["gate", "", "PASS"]
    rail = ("--only", "*99.9", "--set", "gate.rails.max_steps_to_reach={accuracy: 100, steps: 1}")
    failed = cli("batch", "sweep.yaml", *rail)
    assert failed.status == 1
    assert "| FAIL" in failed.out
    assert "warning: net-percentile=99.9: FAIL: max_steps_to_reach: 100 % reached " in failed.err
    for verb in ("--dry-run", "-q"):
        refused = cli("batch", "sweep.yaml", verb, "--set", "gate.baseline=none.json")
        assert (refused.status, refused.out) == (2, "")
        assert refused.complaint[1].startswith(
            "hint: --set gate=null runs the batch without it; snnconvert check BUNDLE "
        )
    other = cli("batch", "sweep.yaml", "--only", "*99.0", *rail[2:])
    assert "net-percentile=99.9" not in other.err, "what was not chosen is not told of"
    document = json.loads(cli("batch", "sweep.yaml", *rail, "--json").out)
    assert [job["gate"]["verdict"] for job in document["jobs"]] == ["FAIL", "FAIL"]
