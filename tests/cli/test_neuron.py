"""``snnconvert neuron``: spike times, rates, pictures, and what is refused."""

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from snnconvert.cli.neuron import MODELS, model_command
from snnconvert.errors import OutputError
from snnconvert.neurons import NEURONS
from snnconvert.report import single_file

TEXTBOOK = ["lif", "--tau", "20", "--threshold", "10", "--current", "11", "--steps", "100"]


def refused(result, status: int, code: str, message: str, hint: str = "") -> None:
    error, *hints = result.err.splitlines()
    assert (result.status, result.out) == (status, "")
    assert error == f"error[{code}]: {message}"
    assert hints == ([f"hint: {hint}"] if hint else [])


def last_line(result) -> str:
    assert (result.status, result.err) == (0, "")
    return result.out.splitlines()[-1]


# spikes


def test_textbook_lif_spikes_at_47_and_94(cli: Callable) -> None:
    result = cli("neuron", *TEXTBOOK)
    assert last_line(result) == "spikes: 47, 94"
    assert result.out.splitlines() == [
        "lif: Leaky integrate and fire.",
        "  tau                20  steps",
        "  threshold          10  units of potential",
        "  reset potential     0  units of potential",
        "  resistance          1  units of potential a unit of current",
        "  bias                0  units of current",
        "  initial potential   0  units of potential",
        "current 11, 100 steps",
        "2 spikes in all, in 2 steps",
        "rate 0.02 spikes a step; analytic 0.0212766",
        "spikes: 47, 94",
    ]


def test_it_is_the_same_as_a_process_of_its_own(shell: Callable) -> None:
    result = shell("neuron", *TEXTBOOK)
    assert (result.status, result.err) == (0, "")
    assert result.out.endswith("\nspikes: 47, 94\n")


@pytest.mark.parametrize(
    ("arguments", "spikes"),
    [
        (["if", "--current", "0.025"], "39, 79"),
        (["if", "--current", "0.25", "--steps", "10", "--threshold", "0.5"], "1, 3, 5, 7, 9"),
        (["if", "--current", "1", "--steps", "6", "--refractory", "1"], "0, 2, 4"),
        (["if", "--current", "0.75", "--steps", "6", "--reset", "zero"], "1, 3, 5"),
        (["if", "--current", "0.75", "--steps", "4", "--leak", "0.25", "--initial-potential", "0.5"], "0, 2"),
        (["if", "--current=-3"], "none"),
        (["if", "--current", "-3"], "none"),
        (["if-multi", "--current", "2.5", "--steps", "4"], "0x2, 1x3, 2x2, 3x3"),
        (["if-multi", "--current", "2.5", "--steps", "2", "--k", "1"], "0, 1"),
        (["if-multi", "--current", "5000000", "--steps", "1", "--k", "none"], "0x5000000"),
        (["if-signed", "--current", "0.5", "--steps", "4"], "1, 3"),
        (["if-signed-multi", "--current", "1.5", "--steps", "2", "--k", "3"], "0, 1x2"),
        (["multi-threshold", "--n", "3", "--current", "0.375", "--steps", "2"], "0x0.25, 1x0.5"),
        (["differential", "--current", "0.37", "--steps", "40"], "0x0.375, 4x-0.03125, 18x0.03125"),
    ],
)
def test_spike_times(cli: Callable, arguments: list[str], spikes: str) -> None:
    assert last_line(cli("neuron", *arguments)) == f"spikes: {spikes}"
    assert cli("-q", "neuron", *arguments).out == f"spikes: {spikes}\n"


def test_current_and_threshold_of_if_are_in_the_same_units(cli: Callable) -> None:
    plain = cli("neuron", "if", "--current", "0.25", "--steps", "50")
    scaled = cli("neuron", "if", "--current", "2.5", "--threshold", "10", "--steps", "50")
    assert last_line(plain) == last_line(scaled)
    assert "  threshold                10  units of current\n" in scaled.out
    assert "rate 0.24 spikes a step; analytic 0.25\n" in scaled.out


def test_json_is_one_document(cli: Callable) -> None:
    result = cli("neuron", *TEXTBOOK, "--json")
    found = json.loads(result.out)
    assert found["schema"] == "snnconvert/neuron/1"
    assert (found["neuron"], found["current"], found["steps"], found["threshold"]) == ("lif", 11, 100, None)
    assert found["parameters"]["tau"] == 20
    assert found["spikes"] == [{"step": 47, "size": 1}, {"step": 94, "size": 1}]
    assert (found["total"], found["rate"]) == (2, 0.02)
    assert found["analytic_rate"] == 1 / 47
    assert cli("--json", "neuron", *TEXTBOOK).out == result.out
    assert cli("neuron", "--json", *TEXTBOOK).out == result.out


