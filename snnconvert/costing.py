"""What a bundle's network costs to run: operations counted on some samples, and energy models applied to them."""

import dataclasses
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from snnconvert.config import refusal
from snnconvert.conversion import Conversion, operations
from snnconvert.data import batches
from snnconvert.exporting import open_bundle
from snnconvert.hardware import TARGETS, Subject
from snnconvert.measure import step_work
from snnconvert.measure.cost import LARGEST, measure_cost
from snnconvert.measure.energy import EnergyModel, priced
from snnconvert.progress import Progress
from snnconvert.report.evaluator import Evaluator
from snnconvert.report.quantities import number, rows, section
from snnconvert.report.text import printable
from snnconvert.yaml_document import read_document

SCHEMA = "snnconvert/cost/1"
COUNTED = 16  # samples, at most, that a conversion watches
WORK = 3e10  # and work on them, counted so that equal jobs give equal bytes: some seconds of one core
Price = Field(ge=0, le=1e9, allow_inf_nan=False)


class EnergyFile(BaseModel):
    """An energy model of the user's own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=40)
    source: str = Field(min_length=1, max_length=400)
    ac_pj: float = Price
    mac_pj: float = Price


def read_energy_model(path: Path) -> EnergyModel:
    """Read prices from a YAML file.

    Raises:
        UsageError: no such file (E001), or not the four keys that there are (E301).
    """
    document, places = read_document(path)
    try:
        return EnergyModel(**EnergyFile.model_validate(document).model_dump())
    except ValidationError as problem:
        raise refusal(problem, EnergyFile, str(path), places) from None


def cost_of(
    bundle: Path, data: str | None, samples: int, models: tuple[EnergyModel, ...], progress: Progress
) -> dict[str, Any]:
    """Return the ``snnconvert/cost/1`` document of a bundle at the largest of its steps, over its first samples.

    Raises:
        SnnError: the bundle or the samples cannot be read, or do not fit.
    """
    deployed = open_bundle(bundle).deployed
    evaluator = Evaluator(bundle)
    dataset, chosen, _ = evaluator.samples(data, samples)

    def inputs() -> Iterator[torch.Tensor]:
        arguments = (dataset, chosen, evaluator.preprocessing, evaluator.shape, 16)
        for _, x in batches(*arguments, steps=evaluator.bins):
            yield torch.from_numpy(x)
            progress.advance(len(x))

    progress.stage("measure", len(chosen))
    cost = measure_cost(deployed.network, inputs())
    return {"schema": SCHEMA, "bundle": str(bundle), **priced(cost, evaluator.about["macs"]["ann"], models)}


def cost_of_conversion(conversion: Conversion, progress: Progress) -> dict[str, Any]:
    """Return the ``cost`` of metrics.json: that of the first evaluation samples, as many as WORK pays for."""
    work = step_work(conversion.network) * (conversion.network.schedule.steps + conversion.network.latency)
    count = min(COUNTED, max(1, int(WORK / work)), len(conversion.evaluation))
    progress.stage("measure", count)
    chosen = conversion.evaluation.in_time(conversion.network.bins).between(0, count).batches(count, progress.advance)
    return priced(measure_cost(conversion.network, map(torch.from_numpy, chosen)), operations(conversion)["ann"])


def fit_of(bundle: Path, target: str) -> dict[str, Any]:
    """Return the ``snnconvert/target/1`` document: what a chip's documents allow, beside the network of a bundle.

    Raises:
        SnnError: the bundle cannot be read; an unknown target (E002).
    """
    chip, opened = TARGETS[target], open_bundle(bundle)
    layers = rows(section(opened.metrics, "cost"), "layers")
    reached = [(str(each.get("name")), number(each.get(LARGEST))) for each in layers]
    potentials = {name: largest for name, largest in reached if largest is not None}
    found = chip.rows(Subject(opened.deployed.network, potentials))
    return {
        "schema": "snnconvert/target/1",
        "bundle": str(bundle),
        "target": target,
        "ran_on_chip": False,
        "fits": all(row.fits for row in found),
        "rows": [dataclasses.asdict(row) for row in found],
    }


def fit_table(document: dict[str, Any]) -> str:
    """Return the document as text, at most 80 columns wide, sources under the table."""
    found = document["rows"]
    sources = list(dict.fromkeys(row["source"] for row in found))
    lines = [f"{TARGETS[document['target']].title}: {sum(row['fits'] for row in found)} of {len(found)} fit"]
    for row in found:
        told = f"{row['what']:<24} {row['limit']:<24} {printable(row['found'], 20):<20}"
        lines.append(f"  {'ok  ' if row['fits'] else 'FAIL'} {told}[{sources.index(row['source']) + 1}]")
    for place, source in enumerate(sources, 1):
        lines += textwrap.wrap(f"[{place}] {source}", 80, subsequent_indent="    ", break_on_hyphens=False)
    if any("weight" in row["what"] and not row["fits"] for row in found):
        lines.append("hint: --weights int8 converts to the network that such a chip holds")
    lines.append("Limits of public documents, compared; nobody ran it on the chip.")
    return "\n".join(lines) + "\n"
