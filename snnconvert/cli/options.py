"""Options that several verbs share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from snnconvert.cli.messages import NORMAL, QUIET, VERBOSE, TerminalProgress, wants_color

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Common:
    """How the user wants to be told."""

    verbosity: int
    as_json: bool
    color: bool

    def progress(self) -> TerminalProgress:
        """Return where progress goes."""
        return TerminalProgress(self.verbosity, self.color)


def common_options(function: Function) -> Function:
    """Add -q, -v, --json, --debug and --color; the verb receives ``common``."""

    def collect(context: click.Context, _: click.Parameter, value: bool) -> bool:
        found = context.params
        verbosity = QUIET if found.get("quiet") else VERBOSE if found.get("verbose") else NORMAL
        arguments = ["--color", found["color"]] if found.get("color") else []
        context.obj = Common(verbosity, bool(found.get("json")), wants_color(arguments))
        for name in ("quiet", "verbose", "json", "color"):
            found.pop(name, None)
        return value

    options = [
        click.option("-q", "--quiet", is_flag=True, is_eager=True, help="Only errors and the result."),
        click.option("-v", "--verbose", is_flag=True, is_eager=True, help="Say also what was measured on the way."),
        click.option("--json", is_flag=True, is_eager=True, help="Print one JSON document on stdout."),
        click.option(
            "--color", type=click.Choice(["auto", "always", "never"]), is_eager=True, help="Colour of messages. [auto]"
        ),
        click.option("--debug", is_flag=True, expose_value=False, callback=collect, help="Show tracebacks."),
    ]
    for option in reversed(options):
        function = option(function)
    return function