def test_json_without_a_limit_and_without_a_current(cli: Callable) -> None:
    found = json.loads(cli("neuron", "if-multi", "--k", "none", "--current", "-0", "--steps", "3", "--json").out)
    assert (found["parameters"]["k"], found["spikes"], found["rate"], found["threshold"]) == (None, [], 0, 1)


# help


def test_the_models_of_the_help_are_those_of_the_registry() -> None:
    assert list(MODELS) == list(NEURONS)


def test_help_lists_the_models_and_needs_no_torch(cli: Callable) -> None:
    result = cli("neuron", "-h")
    assert (result.status, result.err) == (0, "")
    assert all(f"\n  {name} " in result.out for name in MODELS)
    code = "import sys; from snnconvert.cli import main; main(['neuron', '-h']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("name", MODELS)
def test_help_of_a_model_lists_every_parameter_with_its_unit(
    cli: Callable, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = cli("neuron", name, "-h")
    assert (result.status, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    words = " ".join(result.out.split())
    for parameter in dataclasses.fields(NEURONS[name]):  # type: ignore[arg-type]
        assert f" --{parameter.name.replace('_', '-')} " in words
        limits = parameter.metadata.get("range")
        assert limits is None or f"({limits.unit})" in words
    assert "--threshold FLOAT" in words
    assert "3x2 2 spikes in step 3" in words
    assert all(option.help for option in model_command(name).params)  # type: ignore[attr-defined]


def test_matplotlib_is_loaded_for_a_picture_only(work: Path) -> None:
    code = (
        "import sys; from snnconvert.cli import main; main(['neuron', 'if', '--steps', '3', *sys.argv[1:]])\n"
        "print('matplotlib.figure' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    told = [
        subprocess.run([sys.executable, "-c", code, *more], capture_output=True, text=True, timeout=60, check=True)
        for more in ([], ["--plot", "a.svg"])
    ]
    assert [each.stdout.splitlines()[-1] for each in told] == ["False False", "True False"]


# refusals


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["liff"], "E002", "unknown neuron 'liff'", "did you mean 'lif'?"),
        ([], "E002", "no neuron given", f"snnconvert neuron NAME; known: {', '.join(MODELS)}"),
        (["if", "--current", "nan"], "E003", "--current: expected a finite number, got nan", ""),
        (["lif", "--current", "-inf"], "E003", "--current: expected a finite number, got -inf", ""),
        (
            ["if", "--current", "1e308", "--threshold", "1e-9"],
            "E003",
            "--current: expected a finite number, got inf",
            "",
        ),
        (
            ["if", "--current", "1e308"],
            "E003",
            "--current: expected a smaller number, got 1e+308",
            "the potential overflows",
        ),
        (["if", "--threshold", "0"], "E003", "--threshold: expected over 0 (units of current), got 0", ""),
        (["if-multi", "--threshold", "nan"], "E003", "--threshold: expected over 0 (units of current), got nan", ""),
        (["lif", "--threshold", "0"], "E003", "--threshold: expected over 0 (units of potential), got 0", ""),
        (["lif", "--tau", "0.5"], "E003", "--tau: expected at least 1 (steps), got 0.5", ""),
        (["lif", "--tau", "inf"], "E003", "--tau: expected at least 1 (steps), got inf", ""),
        (
            ["lif", "--reset-potential", "2"],
            "E003",
            "--reset-potential: expected under the threshold 1, got 2",
            "",
        ),
        (
            ["if", "--initial-potential", "1"],
            "E003",
            "--initial-potential: expected at least 0 and under 1 (thresholds), got 1",
            "",
        ),
        (
            ["if-multi", "--k", "0"],
            "E003",
            "--k: expected at least 1 and at most 1048576 (spikes a step), got 0",
            "",
        ),
        (["if-signed-multi", "--k", "none"], "E002", "Invalid value for '--k': 'none' is not a valid integer", "see"),
        (["multi-threshold", "--n", "17"], "E003", "--n: expected at least 1 and at most 16 (thresholds), got 17", ""),
        (["if", "--steps", "0"], "E002", "Invalid value for '--steps': 0 is not in the range 1<=x<=1000000", "see"),
        (
            ["if", "--steps", "1000001"],
            "E002",
            "Invalid value for '--steps': 1000001 is not in the range 1<=x<=1000000",
            "see",
        ),
        (
            ["if", "--reset", "soft"],
            "E002",
            "Invalid value for '--reset': 'soft' is not one of 'subtract', 'zero'",
            "see",
        ),
        (["if", "--taw", "3"], "E002", "No such option '--taw'", "see"),
        (["lif", "--taw", "3"], "E002", "No such option '--taw'", "did you mean --tau?"),
    ],
)
def test_bad_arguments_are_refused(cli: Callable, arguments: list[str], code: str, message: str, hint: str) -> None:
    expected = f"see 'snnconvert neuron {arguments[0]} --help'" if hint == "see" else hint
    refused(cli("neuron", *arguments), 2, code, message, expected)
    told = json.loads(cli("--json", "neuron", *arguments).out)["error"]
    assert told == {"code": code, "message": message, "hint": expected or None}


