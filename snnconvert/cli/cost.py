"""``snnconvert cost BUNDLE``: operations a sample, and what they would cost under stated energy models."""

from pathlib import Path
from typing import Any

import click

from snnconvert.cli.messages import print_json
from snnconvert.cli.options import PLACE, Common, common_options

EXAMPLE = """\b
Examples:
  snnconvert cost net_snn --samples 100 --energy-model mychip.yaml
  snnconvert cost net_snn --target speck     exit status 1 if it does not fit
"""

SAMPLES = 64  # that are run, where nobody says how many


@click.command("cost", epilog=EXAMPLE)
@click.argument("bundle", type=PLACE)
@click.option("--data", type=PLACE, metavar="PATH", help="Samples. [those that the conversion was evaluated on]")
@click.option("--samples", type=click.IntRange(1), default=SAMPLES, metavar="N", help="How many of them. [64]")
@click.option(
    "--energy-model", type=PLACE, metavar="FILE", help="Prices of your own (YAML: name, source, ac_pj, mac_pj)."
)
@click.option("--target", metavar="NAME", help="Compare with a chip instead, as speck; a wrong name lists all.")
@common_options
@click.pass_context
def command(
    context: click.Context, bundle: str, data: str | None, samples: int, energy_model: str | None, target: str | None
) -> None:
    """Count what a sample costs in BUNDLE's network: operations, membrane updates, sparsity, and energy by models."""
    context.exit(tell(context.obj, bundle, data, samples, energy_model, target))


def tell(
    common: Common, bundle: str, data: str | None, samples: int, energy_model: str | None, target: str | None
) -> int:
    """Print the costs of a bundle, or how it compares with a chip; return the exit status."""
    from snnconvert.costing import cost_of, fit_of, fit_table, read_energy_model
    from snnconvert.measure.energy import MODELS
    from snnconvert.report.costs import cost_table

    if target is not None:
        fit = fit_of(Path(bundle), target)
        print_json(fit) if common.as_json else click.echo(fit_table(fit), nl=False)
        return 0 if fit["fits"] else 1
    models = MODELS if energy_model is None else (*MODELS, read_energy_model(Path(energy_model)))
    with common.progress() as progress:
        document: dict[str, Any] = cost_of(Path(bundle), data, samples, models, progress)
    if common.as_json:
        print_json(document)
    else:
        click.echo(cost_table(document), nl=False)
    return 0
