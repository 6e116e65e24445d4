"""What stands on stdout and on stderr."""

import functools
import json
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

KEYS = {"schema", "samples", "classes", "labelled", "ann", "schedule", "steps", "layers", "macs_per_sample"}
ROW = {
    "t",
    "total_steps",
    "accuracy",
    "accuracy_ci95",
    "agreement",
    "output_error",
    "spikes_per_sample",
    "synops_per_sample",
    "energy_ratio",
}


def test_table_then_path(cli: Callable, job: list[str], work: Path) -> None:
    result = cli(*job)
    lines = result.out.splitlines()
    assert result.status == 0
    assert [cell.strip() for cell in lines[0].split("|")] == [
        "steps",
        "accuracy",
        "vs ANN",
        "agreement",
        "spikes/sample",
        "SynOps",
    ]
    assert [line.split("|")[0].strip() for line in lines[2:4]] == ["1", "4"]
    assert lines[4:] == ["ANN accuracy 100.00 %, 32 samples", "net_snn"]
    assert max(map(len, lines)) <= 80
    assert [path.name for path in work.iterdir()] == ["net_snn"]


def test_notes_and_progress_go_to_stderr(cli: Callable, job: list[str]) -> None:
    lines = cli(*job).err.splitlines()
    assert "calibrate: 40 samples" in lines
    assert "evaluate: 32 samples" in lines
    assert "note: samples are read as NHWC; preprocessing: times 1/16" in lines
    assert not any(line.startswith(("warning", "verified")) for line in lines)


def test_quiet_says_nothing_beside_the_result(cli: Callable, job: list[str]) -> None:
    result = cli("-q", *job)
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[-1] == "net_snn"


def test_verbose_tells_what_was_measured(cli: Callable, job: list[str], bundle: Path) -> None:
    lines = [line for line in cli("-v", *job).err.splitlines() if line.startswith("verified: ")]
    assert len(lines) >= 2
    assert lines[0].startswith("verified: loaded network = ONNX Runtime, largest difference ")
    assert lines[0].endswith("(limit 1e-04)")
    assert "normal form as an ANN = folded network" in lines[-2]
    assert "normal form on the grid = normal form" in lines[-1]
    assert "snn.onnx: " in cli("verify", "-v", bundle).err
    assert "in batches of 16; preprocessing: times 1/16" in cli("evaluate", "-v", bundle).err
    assert cli("verify", bundle).err == ""


def test_json_is_one_document(cli: Callable, job: list[str]) -> None:
    result = cli(*job, "--json")
    document = json.loads(result.out)
    assert result.status == 0
    assert document.pop("bundle") == "net_snn"
    assert set(document) == KEYS | {"equivalence", "diagnosis", "curves", "cost"}
    assert [set(row) for row in document["steps"]] == [ROW, ROW]
    assert document == json.loads(Path("net_snn/metrics.json").read_bytes())


def test_json_of_the_other_verbs(cli: Callable, bundle: Path) -> None:
    verified = cli("--json", "verify", bundle)
    assert json.loads(verified.out) == {"schema": "snnconvert/verify/1", "bundle": str(bundle), "files": 9}
    evaluated = json.loads(cli("--json", "evaluate", bundle, "--steps", "2").out)
    assert set(evaluated) == KEYS | {"bundle"}
    assert [row["t"] for row in evaluated["steps"]] == [2]


@pytest.mark.parametrize("switch", [["--json"], []])
def test_error_is_json_too_and_keeps_its_status(
    cli: Callable, monkeypatch: pytest.MonkeyPatch, switch: list[str]
) -> None:
    if not switch:
        monkeypatch.setenv("SNNCONVERT_VERIFY_JSON", "1")
    result = cli(*switch, "verify", "nothing")
    assert result.status == 2
    (error,) = json.loads(result.out).values()
    assert set(error) == {"code", "message", "hint"}
    assert error["code"] == "E001"
    assert result.err.splitlines() == [f"error[E001]: {error['message']}", f"hint: {error['hint']}"]


def test_debug_shows_the_traceback(cli: Callable, job: list[str]) -> None:
    shown = cli("--debug", "verify", "nothing")
    assert "Traceback (most recent call last)" in shown.err
    assert shown.status == 2
    assert "Traceback" not in cli("verify", "nothing").err


