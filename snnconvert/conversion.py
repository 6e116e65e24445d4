"""All that one job finds out, stage by stage."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from snnconvert.calibrate import ActivationStatistics
from snnconvert.config import Job
from snnconvert.data import Selection
from snnconvert.graph import Equivalence, Graph
from snnconvert.load import Loaded
from snnconvert.measure import Density, Traced, ann_macs, first_layer_macs, graded_macs
from snnconvert.network import NormalForm, SpikingNetwork


@dataclass
class Conversion:
    """All that one job found out; each stage adds its part.

    ``contents`` are the digests of the sets of samples, by their role, as they were when they were opened.
    """

    job: Job
    loaded: Loaded
    contents: dict[str, str]
    calib: Selection
    evaluation: Selection
    folded: Graph
    statistics: ActivationStatistics
    normal: NormalForm
    network: SpikingNetwork
    equivalence: list[Equivalence]
    notes: list[str]
    warnings: list[str]
    tried: list[str] = field(default_factory=list)  # for run.json: who repeats the choice tries nothing
    metrics: dict[str, Any] = field(default_factory=dict)
    densities: Mapping[str, Density] = field(default_factory=dict)
    traced: Traced | None = None


def class_count(graph: Graph) -> int | None:
    """Return how many classes the outputs stand for; None for dense predictions, and for a single value but a logit."""
    shape = graph.shapes[graph.output]
    if graph.binary and math.prod(shape) == 1:
        return 2
    return shape[0] if len(shape) == 1 and shape[0] > 1 else None


def operations(conversion: Conversion) -> dict[str, int]:
    """Return the multiply-accumulates of one sample."""
    return {
        "ann": ann_macs(conversion.folded),
        "snn_first_layer": first_layer_macs(conversion.network),
        "snn_graded_per_step": graded_macs(conversion.network),
    }
