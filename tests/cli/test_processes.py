"""Signals, closed pipes, full disks: the right exit status, and the old bundle or the new one, never half of one."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snnconvert import cli
from snnconvert.report.manifest import verify_bundle

# a shell may have started us with SIGINT ignored, which children inherit
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from snnconvert.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start_and_wait_for_simulation(job: list[str], work: Path, *options: str) -> subprocess.Popen[str]:
    """Start a conversion of many steps; return it in the middle of the simulation."""
    command = [sys.executable, "-c", START, *job, "--steps", "1000000", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("evaluate: "):
            return child
    raise AssertionError("the conversion ended before it began to simulate")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_in_the_middle_of_a_conversion(
    job: list[str], work: Path, bundle: Path, number: signal.Signals, status: int
) -> None:
    shutil.copytree(bundle, work / "net_snn")
    with start_and_wait_for_simulation(job, work, "--force") as child:
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (status, "")
    assert err.strip().splitlines() == ["interrupted: nothing unfinished was left behind"]
    assert [path.name for path in work.iterdir()] == ["net_snn"]
    verify_bundle(work / "net_snn")


def test_kill_in_the_middle_keeps_the_old_bundle(job: list[str], work: Path, bundle: Path) -> None:
    shutil.copytree(bundle, work / "net_snn")
    with start_and_wait_for_simulation(job, work, "--force") as child:
        child.kill()
        child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert [path.name for path in work.iterdir()] == ["net_snn"]
    verify_bundle(work / "net_snn")
    assert (work / "net_snn" / "run.json").read_bytes() == (bundle / "run.json").read_bytes()


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "--help"], ["verify"], ["verify", "--json"]])
def test_closed_pipe_is_silent(shell: Callable, bundle: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = shell(*arguments, *([bundle] if arguments[0] == "verify" else []), stdout=writing)
    finally:
        os.close(writing)
    assert (result.status, result.err) == (141, "")


def test_pipe_that_is_closed_early_keeps_the_bundle(shell: Callable, job: list[str], work: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = shell("-q", *job, stdout=writing)
    finally:
        os.close(writing)
    assert (result.status, result.err) == (141, "")
    verify_bundle(work / "net_snn")


def test_both_streams_in_a_closed_pipe(bundle: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        for arguments, status in (([str(bundle)], 141), (["gone"], 2)):
            command = [sys.executable, "-m", "snnconvert", "verify", *arguments]
            assert subprocess.run(command, stdout=writing, stderr=writing, check=False).returncode == status
    finally:
        os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["verify"], ["--json", "verify"], ["--help"]])
def test_full_stdout_is_told(shell: Callable, bundle: Path, arguments: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        result = shell(*arguments, *([] if arguments == ["--help"] else [bundle]), stdout=full)
    finally:
        os.close(full)
    assert result.status == 5
    assert result.err.splitlines() == [
        "error[E402]: cannot write the result: No space left on device",
        "hint: is the disk full?",
    ]


@pytest.mark.parametrize("verb", ["-m snnconvert verify {0}", "-m snnconvert -q evaluate {0}", "{0}/evaluate.py"])
def test_no_stdout_at_all(bundle: Path, verb: str) -> None:
    for redirect in (">&-", "2>&-", ">&- 2>&-"):
        command = f'"{sys.executable}" {verb.format(bundle)} {redirect}'
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_no_stderr_to_tell_progress_to(bundle: Path) -> None:
    command = f'"{sys.executable}" -m snnconvert evaluate "{bundle}" 2>&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "agreement" in done.stdout


def test_torch_file_is_converted_in_a_process_of_its_own_accord(shell: Callable, work: Path) -> None:
    """A plain process, in which nothing was imported or asked for before."""
    import torch
    from torch import nn

    program = torch.export.export(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (torch.zeros(2, 4),))
    torch.export.save(program, work / "net.pt2")
    result = shell("inspect", "net.pt2")
    assert (result.status, result.err) == (0, "")
    assert "net.pt2: 2 weighted synapse, 1 spiking" in result.out


def test_what_an_interrupted_import_raises_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def broken(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RecursionError from None

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli.snnconvert, "invoke", broken)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        assert cli.main(["schema"]) == 130
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert capsys.readouterr().err == "interrupted: nothing unfinished was left behind\n"
