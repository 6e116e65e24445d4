"""What is said to the user: errors, notes and progress on stderr, results on stdout."""

import io
import json
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

import click

from snnconvert.errors import OutputError, SnnError
from snnconvert.report.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

MESSAGE_LIMIT = 600  # characters of one line
QUIET, NORMAL, VERBOSE = 0, 1, 2
PLAIN_EVERY = 10.0  # seconds between progress lines where there is no terminal


def on_terminal(stream: TextIO | None) -> bool:
    """Tell whether what is written there is read on a terminal; a stream that was closed is None."""
    return stream is not None and stream.isatty()


def wants_color(arguments: Sequence[str]) -> bool:
    """Decide on colour: --color, else NO_COLOR and FORCE_COLOR, else whether stderr is a terminal."""
    for index, word in enumerate(arguments):
        choice = word.partition("=")[2] if word.startswith("--color=") else ""
        if word == "--color" and index + 1 < len(arguments):
            choice = arguments[index + 1]
        if choice in ("always", "never"):
            return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or on_terminal(sys.stderr)


def switched_on(name: str, arguments: Sequence[str]) -> bool:
    """Tell whether ``--name`` is among the arguments, or set by the environment for any verb: errors come early."""
    variables = [value for key, value in os.environ.items() if re.fullmatch(f"SNNCONVERT_[A-Z]+_{name.upper()}", key)]
    return f"--{name}" in arguments or any(value.lower() in ("1", "true", "t", "yes", "y", "on") for value in variables)


def make_encodable() -> None:
    """Let stdout and stderr take any text: what their encoding has no character for is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon(stream: TextIO | None) -> None:
    """Write nothing more to a stream that cannot be written to: not even, at exit, what is still buffered."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]


class Speaker:
    """Ends the program with one line, and knows the exit status that belongs to it."""

    def __init__(self, as_json: bool, debug: bool, color: bool) -> None:
        self.as_json = as_json
        self.debug = debug
        self.color = color

    def _line(self, label: str, text: str, colour: str) -> None:
        label = click.style(label, fg=colour, bold=True) if self.color else label
        say(f"{label}: {printable(text, MESSAGE_LIMIT)}", self.color)

    def error(self, error: SnnError) -> int:
        """Print an error and its hint; return its exit status."""
        if self.debug and sys.exc_info()[0] is not None:
            say(traceback.format_exc(), self.color)
        if self.as_json:
            told = {name: text and printable(text, MESSAGE_LIMIT) for name, text in error.document.items()}
            try:
                click.echo(json.dumps({"error": told}))
            except OSError:
                abandon(sys.stdout)
        self._line(f"error[{error.code}]", error.message, "red")
        if error.hint:
            self._line("hint", error.hint, "cyan")
        return error.exit_status

    def interrupted(self, status: int) -> int:
        """Say that nothing unfinished was written; return the status."""
        say("interrupted: nothing unfinished was left behind", self.color)
        return status

    def failed_write(self, problem: OSError) -> int:
        """Tell a failed write to stdout, or a file that nobody else has told of."""
        reason = problem.strerror or str(problem)
        if problem.filename is not None:
            return self.error(OutputError("E402", f"{problem.filename}: {reason}"))
        abandon(sys.stdout)
        return self.error(OutputError("E402", f"cannot write the result: {reason}", "is the disk full?"))

    def bug(self, problem: Exception) -> int:
        """Keep the traceback in a file and say where."""
        report = "".join(traceback.format_exception(problem))
        if self.debug:
            say(report, self.color)
        try:
            with tempfile.NamedTemporaryFile(
                "w",
                prefix="snnconvert-crash-",
                suffix=".log",
                delete=False,
                encoding="utf-8",
                errors="backslashreplace",
            ) as log:
                log.write(report)
            hint = f"please report it, with {log.name}"
        except OSError:
            hint = "please report it, with what --debug prints"
        self.debug = False  # told already
        return self.error(SnnError("E999", f"a bug in snnconvert ({type(problem).__name__})", hint))


def say(text: str, color: bool) -> None:
    """Write to stderr; a stderr that nobody reads is no reason to stop."""
    try:
        click.echo(text, err=True, color=color)
    except OSError:
        abandon(sys.stderr)


class TerminalProgress:
    """Bars on a terminal, plain lines elsewhere, notes between them; silent with --quiet."""

    def __init__(self, verbosity: int, color: bool) -> None:
        self.verbosity = verbosity
        self.color = color
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._name, self._total, self._done = "", 0, 0
        self._told = 0.0

    def __enter__(self) -> "TerminalProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def stage(self, name: str, total: int) -> None:
        """Begin a stage."""
        self._stop()
        self._name, self._total, self._done, self._told = name, total, 0, time.monotonic()
        if self.verbosity == QUIET:
            return
        if on_terminal(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            console = Console(stderr=True, no_color=not self.color)
            columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = Progress(*columns, console=console, transient=True)
            self._task = self._bars.add_task(name, total=total)
            self._bars.start()
        else:
            say(f"{name}: {self._parts(total)}", self.color)

    def _parts(self, total: int) -> str:
        """Return what a stage goes through, in words."""
        noun = "layer" if self._name == "correct" else "sample"
        return f"{total:,} {noun}" + ("s" if total != 1 else "")

    def advance(self, samples: int) -> None:
        """Move on within the stage."""
        self._done += samples
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self._done)
        elif self.verbosity > QUIET and time.monotonic() - self._told > PLAIN_EVERY:
            self._told = time.monotonic()
            say(f"{self._name}: {self._done:,} of {self._parts(self._total)}", self.color)

    def note(self, text: str) -> None:
        """Tell a choice that was made."""
        if self.verbosity > QUIET:
            say(f"note: {printable(text, MESSAGE_LIMIT)}", self.color)

    def detail(self, text: str) -> None:
        """Tell what was measured, with --verbose."""
        if self.verbosity == VERBOSE:
            say(printable(text, MESSAGE_LIMIT), self.color)

    def warn(self, text: str) -> None:
        """Tell that something is likely wrong."""
        label = click.style("warning", fg="yellow", bold=True) if self.color else "warning"
        say(f"{label}: {printable(text, MESSAGE_LIMIT)}", self.color)


def print_json(document: object) -> None:
    """Print exactly one JSON document."""
    click.echo(json.dumps(document, indent=1, sort_keys=True))


def print_path(path: str) -> None:
    """Print the path of a result: as it is for programs, on a terminal without what could steer it."""
    click.echo(printable(path, 4096) if on_terminal(sys.stdout) else path)
