"""What docs/batch.md shows is read, and run as far as one machine can, as it stands there."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import snnconvert
from snnconvert.batch.expansion import expand
from snnconvert.batch.schema import read_batch
from snnconvert.cli import batch, check

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
SLURM, KUBERNETES = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
WHOLE, *PARTS = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
SHOWN = re.findall(r"^    (snnconvert .*?)(?: {3,}.*)?$", PAGE, re.M)
SHIM = """#!/bin/sh
# srun, on one machine: at most two tasks, and what listens does so on this machine alone
for last; do case "$1" in --ntasks=1) tasks=1;; --ntasks=*) tasks=2;; --*) ;; *) break;; esac; shift; done
[ "$2" = scheduler ] && alone="--host 127.0.0.1 --port 0 --no-dashboard" || alone="--host 127.0.0.1 --no-dashboard"
exec >>srun.log 2>&1
for task in $(seq "$tasks"); do "$@" $alone & done
wait
"""


def test_files_of_the_page_are_read(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(WHOLE)
    names = [each.name for each in expand(read_batch(tmp_path / "sweep.yaml"))]
    assert len(names) == 6
    assert "resnet20-percentile=99.9-per_channel=true" in names
    gate, tls = PARTS
    (tmp_path / "gate.yaml").write_text(
        WHOLE.replace("gate: {margin: 1.0}", ", ".join(flow(gate))) + tls.split("\n", 1)[1]
    )
    planned = expand(read_batch(tmp_path / "gate.yaml", ("execution.tls={ca: a, cert: b, key: c}",)))
    assert planned[0].gate is not None
    assert planned[0].gate.rails.max_synops == 10


def flow(section: str) -> Iterator[str]:
    """Write a section of one level as a mapping in one line."""
    name, *lines = [line.partition("#")[0].rstrip() for line in section.splitlines()]
    yield f"{name} {{{', '.join(line.strip() for line in lines)}}}"


def test_commands_of_the_page_parse() -> None:
    assert len(SHOWN) >= 8
    verbs = {"batch": batch.command, "check": check.command}
    for command in SHOWN:
        _, verb, *arguments = shlex.split(command)
        if verb in verbs:
            assert verbs[verb].make_context(verb, arguments), command


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", PAGE) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_script_for_slurm_runs(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: pip install snnconvert[dask]")
    models, tools = ROOT / "models", tmp_path / "tools"
    tools.mkdir()
    shutil.copy(models / "digits_mlp.onnx", tmp_path / "net.onnx")
    with np.load(models / "digits_calib.npz") as data:
        np.savez(tmp_path / "calib.npz", images=data["images"][:24], labels=data["labels"][:24])
    (tmp_path / "sweep.yaml").write_text(
        "version: 1\noutput: runs\n"
        "defaults: {calib: {path: calib.npz}, preprocess: scale=1/16, convert: {steps: [1, 4]}}\n"
        "matrix: {convert.percentile: [99.0, 99.9]}\njobs: [{name: net, model: net.onnx}]\n"
    )
    ours = f'exec "{sys.executable}" -m'
    for name, text in (("srun", SHIM), ("snnconvert", f'{ours} snnconvert "$@"'), ("dask", f'{ours} dask "$@"')):
        (tools / name).write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(snnconvert.__file__).parents[1]),
    }
    command, pipe = ["bash", "-c", SLURM], subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as script:
        try:
            told = script.communicate(timeout=120)[1]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(script.pid, signal.SIGKILL)  # as Slurm ends what a script leaves behind
    assert script.returncode == 0, told
    assert len([*(tmp_path / "runs").glob("net-percentile=*")]) == 2
    assert "2 of 2: " in told
