"""``snnconvert doctor``: what this machine has and lacks."""

import textwrap
from pathlib import Path

import click

from snnconvert.cli.messages import print_json
from snnconvert.cli.options import PLACE, Common, common_options


@click.command("doctor", epilog="Example:  snnconvert doctor --out results/")
@click.option("--out", type=PLACE, metavar="DIR", help="Where bundles would go. [.]")
@common_options
@click.pass_context
def command(context: click.Context, out: str | None) -> None:
    """Look at versions, devices, the compiled loops and a place to write; exit with 1 where something is broken."""
    from snnconvert.doctor import examine
    from snnconvert.report.text import printable

    common: Common = context.obj
    document = examine(Path(out or "."))
    if common.as_json:
        print_json(document)
    else:
        for each in document["findings"]:
            start = f"{each['state']:<5}{each['what']:<18}"
            click.echo(
                textwrap.fill(printable(each["told"], 2000), 80, initial_indent=start, subsequent_indent=" " * 23)
            )
        click.echo("healthy" if document["healthy"] else "something is broken: see FAIL")
    context.exit(0 if document["healthy"] else 1)
