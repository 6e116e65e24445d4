"""``snnconvert explain CODE``: what an error means, and what helps."""

import textwrap

import click

from snnconvert.cli.messages import print_json
from snnconvert.cli.options import Common, common_options


@click.command("explain", epilog="Example:  snnconvert explain E120")
@click.argument("code", required=False)
@common_options
@click.pass_context
def command(context: click.Context, code: str | None) -> None:
    """Tell what the error CODE means and what helps against it; without a code, list all."""
    from snnconvert.codes import CODES
    from snnconvert.errors import UsageError

    common: Common = context.obj
    if code is None:
        known = {name: each.title for name, each in CODES.items()}
        if common.as_json:
            print_json({"schema": "snnconvert/explain/1", "codes": known})
        else:
            click.echo("".join(f"{name}  {title}\n" for name, title in known.items()), nl=False)
        return
    name = code.upper()
    if name not in CODES:
        raise UsageError("E002", f"no code '{code}'", "snnconvert explain lists all; codes look like E120")
    found = CODES[name]
    if common.as_json:
        told = {"code": name, "title": found.title, "meaning": found.meaning, "advice": found.advice}
        print_json({"schema": "snnconvert/explain/1", **told})
    else:
        parts = [f"{name}: {found.title}", *(textwrap.fill(each, 80) for each in (found.meaning, found.advice))]
        click.echo("\n\n".join(parts))