@pytest.mark.parametrize("name", ["a.txt", "a", "svg", "a.svg.gz", "a.jpg"])
def test_other_formats_are_refused(cli: Callable, work: Path, name: str) -> None:
    message = f"--plot: expected a name that ends in .svg, .png or .pdf, got '{name}'"
    refused(cli("neuron", "if", "--plot", name), 2, "E003", message)
    assert list(work.iterdir()) == []


def test_places_where_nothing_can_be_written_are_refused(cli: Callable, work: Path) -> None:
    elsewhere = "give another name"
    refused(
        cli("neuron", "if", "--plot", "gone/a.svg"),
        5,
        "E401",
        "gone/a.svg: there is no folder 'gone'",
        f"make it, or {elsewhere}",
    )
    (work / "folder.svg").mkdir()
    message = "folder.svg: is there already, and is no file"
    refused(cli("neuron", "if", "--plot", "folder.svg"), 5, "E401", message, elsewhere)
    assert cli("neuron", "if", "--plot", "n" * 300 + ".svg").err.startswith("error[E40")
    assert [path.name for path in work.iterdir()] == ["folder.svg"]


def test_a_write_that_fails_keeps_the_old_file(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = work / "a.svg"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(single_file.os, "fsync", full)
    with pytest.raises(OutputError, match=r"E402.*a.svg: cannot be written \(No space left on device\)"):
        single_file.write_whole(path, b"new")
    monkeypatch.setattr(single_file.os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        single_file.write_whole(path, b"new")
    assert [each.name for each in work.iterdir()] == ["a.svg"]
    assert path.read_bytes() == b"old"


# pictures


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_drawn_the_same_on_a_rerun(cli: Callable, work: Path, name: str) -> None:
    for file in ("a.svg", "b.svg"):
        assert cli("neuron", name, "--current", "1.3", "--steps", "40", "--plot", file).status == 0
    assert sorted(path.name for path in work.iterdir()) == ["a.svg", "b.svg"]
    assert (work / "a.svg").read_bytes() == (work / "b.svg").read_bytes()
    panels = re.findall(r'<g id="(axes_\d)">', (work / "a.svg").read_text(encoding="utf-8"))
    assert panels == ["axes_1", "axes_2", "axes_3"]


def test_a_picture_is_the_same_from_another_process_with_other_settings(shell: Callable, work: Path) -> None:
    (work / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\nsvg.hashsalt: other\n")
    assert shell("neuron", *TEXTBOOK, "--plot", "a.svg").status == 0
    (work / "matplotlibrc").unlink()
    assert shell("neuron", *TEXTBOOK, "--plot", "b.svg", PYTHONHASHSEED="7").status == 0
    assert (work / "a.svg").read_bytes() == (work / "b.svg").read_bytes()


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")])
def test_other_formats_are_drawn_by_their_suffix(cli: Callable, work: Path, suffix: str, start: bytes) -> None:
    for name in ("a", "b"):
        assert cli("neuron", *TEXTBOOK, "--plot", f"{name}.{suffix}").out.endswith("spikes: 47, 94\n")
    content = (work / f"a.{suffix}").read_bytes()
    assert content.startswith(start)
    assert content == (work / f"b.{suffix}").read_bytes()
    if suffix == "png":
        with Image.open(work / "a.png") as image:
            assert image.size == (1350, 720)


@pytest.mark.parametrize("arguments", [["--steps", "1"], ["--steps", "3000", "--current", "-2"], ["--current", "40"]])
def test_unusual_runs_are_drawn_without_a_warning(shell: Callable, work: Path, arguments: list[str]) -> None:
    result = shell("neuron", "if", *arguments, "--plot", "a.png")
    assert (result.status, result.err) == (0, "")
    assert (work / "a.png").stat().st_size > 10_000


def test_an_older_picture_is_replaced(cli: Callable, work: Path) -> None:
    (work / "a.svg").write_text("old")
    assert cli("neuron", "if", "--plot", "a.svg").status == 0
    assert (work / "a.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert importlib.import_module("snnconvert.report.neuron_plot").FORMATS == ("svg", "png", "pdf")
