"""The command line: one file a verb; this one finds the verb, and turns every error into its line and exit status.

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

import difflib
import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click
from click.shell_completion import CompletionItem

from snnconvert import __version__
from snnconvert.cli import messages
from snnconvert.errors import LimitError, SnnError, UsageError

VERBS = {
    "convert": "Convert a network, evaluate it over time, write a bundle (the default verb).",
    "inspect": "Tell what becomes of every node of a network, without converting it.",
    "evaluate": "Run the network of a bundle on samples.",
    "cost": "Count what a sample costs to run: operations, sparsity, energy by stated models.",
    "check": "Compare a network with its baseline: PASS, FAIL or INCONCLUSIVE, for CI.",
    "batch": "Run many conversions from one file; running it again goes on.",
    "export": "Write the network of a bundle for other tools: NIR, torch, ONNX.",
    "report": "Compare runs on one page: curves, who is best, a table that sorts.",
    "verify": "Check that a bundle is whole and unchanged.",
    "neuron": "Simulate one neuron under a constant current: spikes, rate, a picture.",
    "doctor": "Look at what this machine has and lacks, and try it.",
    "explain": "Tell what an error code means, and what helps.",
    "completion": "Print what makes a shell complete verbs and options.",
    "schema": "Print the JSON Schema of a configuration file, for editors.",
    "demo": "Convert the three small networks that come with snnconvert.",
}
COMPLETING = "_SNNCONVERT_COMPLETE"
GLOBAL_SWITCHES = ("--quiet", "--verbose", "--json", "--debug")
SIGTERM_STATUS, SIGINT_STATUS, PIPE_STATUS = 143, 130, 141


class Terminated(KeyboardInterrupt):
    """SIGTERM, treated as Ctrl-C is: everything is cleaned up on the way out."""


class VerbGroup(click.Group):
    """Loads a verb when it is called; the first word that is no verb is a model to convert."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"snnconvert.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return super().shell_complete(ctx, incomplete) or [CompletionItem(incomplete, type="file")]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_verb(args))


def with_verb(arguments: list[str]) -> list[str]:
    """Put the verb first: the first word behind the global options if it is one, else ``convert``.

    Raises:
        UsageError: that word is no file, but nearly a verb (E002).
    """
    position = leading_switches(arguments)
    before, rest = arguments[:position], arguments[position:]
    if not arguments or (rest and rest[0] in ("-h", "--help", "--version")):
        return rest
    if not rest:
        return ["convert", *before]
    if rest[0] in VERBS:
        return [rest[0], *before, *rest[1:]]
    close = difflib.get_close_matches(rest[0], VERBS, n=1)
    if close and not re.search(r"^-|[./\\]", rest[0]) and not Path(rest[0]).exists():
        raise UsageError("E002", f"unknown verb '{rest[0]}'", f"did you mean '{close[0]}'?")
    return ["convert", *arguments]


def leading_switches(arguments: Sequence[str]) -> int:
    """Return how many words the global options in front take up."""
    position = 0
    while position < len(arguments) and (spanned := _global_option(arguments[position])):
        position += spanned
    return position


def _global_option(word: str) -> int:
    """Return how many words a global option takes up; 0 where it is none."""
    if word == "--color":
        return 2
    return int(word in GLOBAL_SWITCHES or word.startswith("--color=") or re.fullmatch("-[qv]+", word) is not None)


@click.group(
    cls=VerbGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "SNNCONVERT",
        "max_content_width": 100,
    },
    invoke_without_command=True,
    options_metavar="",
    subcommand_metavar="MODEL --calib PATH [OPTIONS] | VERB ...",
    epilog="Start: snnconvert demo.   Your own: snnconvert model.onnx --calib data/   Help: snnconvert convert -h",
)
@click.version_option(__version__, message="snnconvert %(version)s")
@click.pass_context
def snnconvert(context: click.Context) -> None:
    """Turn a trained ReLU network (ONNX, TorchScript, torch.export) into a spiking one, and report its accuracy.

    What it makes is a folder, the bundle: the network, an evaluator, a report of accuracy against time steps.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; no exception leaves it."""
    if COMPLETING in os.environ:  # the shell asks what a line can go on with
        completion = importlib.import_module("snnconvert.cli.completion")
        return int(completion.answer(snnconvert, os.environ[COMPLETING]))
    given = list(sys.argv[1:] if arguments is None else arguments)
    messages.make_encodable()
    speaker = messages.Speaker(
        as_json=messages.switched_on("json", given),
        debug=messages.switched_on("debug", given),
        color=messages.wants_color(given),
    )
    stopped = stops()
    try:
        # not snnconvert.main(): click would turn SIGTERM into Ctrl-C, and a closed pipe into its own exit status
        with snnconvert.make_context("snnconvert", given) as context:
            status = snnconvert.invoke(context)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SnnError as error:
        return speaker.error(error)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as problem:
        return speaker.error(usage_error(problem))
    except Terminated:
        return speaker.interrupted(SIGTERM_STATUS)
    except (KeyboardInterrupt, click.Abort):
        return speaker.interrupted(SIGINT_STATUS)
    except BrokenPipeError:
        messages.abandon(sys.stdout)
        return PIPE_STATUS
    except OSError as problem:
        return speaker.failed_write(problem)
    except MemoryError as problem:
        return speaker.error(LimitError("E501", f"out of memory ({problem})", "a smaller --batch-size needs less"))
    except Exception as problem:  # noqa: BLE001 - the one place where a bug becomes a message
        # an import that was interrupted fails in ways of its own
        return speaker.interrupted(stopped[0]) if stopped else speaker.bug(problem)
    return status if isinstance(status, int) else 0


def usage_error(problem: click.ClickException) -> UsageError:
    """Tell click's complaint in our own form."""
    hint = None
    if isinstance(problem, click.NoSuchOption) and problem.possibilities:
        hint = f"did you mean {problem.possibilities[0]}?"
    elif isinstance(problem, click.UsageError):
        hint = f"see '{'snnconvert' if problem.ctx is None else problem.ctx.command_path} --help'"
    message = problem.message if isinstance(problem, click.NoSuchOption) else problem.format_message()
    return UsageError("E002", message.rstrip("."), hint)


def stops() -> list[int]:
    """Let SIGTERM and Ctrl-C end the command; return where the exit status of each that came is put down."""
    stopped: list[int] = []

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        stopped.append(SIGINT_STATUS)
        raise KeyboardInterrupt

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        stopped.append(SIGTERM_STATUS)
        raise Terminated

    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # nohup and the like ignore it
        signal.signal(signal.SIGINT, interrupt)
    return stopped
