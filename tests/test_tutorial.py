"""What docs/tutorial.md shows is run, in its order, as it stands there; and the pages are built without a warning."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snnconvert.cli import VERBS, main

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
(SCRIPT,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
COMMANDS = re.findall(r"^    ((?:snnconvert|python) .*)$", PAGE, re.M)
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


def test_every_line_of_the_tutorial_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    for part in ("calib", "test"):
        shutil.copy(ROOT / "models" / f"digits_{part}.npz", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    subprocess.run([sys.executable, "train.py"], check=True, capture_output=True)
    said = {}
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        if program == "python":
            done = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True)
            assert " 4 |" in done.stdout
            continue
        status = main(arguments)
        said[command] = capsys.readouterr()
        assert status == ("--update" in arguments), (command, said[command].err)
    (converted,) = (each.out for command, each in said.items() if "--calib" in command and "auto" not in command)
    accuracy = float(re.findall(r"^\s+32 \|\s+([\d.]+) %", converted, re.M)[0])
    assert accuracy > 95
    pages = ("digits_snn/report.html", "few_snn/report.html", "compared.html")
    for name in (*pages, "snn-baseline.json", "spiking.py", "spiking.nir"):
        assert (tmp_path / name).is_file(), name


@pytest.mark.parametrize("page", PAGES)
def test_verbs_and_options_that_pages_name_exist(page: str) -> None:
    known = {option for verb in VERBS for option in _options(verb)}
    for line in re.findall(r"^    (snnconvert .*)$", PAGES[page], re.M):
        for option in re.findall(r"(?<= )--[a-z][-a-z]*", line):
            assert option in known, line


def _options(verb: str) -> list[str]:
    command = importlib.import_module(f"snnconvert.cli.{verb}").command
    own = [name for each in command.params for name in (*each.opts, *each.secondary_opts)]
    return [*own, "--tau", "--threshold", "--current", "--steps", "--plot", "--help", "--version"]


def test_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "From a PyTorch network to a report" in index
    for page in PAGES:
        assert (tmp_path / "site" / page.replace(".md", ".html")).is_file(), page
