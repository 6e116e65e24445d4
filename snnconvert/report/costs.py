"""What a sample costs to run: the measures and the energy models, as rows of texts, for terminal and page alike."""

from collections.abc import Mapping
from typing import Any

from snnconvert.report.quantities import NOTHING, joules, number, percent, plain, rows, section
from snnconvert.report.text import printable


def measure_rows(cost: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, value and a word on each measure of a cost document, with NeuroBench's names."""
    done = section(cost, "synaptic_operations")
    return [
        ("Effective_ACs", _whole(done.get("Effective_ACs")), "additions that spikes cause"),
        ("Effective_MACs", _whole(done.get("Effective_MACs")), "what input and graded spikes cause"),
        ("Dense", _whole(done.get("Dense")), "if everything fired at every step"),
        ("membrane_updates", _whole(cost.get("membrane_updates")), "potentials that change"),
        ("activation_sparsity", percent(number(cost.get("activation_sparsity"))), "neurons and steps without spike"),
        ("connection_sparsity", percent(number(cost.get("connection_sparsity"))), "weights that are zero"),
        ("footprint", _whole(cost.get("footprint")), "bytes of parameters in float32"),
    ]


def energy_rows(cost: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Return name, energy of a sample, ratios to the ANN in float32 and in int8, and source of each model."""
    return [
        (
            printable(str(each.get("model", NOTHING)), 24),
            joules(number(each.get("joules"))),
            _ratio(each.get("vs_float32_ann")),
            _ratio(each.get("vs_int8_ann")),
            printable(str(each.get("source", NOTHING)), 400),
        )
        for each in rows(cost, "energy")
    ]


def cost_table(cost: Mapping[str, Any]) -> str:
    """Return a cost document as text, at most 80 columns wide."""
    lines = [f"a sample, T = {cost['steps']}, mean of {cost['samples']}"]
    lines += [f"  {name:<21} {value:>16}   {told}" for name, value, told in measure_rows(cost)]
    lines += [
        "",
        f"{'energy model':<24} | {'a sample':>10} | {'/ ANN fp32':>12} | {'/ ANN int8':>12}",
        f"{'-' * 24}-+-{'-' * 10}-+-{'-' * 12}-+-{'-' * 12}",
    ]
    for name, energy, float32, int8, _ in energy_rows(cost):
        lines.append(f"{name:<24} | {energy:>10} | {float32:>12} | {int8:>12}")
    lines.append("x: times the energy of the ANN; under 1 the spiking network takes less.")
    lines.append("These are models, not measurements: docs/measures.md has their sources.")
    return "\n".join(lines) + "\n"


def _whole(value: object) -> str:
    found = number(value)
    return NOTHING if found is None else f"{found:,.0f}"


def _ratio(value: object) -> str:
    found = number(value)
    return NOTHING if found is None else f"x {plain(found, 3)}"
