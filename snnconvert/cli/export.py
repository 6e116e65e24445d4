"""``snnconvert export BUNDLE --to nir|torch|onnx``: the network of a bundle in the forms that other tools run."""

from pathlib import Path

import click

from snnconvert.cli.cost import SAMPLES, tell
from snnconvert.cli.messages import print_json, print_path
from snnconvert.cli.options import PLACE, Common, common_options
from snnconvert.errors import UsageError

EPILOG = """\b
Examples:
  snnconvert export net_snn --to nir --out net.nir --verify
  snnconvert export net_snn --to nir --out net.nir --approximate max-pool
  snnconvert export net_snn --to torch --out net.py     and net.safetensors
  snnconvert export net_snn --to onnx --out net.onnx    and net.step.onnx
  snnconvert export net_snn --target speck              as snnconvert cost
"""


@click.command("export", epilog=EPILOG)
@click.argument("bundle", type=PLACE)
@click.option("--to", metavar="FORMAT", help="nir, torch or onnx.")
@click.option("--out", type=PLACE, metavar="FILE", help="Where to write.")
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
@click.option("--target", metavar="CHIP", help="Write nothing: compare with a chip, as cost does.")
@click.option("--energy-model", type=PLACE, metavar="FILE", help="Write nothing: price operations, as cost does.")
@click.option("--verify", is_flag=True, help="Run the file, here and in every importer installed, and compare spikes.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@common_options
@click.pass_context
def command(
    context: click.Context,
    bundle: str,
    to: str | None,
    out: str | None,
    nir_profile: str,
    approximate: tuple[str, ...],
    target: str | None,
    energy_model: str | None,
    verify: bool,
    force: bool,
) -> None:
    """Write the network of BUNDLE in another format."""
    from snnconvert.exporting import Wish, export

    common: Common = context.obj
    if target is not None or energy_model is not None:
        if to is not None:
            raise UsageError("E003", "export: --to writes a file, --target and --energy-model do not", "one of them")
        context.exit(tell(common, bundle, None, SAMPLES, energy_model, target))
    if to is None or out is None:
        missing = "--to" if to is None else "--out"
        raise UsageError("E002", f"Missing option '{missing}'", "see 'snnconvert export --help'")
    wish = Wish(to, Path(out), nir_profile, approximate, verify, force)  # type: ignore[arg-type]
    with common.progress() as progress:
        document = export(Path(bundle), wish, progress)
    if common.as_json:
        print_json(document)
        return
    for place in document["files"]:
        print_path(place)
