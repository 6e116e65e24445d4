"""What docs/ci.md shows is run, in its order, as it stands there."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from snnconvert.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
GITHUB, GITLAB, HOOK = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S))
SHOWN = re.findall(r"^    (snnconvert .*)$", PAGE, re.M)
JOBS = {
    "GitHub Actions": [step["run"].strip() for step in GITHUB["jobs"]["accuracy"]["steps"] if "run" in step],
    "GitLab": GITLAB["spiking network"]["script"],
    "pre-commit": [HOOK["repos"][0]["hooks"][0]["entry"]],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a user's: a model, samples for calibration and others for the test."""
    models = ROOT / "models"
    shutil.copy(models / "digits_mlp.onnx", tmp_path / "net.onnx")
    shutil.copy(models / "digits_calib.npz", tmp_path / "calib.npz")
    shutil.copy(models / "digits_test.npz", tmp_path / "test.npz")
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(command: str) -> int:
    return main(shlex.split(command)[1:])


def of_ours(commands: list[str]) -> list[str]:
    return [command for command in commands if command.startswith("snnconvert ")]


def test_every_command_of_the_page_runs_as_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert, first, *others = SHOWN
    assert (run(convert), run(first)) == (0, 1)
    assert (folder / "snn-baseline.json").is_file()
    assert len(others) >= 4
    for command in [*others, *(command for job in JOBS.values() for command in of_ours(job))]:
        assert run(command) == int("--update" in command), command  # no run approves itself
    assert (folder / "snn.xml").read_text().startswith("<?xml")
    assert (folder / "snn.md").is_file()


@pytest.mark.parametrize("job", JOBS)
def test_every_job_of_the_page_checks(job: str) -> None:
    (command,) = of_ours(JOBS[job])
    assert command.startswith("snnconvert check net.onnx --baseline snn-baseline.json ")


def test_artifacts_of_the_jobs_are_what_the_command_writes() -> None:
    upload = GITHUB["jobs"]["accuracy"]["steps"][-1]
    assert upload["with"]["path"] == "snn.xml" == GITLAB["spiking network"]["artifacts"]["reports"]["junit"]
    assert all("--junit snn.xml" in of_ours(JOBS[job])[0] for job in ("GitHub Actions", "GitLab"))


def test_the_hook_runs_where_the_model_or_the_baseline_changes() -> None:
    pattern = HOOK["repos"][0]["hooks"][0]["files"]
    assert all(re.search(pattern, name) for name in ("net.onnx", "snn-baseline.json"))
    assert not re.search(pattern, "README.md")


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGE)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / "docs" / link).exists()] == []


def test_numbers_are_those_of_the_benchmark() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "gate.json").read_text())
    rows = {(row[0], row[1]): row[2:] for row in found["rows"]}
    passed, undecided, failed = rows["2 %", "1,000"][0].split(" / ")
    assert f"fails in {failed} %, passes in {float(passed):.0f} %" in " ".join(PAGE.split())
    twice = rows["2 %", "1,000"][-1].split(" / ")[0]
    assert f"twice the margin is passed in {twice} % of runs with 1,000 samples" in " ".join(PAGE.split())
    assert rows["2 %", "10,000"][0].startswith("100.0 ")
    assert float(undecided) > 0


def test_this_repository_is_gated_by_its_own_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = re.search(r"^gate:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert recipe is not None
    words = shlex.split(recipe[1].replace("\\\n", " "))
    arguments = words[words.index("$(BIN)/snnconvert") + 1 :]
    places: Callable[[str], str] = lambda word: str(ROOT / word) if word.startswith("models/") else word  # noqa: E731
    assert main([places(word) for word in arguments]) == 0
    assert "make gate" in (ROOT / ".ci" / "run").read_text()
    assert capsys.readouterr().out.count("accuracy at T = 32") == 3
