"""Options that several verbs share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import click
from click.shell_completion import CompletionItem

from snnconvert.cli.messages import NORMAL, QUIET, VERBOSE, TerminalProgress, wants_color
from snnconvert.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])


class _Place(click.ParamType[str]):
    """Any path, there or not, which shells complete; what is wrong with it is told by who opens it."""

    name = "path"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


PLACE = _Place()


class Grouped(click.Command):
    """A command whose help has its options under headings; those that no heading names come last."""

    headings: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {each.name: each.get_help_record(ctx) for each in self.get_params(ctx)}
        named = {name for names in self.headings.values() for name in names}
        rest = [name for name in records if name not in named]
        for heading, names in {**self.headings, "General": rest}.items():
            if listed := [record for name in names if (record := records[name]) is not None]:
                with formatter.section(heading):
                    formatter.write_dl(listed)


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


def model_options(function: Function) -> Function:
    """Add what a user says about a model file: --input-shape, --output-name, --trust-model."""
    options = [
        click.option(
            "--input-shape", metavar="SIZES", help="Of one sample, such as 3,224,224. [the file's, or the samples']"
        ),
        click.option("--output-name", metavar="NAME", help="The output to convert, where the model has several."),
        click.option(
            "--trust-model/--no-trust-model",
            default=None,
            help="Let torch open an archive that the scan does not pass; it can run code. [no]",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def parse_shape(text: str) -> list[int]:
    """Read ``3,224,224`` or ``3x224x224``, the batch left out or written ``N``.

    Raises:
        UsageError: it is no list of sizes (E003).
    """
    sizes = text.replace("x", ",").split(",")
    sizes = sizes[1:] if len(sizes) > 1 and sizes[0].strip() in ("N", "-1", "batch") else sizes
    if not all(size.strip().isascii() and size.strip().isdecimal() and len(size) < 10 for size in sizes):
        raise UsageError("E003", f"--input-shape: expected sizes such as 3,224,224, got '{text[:80]}'")
    return [int(size) for size in sizes]
