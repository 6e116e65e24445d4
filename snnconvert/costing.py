"""What a bundle's network costs to run: operations counted on some samples, and energy models applied to them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from snnconvert.config import refusal
from snnconvert.conversion import Progress
from snnconvert.data import batches
from snnconvert.exporting import open_bundle
from snnconvert.hardware import TARGETS
from snnconvert.measure.cost import measure_cost
from snnconvert.measure.energy import FLOAT_ANN, INT8_ANN, EnergyModel
from snnconvert.report.evaluator import Evaluator
from snnconvert.report.text import printable
from snnconvert.yaml_document import read_document

SCHEMA = "snnconvert/cost/1"
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
    dataset, indices, _ = evaluator.samples(data)
    chosen = indices[:samples]

    def inputs() -> Iterator[torch.Tensor]:
        for _, x in batches(dataset, np.asarray(chosen), evaluator.preprocessing, evaluator.shape, 16):
            yield torch.from_numpy(x)
            progress.advance(len(x))

    progress.stage("measure", len(chosen))
    cost = measure_cost(deployed.network, inputs())
    macs = evaluator.about["macs"]["ann"]
    done = cost["synaptic_operations"]
    ann = {each.name: each.joules(0, macs) for each in (FLOAT_ANN, INT8_ANN)}
    energy = [
        {
            "model": each.name,
            "source": each.source,
            "ac_pj": each.ac_pj,
            "mac_pj": each.mac_pj,
            "joules": (joules := each.joules(done["Effective_ACs"], done["Effective_MACs"])),
            "vs_float32_ann": joules / ann[FLOAT_ANN.name] if macs else None,
            "vs_int8_ann": joules / ann[INT8_ANN.name] if macs else None,
        }
        for each in models
    ]
    return {"schema": SCHEMA, "bundle": str(bundle), **cost, "ann": {"macs": macs, "joules": ann}, "energy": energy}


def cost_table(document: dict[str, Any]) -> str:
    """Return the document as text, at most 80 columns wide."""
    done = document["synaptic_operations"]
    lines = [
        f"a sample, T = {document['steps']}, mean of {document['samples']}",
        f"  Effective_ACs         {done['Effective_ACs']:>16,.0f}   additions that spikes cause",
        f"  Effective_MACs        {done['Effective_MACs']:>16,.0f}   the input once, and graded spikes",
        f"  Dense                 {done['Dense']:>16,.0f}   if everything fired at every step",
        f"  membrane_updates      {document['membrane_updates']:>16,.0f}",
        f"  activation_sparsity   {100 * document['activation_sparsity']:>14.2f} %",
        f"  connection_sparsity   {100 * document['connection_sparsity']:>14.2f} %",
        f"  footprint             {document['footprint']:>16,d}   bytes of parameters in float32",
        "",
        f"{'energy model':<24} | {'a sample':>10} | {'ANN, float32':>12} | {'ANN, int8':>12}",
        f"{'-' * 24}-+-{'-' * 10}-+-{'-' * 12}-+-{'-' * 12}",
    ]
    for each in document["energy"]:
        ratios = (each["vs_float32_ann"], each["vs_int8_ann"])
        told = " | ".join(f"{'-' if ratio is None else f'x {ratio:.3g}':>12}" for ratio in ratios)
        lines.append(f"{printable(each['model'], 24):<24} | {_joules(each['joules']):>10} | {told}")
    lines.append("These are models, not measurements: docs/measures.md has their sources.")
    return "\n".join(lines) + "\n"


def fit_of(bundle: Path, target: str) -> dict[str, Any]:
    """Return the ``snnconvert/target/1`` document: what a chip's documents allow, beside the network of a bundle.

    Raises:
        SnnError: the bundle cannot be read; an unknown target (E002).
    """
    chip = TARGETS[target]
    found = chip.rows(open_bundle(bundle).deployed.network)
    return {
        "schema": "snnconvert/target/1",
        "bundle": str(bundle),
        "target": target,
        "fits": all(row.fits for row in found),
        "rows": [dataclasses.asdict(row) for row in found],
    }


def fit_table(document: dict[str, Any]) -> str:
    """Return the document as text, at most 80 columns wide, sources under the table."""
    rows = document["rows"]
    sources = list(dict.fromkeys(row["source"] for row in rows))
    lines = [f"{TARGETS[document['target']].title}: {sum(row['fits'] for row in rows)} of {len(rows)} fit"]
    for row in rows:
        told = f"{row['what']:<24} {row['limit']:<24} {printable(row['found'], 20):<20}"
        lines.append(f"  {'ok  ' if row['fits'] else 'FAIL'} {told}[{sources.index(row['source']) + 1}]")
    lines += [f"[{number}] {source}" for number, source in enumerate(sources, 1)]
    lines.append("Limits of public documents, compared; nobody ran it on the chip.")
    return "\n".join(lines) + "\n"


def _joules(value: float) -> str:
    for unit, size in (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} nJ"
