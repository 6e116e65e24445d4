"""``snnconvert cost BUNDLE``: operations a sample, and what they would cost under stated energy models."""

from pathlib import Path
from typing import Any

import click

from snnconvert.cli.messages import print_json
from snnconvert.cli.options import Common, common_options

EXAMPLE = "Example:  snnconvert cost net_snn --samples 100 --energy-model mychip.yaml"


@click.command("cost", epilog=EXAMPLE)
@click.argument("bundle")
@click.option("--data", metavar="PATH", help="Samples. [those that the conversion was evaluated on]")
@click.option("--samples", type=click.IntRange(1), default=64, metavar="N", help="How many of them. [64]")
@click.option("--energy-model", metavar="FILE", help="Prices of your own (YAML: name, source, ac_pj, mac_pj).")
@common_options
@click.pass_context
def command(context: click.Context, bundle: str, data: str | None, samples: int, energy_model: str | None) -> None:
    """Count what a sample costs in BUNDLE's network: operations, membrane updates, sparsity, and energy by models."""
    from snnconvert.costing import cost_of, cost_table, read_energy_model
    from snnconvert.measure.energy import MODELS

    common: Common = context.obj
    models = MODELS if energy_model is None else (*MODELS, read_energy_model(Path(energy_model)))
    with common.progress() as progress:
        document: dict[str, Any] = cost_of(Path(bundle), data, samples, models, progress)
    if common.as_json:
        print_json(document)
    else:
        click.echo(cost_table(document), nl=False)
