"""What becomes of every node of a model file, found without any samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnconvert.calibrate import random_scales
from snnconvert.errors import ModelError
from snnconvert.fold import PASSES
from snnconvert.graph import Equivalence, apply_passes, probe_samples
from snnconvert.load import Asked, open_model, read_model, survey_model
from snnconvert.network import normal_form, spiking_network
from snnconvert.neurons import NEURONS
from snnconvert.report.fates import fates


@dataclass(frozen=True)
class Inspection:
    """The fate of every node, the refusals by node name, and what was verified."""

    name: str
    nodes: list[dict[str, Any]]
    refused: dict[str, ModelError]
    equivalence: list[Equivalence]
    notes: list[str]
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None


def inspect(path: Path, asked: Asked) -> Inspection:
    """Read a model, fold it and normalise it with random scales; refusals are collected, not raised.

    Raises:
        UsageError, ModelError: the file itself is missing or broken, or the whole of it cannot be converted.
    """
    file = open_model(path, asked)
    origins, refused = survey_model(file)
    if refused:
        return Inspection(path.name, fates(origins, None), refused, [], [])
    loaded = read_model(file)
    shape = loaded.graph.input_shape
    probe = np.random.default_rng(0).standard_normal((probe_samples(loaded.graph), *shape), np.float32)
    equivalence = [loaded.compare(probe)]  # first: what the network itself overflows on, no pass can keep
    folded, checks = apply_passes(loaded.graph, PASSES, torch.from_numpy(probe))
    network = spiking_network(normal_form(folded, random_scales(folded, per_channel=True)), NEURONS["if"]())
    return Inspection(
        path.name,
        fates(loaded.graph.origins, network),
        {},
        [*equivalence, *checks],
        list(loaded.graph.notes),
        shape,
        loaded.graph.shapes[loaded.graph.output],
    )
