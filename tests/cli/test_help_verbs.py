"""doctor, explain and completion."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snnconvert import doctor
from snnconvert.cli import VERBS
from snnconvert.codes import CODES


def test_a_healthy_machine_is_told_so(cli: Callable, work: Path) -> None:
    done = cli("doctor")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "healthy"
    assert max(map(len, done.out.splitlines())) <= 80
    document = json.loads(cli("doctor", "--json", "--out", work).out)
    assert document["healthy"]
    states = {each["what"]: each["state"] for each in document["findings"]}
    assert {states[what] for what in ("Python", "packages", "torch", "ONNX Runtime", "writing")} == {"ok"}
    assert states["compiled loops"] in ("ok", "note")
    assert not list(work.iterdir())


def test_what_is_broken_is_told(cli: Callable, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "file").touch()
    done = cli("doctor", "--out", work / "file")
    assert done.status == 1
    assert "FAIL writing" in done.out
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: ["torch>=2", "no-such-package>1"])
    done = cli("doctor")
    assert done.status == 1
    assert "FAIL packages          missing: no-such-package" in done.out

    def nowhere(name: str) -> None:
        raise doctor.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "requires", nowhere)
    assert "note packages" in cli("doctor").out


def test_loops_that_count_otherwise_are_found(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the machine code were wrong: the fused simulator gets half of the input."""
    from snnconvert.simulate import Simulator

    run = Simulator.run
    monkeypatch.setattr(Simulator, "run", lambda self, x, steps: run(self, x / 2 if self.fused else x, steps))
    done = cli("doctor")
    assert done.status == 1
    assert "FAIL compiled loops" in done.out


def test_every_code_is_explained(cli: Callable) -> None:
    for code in CODES:
        done = cli("explain", code.lower())
        assert (done.status, done.err) == (0, "")
        assert done.out.startswith(f"{code}: {CODES[code].title}\n\n")
        assert max(map(len, done.out.splitlines())) <= 80
    assert [line[:4] for line in cli("explain").out.splitlines()] == list(CODES)
    assert json.loads(cli("explain", "E120", "--json").out)["code"] == "E120"
    assert set(json.loads(cli("explain", "--json").out)["codes"]) == set(CODES)


def test_an_unknown_code_is_refused(cli: Callable) -> None:
    done = cli("explain", "E12")
    assert done.status == 2
    assert "no code 'E12'" in done.err


def completed(line: str, work: Path) -> list[str]:
    """Return what bash would offer for a line, by the function that it is given."""
    script = subprocess.run(
        [sys.executable, "-m", "snnconvert", "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    words = line.split(" ")
    listed = " ".join(f"'{word}'" for word in words)
    ask = f"{script}\nCOMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}\n"
    ask += 'compopt() { echo "compopt $@"; }\n_snnconvert_completion snnconvert\nprintf \'%s\\n\' "${COMPREPLY[@]}"'
    (work / "bin").mkdir(exist_ok=True)
    program = work / "bin" / "snnconvert"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m snnconvert "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{work / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", ask], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_verbs_options_and_choices(work: Path) -> None:
    assert completed("snnconvert ev", work) == ["evaluate"]
    assert "default" in completed("snnconvert resnet.on", work)  # a file, by the shell
    assert set(VERBS) <= set(completed("snnconvert ", work))
    assert "--encoding" in completed("snnconvert net.onnx --enc", work)
    assert completed("snnconvert net.onnx --encoding ev", work) == ["events"]
    assert "default" in completed("snnconvert net.onnx --calib tr", work)  # files, by the shell


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_lines(cli: Callable, shell: str) -> None:
    done = cli("completion", shell)
    assert done.status == 0
    assert f"_SNNCONVERT_COMPLETE={shell}_complete" in done.out
    assert cli("completion", "tcsh").status == 2