def test_bug_is_one_line_and_a_report(cli: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from snnconvert.report import manifest

    def broken(_: object) -> None:
        raise KeyError("a secret mistake")

    monkeypatch.setattr(manifest, "verify_bundle", broken)
    into = functools.partial(tempfile.NamedTemporaryFile, dir=tmp_path)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", into)
    result = cli("verify", "x")
    error, hint = result.err.splitlines()
    assert (result.status, error) == (70, "error[E999]: a bug in snnconvert (KeyError)")
    (report,) = tmp_path.glob("snnconvert-crash-*.log")
    assert str(report) in hint
    assert "a secret mistake" in report.read_text(encoding="utf-8")
    monkeypatch.setattr("tempfile.NamedTemporaryFile", functools.partial(into, dir=tmp_path / "gone"))
    assert cli("verify", "x").err.splitlines()[1] == "hint: please report it, with what --debug prints"
    assert cli("verify", "x", "--debug").err.count("Traceback") == 1


def test_memory_that_runs_out_is_a_limit(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnconvert.report import manifest

    def greedy(_: object) -> None:
        raise MemoryError("8 TiB")

    monkeypatch.setattr(manifest, "verify_bundle", greedy)
    result = cli("verify", "x")
    assert result.status == 7
    assert result.err.startswith("error[E501]: out of memory (8 TiB)\nhint: ")


@pytest.mark.parametrize(
    ("arguments", "environment", "colored"),
    [
        ([], {}, False),  # no terminal
        (["--color", "always"], {}, True),
        (["--color=always"], {"NO_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        (["--color", "auto"], {"NO_COLOR": "1"}, False),
    ],
)
def test_colour(
    cli: Callable,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    colored: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in cli("verify", "nothing", *arguments).err) is colored


def test_samples_without_labels(cli: Callable, digits: dict[str, Path]) -> None:
    result = cli(digits["model"], "--calib", digits["unlabelled"], "--preprocess", "scale=1/16", "--steps", "4")
    assert result.status == 0
    assert "note: no labels: agreement with the ANN stands in for accuracy" in result.err
    assert result.out.splitlines()[2].split("|")[1].strip() == "-"


def test_evaluation_beyond_t_is_allowed_and_warned_of(cli: Callable, bundle: Path) -> None:
    result = cli("-q", "evaluate", bundle, "--steps", "4,6")
    assert result.status == 0
    assert result.err == "warning: calibrated for T = 4; 6 is beyond\n"
    assert cli("-q", "evaluate", bundle, "--steps", "4").err == ""


def test_names_from_files_cannot_steer_the_terminal(cli: Callable, job: list[str], inputs: Path) -> None:
    model = inputs / "a\x1b[31m\nb<script>.onnx"
    model.write_bytes(Path(job[0]).read_bytes())
    result = cli(model, *job[1:])
    assert result.status == 0
    assert "\x1b" not in result.err
    page = Path(f"{model.stem}_snn/report.html").read_text(encoding="utf-8")
    assert "<script>.onnx" not in page
    broken = inputs / "a\x1b[31m\nc.onnx"
    broken.write_bytes(b"")
    assert cli("-q", broken, *job[1:]).err.splitlines()[0].isprintable()


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["C", "ascii", "no UTF-8 at all"],
)
def test_locale_without_utf8(shell: Callable, bundle: Path, environment: dict[str, str]) -> None:
    named = bundle.rename(bundle.with_name("größe…_snn"))
    for result in (shell("verify", named, **environment), shell("verify", named, "--json", **environment)):
        assert (result.status, result.err) == (0, "")
        assert "_snn" in result.out
    result = shell("verify", named.with_name("fehlt…"), **environment)
    assert result.status == 2
    assert result.err.startswith("error[E001]: ")
    assert len(result.err.splitlines()) == 2


def test_path_that_is_no_unicode_is_printed(cli: Callable, bundle: Path) -> None:
    named = bundle.rename(bundle.with_name(os.fsdecode(b"\xff_snn")))
    result = cli("verify", named)
    assert (result.status, result.err) == (0, "")
    assert result.out.endswith("\\udcff_snn: whole, 9 files\n")


@pytest.mark.parametrize("name", [b"\xff.onnx", "größe \u2028 😀.onnx".encode(), b"yes: #.onnx", b"-0x1.onnx"])
def test_model_of_any_name_is_converted_and_repeated(cli: Callable, job: list[str], inputs: Path, name: bytes) -> None:
    model = inputs / os.fsdecode(name)
    model.write_bytes(Path(job[0]).read_bytes())
    assert cli("-q", model, *job[1:]).status == 0
    (made,) = Path().iterdir()
    assert made.name == f"{model.stem}_snn"
    assert cli("-q", "--config", made / "config.yaml", "--out", "again").status == 0
    assert (made / "manifest.json").read_bytes() == Path("again/manifest.json").read_bytes()
    assert cli("-q", "evaluate", "again").status == 0


def on_terminal(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a command whose stderr and stdout are a terminal; return its status and all that it showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not part:
                break
            shown += part
        status = child.wait(60)
    os.close(ours)
    return status, shown.decode("utf-8")


def test_narrow_terminal_without_colours(job: list[str], bundle: Path) -> None:
    environment = {**os.environ, "COLUMNS": "20", "NO_COLOR": "1", "TERM": "xterm", "OMP_NUM_THREADS": "1"}
    status, shown = on_terminal([sys.executable, "-m", "snnconvert", *job], environment)
    assert status == 0
    assert "Traceback" not in shown
    assert "\x1b[3" not in shown  # no colours; bars move the cursor, which they may
    assert shown.rstrip().endswith("net_snn")
    steering = bundle.rename(bundle.with_name("a\x1b[31mb_snn"))
    status, shown = on_terminal([sys.executable, "-m", "snnconvert", "verify", str(steering)], environment)
    assert (status, "\x1b[31m" in shown) == (0, False)
