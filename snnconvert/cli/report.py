"""``snnconvert report DIR...``: one page about several runs."""

from pathlib import Path

import click

from snnconvert.cli.messages import print_json, print_path
from snnconvert.cli.options import PLACE, Common, common_options

EPILOG = """\b
Examples:
  snnconvert report a_snn b_snn               two bundles
  snnconvert report runs/ --out sweep.html    all that a batch made
"""


@click.command("report", epilog=EPILOG)
@click.argument("folders", type=PLACE, nargs=-1, required=True, metavar="DIR...")
@click.option("--out", type=PLACE, metavar="FILE", default="report.html", help="Where to write. [report.html]")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@common_options
@click.pass_context
def command(context: click.Context, folders: tuple[str, ...], out: str, force: bool) -> None:
    """Compare the bundles in each DIR on one page: curves over each other, who is best, a table that sorts, links."""
    from snnconvert.comparing import compare

    common: Common = context.obj
    document = compare([Path(folder) for folder in folders], Path(out), force)
    if common.as_json:
        print_json(document)
        return
    for text in document["notes"]:
        common.progress().note(text)
    click.echo(document["verdict"])
    print_path(document["page"])
