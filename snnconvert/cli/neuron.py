"""``snnconvert neuron NAME``: one neuron under a constant current."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snnconvert.cli import leading_switches
from snnconvert.cli.messages import QUIET, print_json
from snnconvert.cli.options import PLACE, Common, common_options
from snnconvert.errors import UsageError

if TYPE_CHECKING:
    from snnconvert.neurons.run import NeuronRun

MODELS = {  # here, and not from the registry, so that help needs no torch
    "differential": "Thresholds 1, 1/2 ...; spikes correct a rate, silence keeps it.",
    "if": "Integrate and fire; a constant leak, a refractory period.",
    "if-multi": "Integrate and fire, up to k spikes a step.",
    "if-signed": "Integrate and fire; a spike of -1 takes one back.",
    "if-signed-multi": "Up to k spikes a step, sent or taken back.",
    "lif": "Leaky integrate and fire.",
    "multi-threshold": "Thresholds 1, 1/2 ... 2^-(n-1); spikes can be taken back.",
}
THRESHOLD = "threshold"
MAX_STEPS = 1_000_000
RESETS = {"subtract": "the threshold is taken away", "zero": "the potential becomes 0"}
EPILOG = """\b
The last line names the steps with a spike, from 0:
  47, 94     a spike in step 47 and in step 94
  3x2        2 spikes in step 3
  5x-1       in step 5 a spike is taken back
  0x0.125    in step 0 a spike of 1/8
Examples:
  snnconvert neuron lif --tau 20 --threshold 10 --current 11
  snnconvert neuron if --current 0.025 --plot if.svg
