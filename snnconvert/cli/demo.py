"""``snnconvert demo``: the main job on the networks that come with the package."""

from importlib import resources
from pathlib import Path
from typing import Any

import click

from snnconvert.cli.messages import print_json
from snnconvert.cli.options import PLACE, Common, common_options
from snnconvert.errors import OutputError

NETWORKS = ("digits_mlp", "digits_cnn", "digits_resnet")


def models_folder() -> Path:
    """Return where the embedded networks are: inside the installed package, or beside it in a checkout."""
    package = Path(str(resources.files("snnconvert")))
    for folder in (package / "models", package.parent / "models"):
        if (folder / "digits_mlp.onnx").is_file():
            return folder
    raise OutputError("E405", "the embedded networks are missing", "install snnconvert again")


@click.command("demo")
@click.option(
    "--out", type=PLACE, metavar="DIR", default="snnconvert-demo", help="Where the bundles go. [./snnconvert-demo]"
)
@common_options
@click.pass_context
def command(context: click.Context, out: str) -> None:
    """Convert an MLP, a CNN and a residual CNN trained on 8x8 digits; takes a minute or two."""
    common: Common = context.obj
    results = {name: _convert(name, Path(out), common) for name in NETWORKS}
    if common.as_json:
        print_json({"schema": "snnconvert/demo/1", "bundles": results})
    else:
        click.echo(f"open {Path(out, f'{NETWORKS[-1]}_snn', 'report.html')}")


def _convert(name: str, out: Path, common: Common) -> dict[str, Any]:
    from snnconvert import pipeline
    from snnconvert.config import build_job
    from snnconvert.report.tables import steps_table

    models, destination = models_folder(), out / f"{name}_snn"
    document = {
        "model": str(models / f"{name}.onnx"),
        "calib": {"path": str(models / "digits_calib.npz")},
        "eval": {"path": str(models / "digits_test.npz")},
        "preprocess": "scale=1/16",
    }
    with common.progress() as progress:
        conversion = pipeline.run(build_job(document, "demo"), destination, True, "snnconvert demo", progress)
    if not common.as_json:
        click.echo(f"{name}\n{steps_table(conversion.metrics)}")
        common.progress().note(conversion.metrics["diagnosis"]["sentence"])
    return {**conversion.metrics, "bundle": str(destination)}
