"""One plain sentence: what to change, chosen by rule from what was measured.

The first rule that holds speaks:

1.  a layer is zero on every sample, in the ANN too: the calibration data do not fit;
2.  averages in the place of max pools change the ANN's own outputs: other pools;
3.  the evaluation set fares much worse than the calibration set: the calibration data do not fit;
4.  the total is under SMALL: nothing to change;
5.  the neuron's rate is not the rectified current: another neuron;
6.  a layer may not fire at all in T steps: less waiting;
7.  one step of one bit: it cannot carry an activation;
8.  the largest of the three causes: what helps against it, less what is there already.
"""

import math
from collections.abc import Mapping
from typing import Any

from snnconvert.convert.recipe import Recipe
from snnconvert.measure.bound import reaches, rectifies
from snnconvert.network import SpikingNetwork
from snnconvert.neurons import Neuron
from snnconvert.report.quantities import count, number, percent, rows, section
from snnconvert.report.text import printable

SMALL = 0.1  # of the outputs' length, that does hardly ever change an answer
UNLIKE = 2.0  # times the output error of the calibration set, and ADDED to it
ADDED = 0.1
BESIDE = 0.25  # of the whole, that a second cause must have to be told
CAUSES = {
    "clipping": "activations over what the neurons can send (clipping)",
    "quantisation": "rounding to the values that {levels} (quantisation)",
    "unevenness": "spikes sent before all of their input is there (unevenness)",
}


def advice(
    diagnosis: Mapping[str, Any],
    curves: Mapping[str, Any] | None,
    recipe: Recipe,
    network: SpikingNetwork,
    evaluated: float | None,
    averaged: float | None = None,
) -> str:
    """Return the sentence for a ``diagnosis`` of metrics.json; ``evaluated`` is the evaluation set's output error.

    ``averaged`` is that of averages in the place of max pools, in the ANN; None where there are none.
    """
    layers, errors = rows(diagnosis, "layers"), section(diagnosis, "output_error")
    total, t = number(errors.get("total")), network.schedule.steps
    unused = next((row for row in layers if number(row.get("unused")) == 1), None)
    if unused is not None:
        fit = "check that --calib and --preprocess fit the network"
        return f"The {_layer(unused)} is zero on every calibration sample: {fit}."
    if total is None:
        return "Nothing can be said: the outputs of the network are zero, or not finite."
    if averaged is not None and averaged > SMALL:
        return (
            f"Averages in the place of max pools change the outputs by {percent(averaged, 1)} before there is any "
            "spike: take --max-pool exact, or a network that was trained with averages."
        )
    off = f"at T = {count(t)} the outputs are off by {percent(total, 1)}"
    if evaluated is not None and evaluated > max(UNLIKE * total, total + ADDED):
        return (
            f"The outputs are off by {percent(evaluated, 1)} on the evaluation set, and by {percent(total, 1)} on the"
            " calibration set: calibrate with samples that are like those that you evaluate."
        )
    if total < SMALL:
        return f"Nothing to change: {off}."
    off = off[0].upper() + off[1:]
    return f"{off}: {_remedy(layers, errors, curves, recipe, network)}."


def _remedy(
    layers: Any,
    errors: Mapping[str, Any],
    curves: Mapping[str, Any] | None,
    recipe: Recipe,
    network: SpikingNetwork,
) -> str:
    neuron, steps = recipe.neuron, network.schedule.steps
    if not rectifies(neuron):
        return _no_rectifier(neuron)
    limits = reaches(network)
    silent = next((name for name, reach in limits.items() if not reach.firing), None)
    if silent is not None:
        return (
            f"layer '{printable(silent, 60)}' waits for all of the {count(steps)} steps and never fires; "
            "take more --steps or a smaller --warm-up"
        )
    if min(reach.values for reach in limits.values()) == 1:
        return (
            "one step of a spike or none tells one value from zero, which cannot carry an activation; take more"
            " --steps, or --neuron if-multi, which sends several spikes in a step"
        )
    parts = {name: max(number(errors.get(name)) or 0.0, 0.0) for name in CAUSES}
    ordered = sorted(parts, key=lambda name: -parts[name])
    cause, second = ordered[0], ordered[1]
    whole = sum(parts.values())
    levels = "a step can tell" if steps == 1 else f"{count(steps)} steps can tell"
    worst = max(layers, key=lambda row: number(row.get(cause)) or 0.0, default=None)
    where = f", most of all in {_layer(worst)}" if worst is not None and number(worst.get(cause)) else ""
    beside = f", {percent(parts[second] / whole, 0)} from {second}" if parts[second] > BESIDE * whole else ""
    told = f"{percent(parts[cause] / whole, 0)} of that comes from {CAUSES[cause].format(levels=levels)}{where}{beside}"
    return f"{told}; {_against(cause, curves, recipe, network)}"


def _no_rectifier(neuron: Neuron) -> str:
    """Say why a neuron's rate is not the rectified current."""
    helpless = "so that the rate is not the activation, and no number of steps helps"
    if getattr(neuron, "reset", "subtract") == "zero":
        return f"a reset to zero throws away what is over the threshold, {helpless}; take --reset subtract"
    if getattr(neuron, "leak", 0):
        return f"a leak takes a part of every current, {helpless}; take --set neuron.leak=0"
    return f"a neuron '{neuron.name}' is no rectifier, {helpless}; take --neuron if"


def _against(cause: str, curves: Mapping[str, Any] | None, recipe: Recipe, network: SpikingNetwork) -> str:
    """Return what helps, of the options that are not taken already."""
    steps, schedule, found = network.schedule.steps, network.schedule, []
    if cause == "clipping":
        if recipe.method == "percentile" and recipe.percentile < 99.99:
            found.append("a higher --percentile, such as 99.99")
        found.append("--method percentile --percentile 99.99" if recipe.method == "mse" else "--method mse")
        return "try " + " or ".join(found)
    if cause == "quantisation":
        found.append(f"more --steps, such as {2 * steps}")
        if recipe.neuron.levels == 1:
            found.append("--neuron if-multi or --method auto --spikes graded")
        if recipe.method == "percentile":
            found.append("--method mse")
        return "try " + ", or ".join(found)
    wanted = "bias,weights" if recipe.neuron.decodes else "step-bias,weights"
    if not {*wanted.split(",")} <= {*recipe.correct}:
        found.append(f"--correct {wanted}")
    waits = recipe.neuron.keeps_charge and not schedule.onset_delay
    depth = network.depths[network.graph.output]
    if not found and waits and not schedule.warm_up and 0 < math.floor(depth / 2) < steps:
        found.append("--warm-up 0.5")
    if waits and not schedule.warm_up and _delayed_helps(curves):
        found.append(f"--onset-delay 1 ({count(depth)} steps more)")
    if recipe.neuron.spikes == "binary":
        found.append("--neuron if-signed, whose spikes can be taken back")
    return "try " + ", or ".join(found or [f"more --steps, such as {2 * steps}"])


def _delayed_helps(curves: Mapping[str, Any] | None) -> bool:
    """Tell whether the delayed run was measured, and came nearer to the ANN at the last of the steps."""
    if not curves or not curves.get("delayed"):
        return False
    delayed, synchronous = number(curves["delayed"][-1]), number((curves.get("synchronous") or [None])[-1])
    return delayed is not None and synchronous is not None and delayed > synchronous


def _layer(row: Mapping[str, Any]) -> str:
    return f"layer '{printable(str(row.get('name')), 60)}'"
