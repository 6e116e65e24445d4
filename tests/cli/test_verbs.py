"""The verb is found, every verb and option explains itself, and what is nearly a verb gets a hint."""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import click
import pytest

from snnconvert.cli import VERBS, with_verb
from snnconvert.errors import UsageError


@pytest.mark.parametrize(
    ("word", "verb"), [("inspekt", "inspect"), ("verfy", "verify"), ("evalute", "evaluate"), ("dem", "demo")]
)
def test_what_is_nearly_a_verb_gets_a_hint(cli: Callable, word: str, verb: str) -> None:
    for arguments in ((word,), (word, "net_snn"), ("--json", word, "x.onnx"), ("--color", "never", "-qv", word)):
        result = cli(*arguments)
        assert result.status == 2
        assert result.err.splitlines() == [f"error[E002]: unknown verb '{word}'", f"hint: did you mean '{verb}'?"]


def test_a_file_with_nearly_the_name_of_a_verb_is_a_model() -> None:
    from pathlib import Path

    Path("inspekt").touch()
    assert with_verb(["inspekt", "--calib", "x"]) == ["convert", "inspekt", "--calib", "x"]


@pytest.mark.parametrize("word", ["verify.onnx", "./verif", "x/inspekt", "resnet20", "", "--verify"])
def test_what_can_be_no_verb_is_a_model(word: str) -> None:
    assert with_verb([word]) == ["convert", word]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("verify b --json", "verify b --json"),
        ("--json verify b", "verify --json b"),
        ("-q --debug verify b", "verify -q --debug b"),
        ("--color never verify b", "verify --color never b"),
        ("--color=never -v verify b", "verify --color=never -v b"),
        ("-qv demo", "demo -qv"),
        ("convert demo", "convert demo"),
        ("m.onnx --calib c", "convert m.onnx --calib c"),
        ("--calib c m.onnx", "convert --calib c m.onnx"),
        ("--out demo m.onnx", "convert --out demo m.onnx"),
        ("--json m.onnx --calib demo", "convert --json m.onnx --calib demo"),
        ("-q", "convert -q"),
        ("--color", "convert --color"),
        ("-v --help", "--help"),
        ("--version", "--version"),
        ("", ""),
    ],
)
def test_verb_is_the_first_word_behind_global_options(arguments: str, expected: str) -> None:
    assert with_verb(arguments.split()) == expected.split()


@pytest.mark.parametrize(
    ("arguments", "code", "words", "hint"),
    [
        (["verify", "b", "--jsno"], "E002", "No such option", "--json"),
        (["m.onnx", "--calb", "x"], "E002", "No such option", "--calib"),
        (["verify"], "E002", "Missing argument 'BUNDLE'", "snnconvert verify --help"),
        (["evaluate"], "E002", "Missing argument 'BUNDLE'", "snnconvert evaluate --help"),
        (["m.onnx"], "E002", "no calibration samples", "--calib"),
        (["--calib", "x"], "E002", "no model given", "MODEL"),
        (["-q"], "E002", "no model given", "MODEL"),
        (["m.onnx", "x.onnx", "--calib", "x"], "E002", "unexpected extra argument", "--help"),
        (["m.onnx", "--calib"], "E002", "requires an argument", "--help"),
        (["m.onnx", "--calib", "c", "--batch-size", "0"], "E002", "0 is not in the range", "--help"),
        (["m.onnx", "--calib", "c", "--reset", "none"], "E002", "'none' is not one of", "--help"),
        (["m.onnx", "--calib", "c", "--color", "red"], "E002", "'red' is not one of", "--help"),
    ],
)
def test_wrong_usage_is_one_line_and_a_hint(
    cli: Callable, arguments: list[str], code: str, words: str, hint: str
) -> None:
    result = cli(*arguments)
    assert (result.status, result.out) == (2, "")
    error, told = result.err.splitlines()
    assert error.startswith(f"error[{code}]: ")
    assert words in error
    assert told.startswith("hint: ")
    assert hint in told
    assert hint not in error  # said once


def test_no_argument_prints_the_help(cli: Callable) -> None:
    nothing, short, long = cli(), cli("-h"), cli("--help")
    assert (nothing.status, nothing.err) == (0, "")
    assert nothing.out == short.out == long.out
    assert all(verb in nothing.out and text.split()[0] in nothing.out for verb, text in VERBS.items())


def test_version(cli: Callable) -> None:
    from snnconvert import __version__

    assert (cli("--version").status, cli("--version").out) == (0, f"snnconvert {__version__}\n")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_has_a_help_text(verb: str) -> None:
    command = import_module(f"snnconvert.cli.{verb}").command
    assert isinstance(command, click.Command)
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("width", ["20", "80", "200"])
def test_help_fits_the_terminal(cli: Callable, monkeypatch: pytest.MonkeyPatch, verb: str, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    result = cli(verb, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: snnconvert {verb}"[: int(width)]) or width == "20"
    if width == "80":
        assert max(map(len, result.out.splitlines())) <= 80


def test_help_of_a_conversion_has_every_option_under_one_heading(cli: Callable) -> None:
    from snnconvert.cli.convert import Convert, command

    named = [name for names in Convert.headings.values() for name in names]
    options = {each.name for each in command.params if isinstance(each, click.Option)}
    assert len(named) == len(set(named))
    assert set(named) <= options
    lines = cli("convert", "-h").out.splitlines()
    for heading in (*Convert.headings, "General"):
        assert lines.count(f"{heading}:") == 1
    shown = [word for line in lines for word in line.split()[:1] if word.startswith("--")]
    assert len(shown) == len(set(shown))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from snnconvert.cli import VERBS, main\n"
        "for arguments in (['--help'], ['--version'], *([verb, '--help'] for verb in VERBS)):\n"
        "    assert main(arguments) == 0\n"
        "print('loaded:', [name for name in ('torch', 'numpy', 'onnx', 'onnxruntime', 'numba', 'pydantic', 'yaml',\n"
        "      'rich', 'jinja2', 'PIL') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_unknown_verb_function_refuses_by_itself() -> None:
    with pytest.raises(UsageError, match=r"E002.*unknown verb 'demmo'"):
        with_verb(["demmo"])
