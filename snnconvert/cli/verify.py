"""``snnconvert verify BUNDLE``: the manifest holds."""

from pathlib import Path

import click

from snnconvert.cli.messages import print_json
from snnconvert.cli.options import Common, common_options


@click.command("verify")
@click.argument("bundle")
@common_options
@click.pass_context
def command(context: click.Context, bundle: str) -> None:
    """Compare every file of BUNDLE with the size and digest in its manifest."""
    from snnconvert.report.manifest import read_manifest, verify_bundle

    common: Common = context.obj
    verify_bundle(Path(bundle))
    files = len(read_manifest(Path(bundle)))
    if common.as_json:
        print_json({"schema": "snnconvert/verify/1", "bundle": bundle, "files": files})
    else:
        click.echo(f"{bundle}: whole, {files} files")
