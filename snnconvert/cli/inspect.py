"""``snnconvert inspect MODEL``: what becomes of every node."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import click

from snnconvert.cli.messages import print_json
from snnconvert.cli.options import PLACE, Common, common_options, model_options, parse_shape

BLOCKED = 1  # exit status of --strict where a node is refused


@click.command("inspect", epilog="Example:  snnconvert inspect model.onnx")
@click.argument("model", type=PLACE)
@click.option("--strict", is_flag=True, help="Exit with 1 where a node is refused.")
@click.option(
    "--emit-config", type=PLACE, metavar="FILE", help="Write a YAML job for this model, with every option and its use."
)
@model_options
@common_options
@click.pass_context
def command(
    context: click.Context,
    /,
    model: str,
    strict: bool,
    emit_config: str | None,
    input_shape: str | None,
    output_name: str | None,
    trust_model: bool | None,
) -> int:
    """Tell what becomes of every node of MODEL, and why a node is refused, without any samples."""
    from snnconvert.cli.starter import write_starter
    from snnconvert.inspection import inspect
    from snnconvert.load import Asked

    common: Common = context.obj
    shape = None if input_shape is None else tuple(parse_shape(input_shape))
    found = inspect(Path(model), Asked(shape, output=output_name, trust=bool(trust_model)))
    if emit_config is not None:
        write_starter(Path(model), Path(emit_config))
    if common.as_json:
        print_json(document(found))
    else:
        click.echo(page(found))
    return BLOCKED if strict and found.refused else 0


def document(found: Any) -> dict[str, Any]:
    """Return the ``snnconvert/inspect/1`` document."""
    return {
        "schema": "snnconvert/inspect/1",
        "model": found.name,
        "input": found.input_shape,
        "output": found.output_shape,
        "counts": dict(Counter(row["fate"] for row in found.nodes)),
        "blockers": [
            {"node": name, "code": refusal.code, "message": refusal.message, "hint": refusal.hint}
            for name, refusal in found.refused.items()
        ],
        "nodes": [{**row, "scale": None} for row in found.nodes],
        "equivalence": [dataclasses.asdict(each) for each in found.equivalence],
        "notes": found.notes,
    }


def page(found: Any) -> str:
    """Return the same for people: one line a node, then the refusals with their hints, then the counts."""
    from snnconvert.report.text import printable

    shown = [row for row in found.nodes if row["fate"] != "constant"]
    name, operator = (max([len(printable(row[key], 34)) for row in shown], default=0) for key in ("name", "operator"))
    lines = [
        f"{printable(row['name'], 34):<{name}}  {printable(row['operator'], 20):<{min(operator, 20)}}  "
        f"{row['fate']}{': ' if row['detail'] and row['fate'] != 'refused' else ''}"
        f"{printable(row['detail'], 60) if row['fate'] != 'refused' else ''}".rstrip()
        for row in shown
    ]
    for refusal in found.refused.values():
        lines.append(f"\n{printable(str(refusal), 400)}")
        if refusal.hint:
            lines.append(f"hint: {printable(refusal.hint, 400)}")
    counts = Counter(row["fate"] for row in found.nodes)
    lines.append("")
    lines += [f"{one.stage}: differs from {one.compared} by at most {one.max_error:.0e}" for one in found.equivalence]
    lines += [printable(note, 400) for note in found.notes]
    lines.append(f"{found.name}: " + ", ".join(f"{count} {fate}" for fate, count in counts.most_common()))
    return "\n".join(lines)
