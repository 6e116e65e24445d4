"""``snnconvert evaluate BUNDLE``: run the exported network on samples."""

from pathlib import Path

import click

from snnconvert.cli.convert import report
from snnconvert.cli.options import PLACE, Common, common_options
from snnconvert.progress import counted


@click.command("evaluate", epilog="Example:  snnconvert evaluate net_snn --data test.npz --steps 8,16,32,64")
@click.argument("bundle", type=PLACE)
@click.option("--data", type=PLACE, metavar="PATH", help="Samples. [those that the conversion was evaluated on]")
@click.option("--steps", metavar="LIST", help="Time steps to report. [those of the conversion]")
@common_options
@click.pass_context
def command(context: click.Context, bundle: str, data: str | None, steps: str | None) -> None:
    """Run the network of BUNDLE over time, as its own evaluate.py does, and print the table."""
    from snnconvert.report.evaluator import Evaluator, parse_steps
    from snnconvert.report.manifest import verify_bundle

    common: Common = context.obj
    chosen = None if steps is None else parse_steps(steps)
    verify_bundle(Path(bundle))
    evaluator = Evaluator(Path(bundle))
    with common.progress() as progress:
        layers = len(evaluator.about["emitters"])
        progress.detail(
            f"snn.onnx: {layers} layers with a state, inputs of {evaluator.shape} in batches of "
            f"{evaluator.about['batch_size']}; preprocessing: {evaluator.preprocessing.describe()}"
        )
        if chosen is not None and chosen[-1] > evaluator.about["schedule"]["T"]:
            progress.warn(f"calibrated for T = {evaluator.about['schedule']['T']}; {chosen[-1]} is beyond")
        document, _ = evaluator.evaluate(data, chosen, counted(progress, "evaluate"))
    report(document, Path(bundle), common)
