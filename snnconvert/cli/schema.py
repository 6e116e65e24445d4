"""``snnconvert schema NAME``: the JSON Schema of a file that people write, for editors."""

import importlib

import click

from snnconvert.cli.messages import print_json
from snnconvert.cli.options import common_options

SCHEMAS = {  # name: the module and the class of its options
    "baseline": ("snnconvert.gate.schema", "Baseline"),
    "batch": ("snnconvert.batch.schema", "BatchFile"),
}


@click.command("schema", epilog="Example:  snnconvert schema batch > batch.schema.json")
@click.argument("name", type=click.Choice([*SCHEMAS]))
@common_options
def command(name: str) -> None:
    """Print the JSON Schema of a kind of file: an editor then completes and checks it while it is written."""
    module, model = SCHEMAS[name]
    schema = getattr(importlib.import_module(module), model).model_json_schema()
    print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