"""


class NeuronGroup(click.Group):
    """Makes the command of a neuron model, with an option for each of its parameters, when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODELS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return model_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Neurons"):
            formatter.write_dl(list(MODELS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        position = leading_switches(args)
        if position == len(args):
            raise UsageError("E002", "no neuron given", f"snnconvert neuron NAME; known: {', '.join(MODELS)}")
        return super().parse_args(ctx, [args[position], *args[:position], *args[position + 1 :]])


@click.group("neuron", cls=NeuronGroup, options_metavar="", subcommand_metavar="NAME [OPTIONS]", epilog=EPILOG)
def command() -> None:
    """Simulate one neuron under a constant current: its spikes, its rate, a picture.

    `snnconvert neuron NAME -h` lists the parameters of a model.
    """


class CountOrNone(click.types.IntParamType):
    """A whole number, or none: no limit."""

    name = "integer|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return "none" if value == "none" else super().convert(value, param, ctx)


def model_command(name: str) -> click.Command:
    """Return the command of a neuron model.

    Raises:
        UsageError: there is no such model (E002).
    """
    from snnconvert.neurons import NEURONS

    fields = dataclasses.fields(NEURONS[name])  # type: ignore[arg-type]
    options = [_option(each) for each in fields]
    if all(each.name != THRESHOLD for each in fields):
        told = "Over 0 (units of current): potentials are in thresholds, so the current is divided by it."
        options.insert(0, click.Option(["--threshold"], type=float, default=1, show_default=True, help=told))
    made: click.Command = click.command(name, epilog=EPILOG)(_run)
    made.help = MODELS.get(name)
    made.params = [*_conditions(), *options, *reversed(common_options(made).params)]  # a command takes the last first
    return made


@click.pass_context
def _run(context: click.Context, /, current: float, steps: int, plot: str | None, **given: Any) -> None:
    from snnconvert.neurons.run import simulate
    from snnconvert.report.neuron_plot import check_plot, write_plot

    common: Common = context.obj
    if plot is not None:
        check_plot(Path(plot))
    name = context.command.name or ""
    neuron, scale = build(name, given)
    found = simulate(neuron, in_units(current, scale), steps)
    if plot is not None:
        write_plot(found, Path(plot))
    if common.as_json:
        print_json(document(name, found, current, scale))
    else:
        click.echo(spike_line(found) if common.verbosity == QUIET else page(name, found, current, scale))


def _conditions() -> list[click.Parameter]:
    return [
        click.Option(["--current"], type=float, default=1.0, show_default=True, help="The constant current."),
        click.Option(
            ["--steps"], type=click.IntRange(1, MAX_STEPS), default=100, show_default=True, help="Time steps."
        ),
        click.Option(
            ["--plot"], type=PLACE, metavar="FILE", help="Draw trace, spikes and transfer curve: .svg, .png or .pdf."
        ),
    ]


def _option(each: "dataclasses.Field[Any]") -> click.Option:
    """Return the option of a parameter: its type by its default, its help by its range."""
    limits = each.metadata.get("range")
    kind: Any = click.Choice(list(RESETS)) if limits is None else type(each.default)
    told = "; ".join(f"{key}: {what}" for key, what in RESETS.items()) if limits is None else str(limits)
    if "None" in str(each.type):
        kind, told = CountOrNone(), f"{told}, or none: no limit"
    default = 0.0 if each.name == "initial_potential" else each.default  # so that spike times are those of textbooks
    name = f"--{each.name.replace('_', '-')}"
    return click.Option([name], type=kind, default=default, show_default=True, help=f"{told[:1].upper()}{told[1:]}.")


def build(name: str, given: dict[str, Any]) -> tuple[Any, float | None]:
    """Return the neuron, and the threshold that its current is divided by; None where it has one of its own."""
    from snnconvert.neurons import NEURONS, make_neuron

    parameters = {key: None if value == "none" else value for key, value in given.items()}
    has_own = any(each.name == THRESHOLD for each in dataclasses.fields(NEURONS[name]))  # type: ignore[arg-type]
    scale = None if has_own else parameters.pop(THRESHOLD)
    with _named_as_options():
        return make_neuron(name, parameters), scale


@contextmanager
def _named_as_options() -> Iterator[None]:
    """Let a parameter be called ``--reset-potential`` here, where a job calls it ``neuron.reset_potential``."""
    try:
        yield
    except UsageError as error:
        message = re.sub(r"^neuron\.(\w+):", lambda found: f"--{found[1].replace('_', '-')}:", error.message)
        raise UsageError(error.code, message, error.hint) from None


def in_units(current: float, scale: float | None) -> float:
    """Return the current as the neuron takes it.

    Raises:
        UsageError: it is no finite number, or the threshold is not over 0 (E003).
    """
    if scale is not None and not 0 < scale < math.inf:
        raise UsageError("E003", f"--threshold: expected over 0 (units of current), got {scale:g}")
    units = current / (scale or 1)
    if not math.isfinite(units):
        raise UsageError("E003", f"--current: expected a finite number, got {current / (scale or 1):g}")
    return units


def spike_line(found: "NeuronRun") -> str:
    """Return the steps of the spikes, with their size where it is not 1."""
    told = [str(step) if spike == 1 else f"{step}x{spike:.17g}" for step, spike in enumerate(found.spikes) if spike]
    return f"spikes: {', '.join(told) or 'none'}"


def page(name: str, found: "NeuronRun", current: float, scale: float | None) -> str:
    """Return what a neuron did: parameters with their units, conditions, rates, and in the last line the spikes."""
    rows = [(THRESHOLD, scale, "units of current")] if scale is not None else []
    for each in dataclasses.fields(found.neuron):
        limits = each.metadata.get("range")
        rows.append((each.name, getattr(found.neuron, each.name), "" if limits is None else limits.unit))
    shown = [
        (key.replace("_", " "), f"{value:g}" if isinstance(value, float) else str(value).lower(), unit)
        for key, value, unit in rows
    ]
    wide, long = max(len(key) for key, _, _ in shown), max(len(value) for _, value, _ in shown)
    lines = [f"  {key:<{wide}}  {value:>{long}}  {unit}".rstrip() for key, value, unit in shown]
    fired = sum(spike != 0 for spike in found.spikes)
    read = "decoded rate" if found.neuron.decodes else "rate"
    return "\n".join(
        [
            f"{name}: {MODELS[name]}" if name in MODELS else name,
            *lines,
            f"current {current:g}, {len(found.spikes):,} steps",
            f"{sum(found.spikes):.12g} spikes in all, in {fired:,} steps",
            f"{read} {found.rate:.6g} spikes a step; analytic {found.analytic_rate:.6g}",
            spike_line(found),
        ]
    )


def document(name: str, found: "NeuronRun", current: float, scale: float | None) -> Mapping[str, Any]:
    """Return the ``snnconvert/neuron/1`` document; ``threshold`` is null where it is one of the parameters."""
    return {
        "schema": "snnconvert/neuron/1",
        "neuron": name,
        "parameters": dataclasses.asdict(found.neuron),
        "threshold": scale,
        "current": current,
        "steps": len(found.spikes),
        "spikes": [{"step": step, "size": spike} for step, spike in enumerate(found.spikes) if spike],
        "total": sum(found.spikes),
        "rate": found.rate,
        "analytic_rate": found.analytic_rate,
        "potential": found.potentials[-1],
    }
