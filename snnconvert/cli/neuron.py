"""``snnconvert neuron NAME``: one neuron under a constant current."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from snnconvert.cli.messages import print_json
from snnconvert.cli.options import Common, common_options
from snnconvert.errors import UsageError

THRESHOLD = "threshold"  # of models that have none of their own: theirs is 1, and the current is measured in it
EPILOG = """\b
Spikes are told by their step, from 0; 7x3 is a spike of 3 in step 7, 9x-1 takes one back.
Examples:
  snnconvert neuron lif --tau 20 --threshold 10 --current 11 --steps 100
  snnconvert neuron if --current 0.025 --steps 100 --plot if.png
"""


class NeuronGroup(click.Group):
    """The neuron models, read from their registry when one is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from snnconvert.neurons import NEURONS

        return list(NEURONS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from snnconvert.neurons import NEURONS

        return _command(cmd_name, NEURONS[cmd_name])  # its error says what was meant


@click.group("neuron", cls=NeuronGroup, subcommand_metavar="NAME [OPTIONS]", epilog=EPILOG)
def command() -> None:
    """Simulate one neuron under a constant current: its spikes, its rate, a picture."""


def _command(name: str, model: Callable[..., Any]) -> click.Command:
    """Return the command of a neuron model, with an option for each of its parameters."""
    fields = dataclasses.fields(model)  # type: ignore[arg-type]
    own = {each.name for each in fields}

    @common_options
    @click.pass_context
    def run(context: click.Context, /, current: float, steps: int, plot: str | None, **given: Any) -> None:
        from snnconvert.neurons import make_neuron
        from snnconvert.neurons.run import simulate

        common: Common = context.obj
        threshold = 1.0 if THRESHOLD in own else given.pop(THRESHOLD)
        _require_finite(current, threshold)
        neuron = make_neuron(name, {key: value for key, value in given.items() if value is not None})
        found = simulate(neuron, current / threshold, steps)
        if plot is not None:
            from snnconvert.report.neuron_plot import write_plot

            write_plot(found, Path(plot))
        print_json(document(name, found)) if common.as_json else click.echo(page(name, found, own))

    options = [
        click.Option(["--current"], type=float, default=1.0, show_default=True, help="The constant current."),
        click.Option(["--steps"], type=click.IntRange(1, 10**6), default=100, show_default=True, help="Time steps."),
        click.Option(["--plot"], metavar="FILE", help="Draw trace, spikes and transfer curve: .svg, .png or .pdf."),
        *(_option(each) for each in fields),
    ]
    if THRESHOLD not in own:
        options.append(click.Option(["--threshold"], type=float, default=1.0, help="The current is divided by it. [1]"))
    made = click.command(name, epilog=EPILOG)(run)
    made.help = (getattr(model, "__doc__", "") or "").partition("\n")[0]
    made.params = [*options, *made.params]
    return made


def _option(each: "dataclasses.Field[Any]") -> click.Option:
    """Return the option of a parameter; the potential begins at 0 here."""
    limits = each.metadata.get("range")
    default = 0.0 if each.name == "initial_potential" else each.default
    kind: Any = click.Choice(["subtract", "zero"]) if limits is None else type(default)
    told = "What a spike does to the potential." if limits is None else f"{str(limits)[:1].upper()}{str(limits)[1:]}."
    return click.Option([f"--{each.name.replace('_', '-')}"], type=kind, default=default, show_default=True, help=told)


def _require_finite(current: float, threshold: float) -> None:
    if not math.isfinite(current):
        raise UsageError("E003", f"--current: expected a number, got {current}")
    if not (math.isfinite(threshold) and threshold > 0):
        raise UsageError("E003", f"--threshold: expected a number over 0, got {threshold:g}")


def spike_list(spikes: Any) -> str:
    """Return the steps of the spikes, with their size where it is not 1."""
    return ", ".join(str(step) if spike == 1 else f"{step}x{spike:g}" for step, spike in enumerate(spikes) if spike)


def document(name: str, found: Any) -> dict[str, Any]:
    """Return the ``snnconvert/neuron/1`` document; currents and potentials in units of the threshold."""
    return {
        "schema": "snnconvert/neuron/1",
        "neuron": name,
        "parameters": dataclasses.asdict(found.neuron),
        "current": found.current,
        "steps": len(found.spikes),
        "spikes": [{"step": step, "size": spike} for step, spike in enumerate(found.spikes) if spike],
        "rate": found.rate,
        "rate_for_ever": found.limit,
        "potential": found.potentials[-1],
    }


def page(name: str, found: Any, own: Any) -> str:
    """Return the same for people; the last line holds the spikes."""
    parameters: Mapping[str, Any] = dataclasses.asdict(found.neuron)
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in parameters.items())
    unit = "" if THRESHOLD in own else " thresholds"
    return (
        f"{name}: {told}\n"
        f"current {found.current:g}{unit}, {len(found.spikes)} steps: "
        f"rate {found.rate:.6g} spikes a step, {found.limit:.6g} for ever\n"
        f"spikes: {spike_list(found.spikes)}"
    )
