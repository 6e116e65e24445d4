"""``snnconvert verify BUNDLE``: the manifest holds."""

from pathlib import Path

import click

from snnconvert.cli.messages import print_json, print_path
from snnconvert.cli.options import PLACE, Common, common_options


@click.command("verify")
@click.argument("bundle", type=PLACE)
@common_options
@click.pass_context
def command(context: click.Context, bundle: str) -> None:
    """Compare every file of BUNDLE with the size and digest in its manifest, and with its provenance."""
    from snnconvert.report.manifest import read_manifest, verify_bundle
    from snnconvert.report.provenance import verify_provenance

    common: Common = context.obj
    verify_bundle(Path(bundle))
    verify_provenance(Path(bundle))
    files = read_manifest(Path(bundle))
    with common.progress() as progress:
        for name, entry in files.items():
            progress.detail(f"{name}: {entry.size} bytes, sha256 {entry.sha256}")
    if common.as_json:
        print_json({"schema": "snnconvert/verify/1", "bundle": bundle, "files": len(files)})
    else:
        print_path(f"{bundle}: whole, {len(files)} files")
