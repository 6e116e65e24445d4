"""What a page shows of single samples and layers: what changed, neurons over time, rates over activations."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from snnconvert.report.page_table import Table, table, unbroken
from snnconvert.report.quantities import count, percent
from snnconvert.report.text import printable


@dataclass(frozen=True)
class Changed:
    """What changed: in a sentence, as tables, and samples with a picture, or None, and words."""

    sentence: str
    both: Table
    confusion: Table
    shown: Sequence[tuple[str | None, str]]


def changed_of(changes: Mapping[str, Any] | None) -> Changed | None:
    """Return what report/changes.py found, as the page shows it; None where there is nothing to compare."""
    if changes is None:
        return None
    share = percent(changes["changed"] / changes["samples"])
    sentence = (
        f"At T = {count(changes['t'])} the spiking network answers otherwise than the ANN on "
        f"{count(changes['changed'])} of {count(changes['samples'])} samples ({share})."
    )
    both = [(name, count(each)) for name, each in changes.get("both", {}).items()]
    if "matrix" in changes:
        names = [printable(name, 40) for name in changes["classes"]]
        cells = [(name, *map(count, row)) for name, row in zip(names, changes["matrix"], strict=True)]
        confusion = table("The ANN's class by row, the spiking network's by column", ("ANN", *names), cells)
    else:
        cells = [(printable(p["ann"], 40), printable(p["snn"], 40), count(p["count"])) for p in changes["pairs"]]
        header = ("ANN", "spiking network", "samples")
        confusion = table("The most frequent changes", header, cells, {"ANN", "spiking network"})
    shown = []
    for each in changes["shown"]:
        label = "" if each["label"] is None else f", label {printable(each['label'], 40)}"
        told = f"ANN {printable(each['ann'], 40)}, spiking {printable(each['snn'], 40)}{label} (sample {each['place']})"
        shown.append((_picture(each["picture"]), told))
    caption = "Who is right, in samples"
    return Changed(unbroken(sentence), table(caption, ("answers", "samples"), both, {"answers"}), confusion, shown)


@dataclass(frozen=True)
class Traces:
    """Neurons over time: a sentence on the sample, its picture, and figures with what is told of each."""

    sentence: str
    picture: str | None
    figures: Sequence[tuple[Markup | None, str]]


def traces_of(found: Mapping[str, Any] | None) -> Traces | None:
    """Return what report/traces.py drew, as the page shows it; None where nothing was traced."""
    if found is None:
        return None
    figures = [(markup(figure), printable(told, 400)) for figure, told in found["figures"]]
    return Traces(printable(found["sentence"], 600), _picture(found["picture"]), figures)


def densities_of(found: Iterable[Mapping[str, Any]]) -> list[tuple[str | None, str]]:
    """Return a picture of each layer, and words."""
    shown = []
    for each in found:
        told = "no correlation" if each["correlation"] is None else f"r = {each['correlation']:.3f}"
        shown.append((_picture(each["picture"]), f"{printable(each['name'])}: {told}"))
    return shown


def _picture(source: str | None) -> str | None:
    """Return a picture that is in the page itself; None for anything else."""
    inside = source is not None and re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/]+=*", source)
    return source if inside else None


def markup(drawn: object) -> Markup | None:
    """Return a picture of our own making, in which every text from outside is escaped; None for anything else."""
    return drawn if isinstance(drawn, Markup) else None
