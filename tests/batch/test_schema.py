"""Batch files: every mistake is told with its file, line and column before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from snnconvert.batch.expansion import Planned, expand, select
from snnconvert.batch.schema import BatchFile, read_batch
from snnconvert.errors import UsageError

HEAD = """\
version: 1
output: runs
defaults:
  calib: {path: c.npz}
"""
JOBS = "jobs: [{name: a, model: a.onnx}]\n"


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    def make(text: str, *assignments: str, trust: bool = False) -> list[Planned]:
        (tmp_path / "b.yaml").write_text(text, encoding="utf-8")
        return expand(read_batch(tmp_path / "b.yaml", assignments), trust)

    return make


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("", r"b\.yaml: expected a mapping of options, got nothing", None),
        (HEAD, r"b\.yaml: jobs: Field required", None),
        (HEAD + "jobs: []\n", r"b\.yaml:5:1: jobs: List should have at least 1 item", None),
        ((HEAD + JOBS).replace("version: 1", "version: 2"), r"b\.yaml:1:1: version: Input should be 1, got '2'", None),
        (HEAD + JOBS + "mtrix: {}\n", r"b\.yaml:6:1: mtrix: unknown option", "did you mean 'matrix'?"),
        (HEAD + "  evl: {}\n" + JOBS, r"b\.yaml:5:3: defaults\.evl: unknown option", "did you mean 'eval'?"),
        (
            HEAD + "  convert: {percentle: 9}\n" + JOBS,
            r"b\.yaml:5:13: defaults\.convert\.percentle: unknown option",
            "did you mean 'percentile'?",
        ),
        (
            HEAD + "jobs:\n  - {name: a, model: a}\n  - {name: b, modle: b}\n",
            r"b\.yaml:7:15: jobs\.1\.modle: unknown option",
            "did you mean 'model'?",
        ),
        (HEAD + "jobs:\n  - {name: a}\n", r"b\.yaml:6:5: model: Field required", None),
        (HEAD + "jobs: [{model: a}]\n", r"b\.yaml:5:8: jobs\.0\.name: Field required", None),
        (HEAD + "jobs: [{name: ../a, model: a}]\n", r"b\.yaml:5:9: jobs\.0\.name: String should match pattern", None),
        (HEAD + "jobs: [{name: CON, model: a}]\n", r"b\.yaml:5:9: jobs\.0\.name: is a name that not every", None),
        (HEAD + f"jobs: [{{name: {'a' * 81}, model: a}}]\n", r"b\.yaml:5:9: jobs\.0\.name: String should match", None),
        (
            HEAD + "jobs: [{name: a, model: a}, {name: A, model: b}]\n",
            r"E302.*b\.yaml:5:30: 'A' is the name of the job at .*b\.yaml:5:9, too",
            "names differ by more than upper and lower case",
        ),
        (HEAD + "  trust_model: true\n" + JOBS, r"b\.yaml:5:3: a file cannot ask to be trusted", "add --trust-model"),
        (HEAD + "jobs: [{name: a, model: a, trust_model: false}]\n", r"b\.yaml:5:28: a file cannot ask", None),
        (
            HEAD + "matrix: {convert.percentle: [1]}\n" + JOBS,
            r"b\.yaml:5:10: matrix\.convert\.percentle: unknown",
            None,
        ),
        (HEAD + "matrix: {convert.percentile: 9}\n" + JOBS, r"b\.yaml:5:10: matrix\.convert\.percentile: Input", None),
        (HEAD + "matrix: {convert.percentile: []}\n" + JOBS, r"b\.yaml:5:10: matrix\.convert\.percentile: List", None),
        (
            HEAD + "matrix: {seed: [1, 1]}\n" + JOBS,
            r"E302.*5:10: matrix\.seed: a value stands there twice",
            None,
        ),
        (HEAD + "matrix: {workers: [1]}\n" + JOBS, r"matrix\.workers: changes no result", None),
        (HEAD + "matrix: {max_memory: [4G, 8G]}\n" + JOBS, r"matrix\.max_memory: changes no result", None),
        (
            HEAD + "matrix:\n  convert.percentile: [99, 101]\n" + JOBS,
            r"b\.yaml:6:28: convert\.percentile: Input should be less than or equal to 100, got '101",
            None,
        ),
        (
            HEAD + "matrix:\n  seed: [1, 2]\n  exclude: [{sede: 1}]\n" + JOBS,
            r"b\.yaml:7:14: matrix\.exclude: 'sede' is not swept over",
            "did you mean 'seed'?",
        ),
        (
            HEAD + "matrix:\n  seed: [1, 2]\n  exclude: [{seed: 3}]\n" + JOBS,
            r"b\.yaml:7:14: matrix\.exclude: seed is never 3",
            "it is 1, 2",
        ),
        (
            HEAD + "matrix:\n  seed: [1]\n  exclude: [{seed: 1}]\n" + JOBS,
            r"E302.*b\.yaml:7:3: exclude leaves no job",
            None,
        ),
        (
            HEAD + f"matrix:\n  seed: {[*range(101)]}\n  convert.correct_samples: {[*range(1, 101)]}\n" + JOBS,
            r"E302.*b\.yaml:5:1: 10,100 jobs, more than 10,000",
            None,
        ),
        (HEAD + JOBS + "execution: {jobs: 0}\n", r"b\.yaml:6:13: execution\.jobs: expected auto, or a number", None),
        (HEAD + JOBS + "execution: {timeout: 2w}\n", r"execution\.timeout: expected a number with one of the", None),
        (HEAD + JOBS + "execution: {timeout: 0}\n", r"execution\.timeout: expected a time such as 90s", None),
        (HEAD + JOBS + "execution: {memory: 1M}\n", r"execution\.memory: expected a size such as 512M", None),
        (HEAD + JOBS + "execution: {backend: ray}\n", r"execution\.backend: Input should be 'local' or 'dask'", None),
        (HEAD + "output: again\n" + JOBS, r"b\.yaml:5:1: 'output' stands here twice", None),
    ],
)
def test_wrong_file_is_refused_with_its_place(plan: Any, text: str, words: str, hint: str | None) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        plan(text)
    assert caught.value.code in ("E301", "E302")
    if hint is not None:
        assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("convert.percentle=9", r"E301.*--set: convert\.percentle: unknown option"),
        ("execution.jbs=2", r"E301.*execution\.jbs: unknown option"),
        ("convert.percentile=200", r"E301.*--set: convert\.percentile: Input should be less"),
        ("convert.percentile", r"E003.*--set: expected path=value"),
    ],
)
def test_wrong_assignment_is_refused(plan: Any, assignment: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(HEAD + JOBS, assignment)


def test_pattern_without_a_job_is_refused(plan: Any) -> None:
    planned = plan(HEAD + "jobs: [{name: resnet20, model: a}, {name: mlp, model: b}]\n")
    with pytest.raises(UsageError, match=r"E002.*--only: no job is named 'resnet2'") as caught:
        select(planned, ("mlp", "resnet2"))
    assert caught.value.hint == "did you mean 'resnet20'?"
    assert [each.name for each in select(planned, ("res*",))] == ["resnet20"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400), ("30", 30), ("null", None)]
)
def test_times(tmp_path: Path, text: str, seconds: float | None) -> None:
    (tmp_path / "b.yaml").write_text(HEAD + JOBS + f"execution: {{timeout: {text}}}\n")
    assert read_batch(tmp_path / "b.yaml").checked.execution.timeout == seconds


def test_schema_for_editors_knows_sections_and_options() -> None:
    schema = BatchFile.model_json_schema()
    assert schema["required"] == ["version", "output", "jobs"]
    assert schema["additionalProperties"] is False
    job = schema["$defs"]["BatchJob"]
    assert job["required"] == ["name"]
    assert {"model", "convert", "matrix", "calib"} <= job["properties"].keys()
    assert job["properties"]["preprocess"]["type"] == ["string", "object", "null"]
    assert schema["$defs"]["Execution"]["properties"]["jobs"]["anyOf"][0] == {"const": "auto"}
    assert schema["$defs"]["Matrix"]["additionalProperties"]["type"] == "array"
