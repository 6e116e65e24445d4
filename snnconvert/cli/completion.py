"""``snnconvert completion SHELL``: what makes the Tab key complete verbs and options."""

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete, shell_complete

from snnconvert.cli import COMPLETING
from snnconvert.cli.options import common_options

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
EPILOG = """\b
Examples:
  snnconvert completion bash >> ~/.bashrc
  snnconvert completion zsh >> ~/.zshrc
  snnconvert completion fish > ~/.config/fish/completions/snnconvert.fish
"""


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice([*SHELLS]))
@common_options
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the lines with which SHELL completes verbs, options and files."""
    complete = SHELLS[shell](context.find_root().command, {}, "snnconvert", COMPLETING)
    click.echo(complete.source_template % complete.source_vars())


def answer(group: click.Command, instruction: str) -> int:
    """Tell a shell what a line can go on with; return the exit status."""
    return shell_complete(group, {}, "snnconvert", COMPLETING, instruction)
