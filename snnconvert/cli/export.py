"""``snnconvert export BUNDLE --to nir|torch|onnx``: the network of a bundle in the forms that other tools run."""

from pathlib import Path

import click

from snnconvert.cli.messages import print_json, print_path
from snnconvert.cli.options import PLACE, Common, common_options

EPILOG = """\b
Examples:
  snnconvert export net_snn --to nir --out net.nir --verify
  snnconvert export net_snn --to nir --out net.nir --approximate max-pool
  snnconvert export net_snn --to torch --out net.py     and net.safetensors
  snnconvert export net_snn --to onnx --out net.onnx    and net.step.onnx
"""


@click.command("export", epilog=EPILOG)
@click.argument("bundle", type=PLACE)
@click.option("--to", "target", required=True, metavar="FORMAT", help="nir, torch or onnx.")
@click.option("--out", required=True, type=PLACE, metavar="FILE", help="Where to write.")
@click.option(
    "--nir-profile",
    default="portable",
    metavar="portable|native",
    help="What the readers of other simulators take, or all that NIR has. [portable]",
)
@click.option(
    "--approximate",
    multiple=True,
    metavar="WHAT",
    help="Allow a change where the format has no words: max-pool (means instead), step-bias (their mean).",
)
@click.option("--verify", is_flag=True, help="Run the file, here and in every importer installed, and compare spikes.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@common_options
@click.pass_context
def command(
    context: click.Context,
    bundle: str,
    target: str,
    out: str,
    nir_profile: str,
    approximate: tuple[str, ...],
    verify: bool,
    force: bool,
) -> None:
    """Write the network of BUNDLE in another format."""
    from snnconvert.exporting import Wish, export

    common: Common = context.obj
    wish = Wish(target, Path(out), nir_profile, approximate, verify, force)  # type: ignore[arg-type]
    with common.progress() as progress:
        document = export(Path(bundle), wish, progress)
    if common.as_json:
        print_json(document)
        return
    for place in document["files"]:
        print_path(place)
