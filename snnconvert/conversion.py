"""All that one job finds out, stage by stage, and who is told of it while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from snnconvert.calibrate import ActivationStatistics
from snnconvert.config import Job
from snnconvert.data import Selection
from snnconvert.graph import Equivalence, Graph
from snnconvert.load import Loaded
from snnconvert.measure import Density, Traced, ann_macs, first_layer_macs, graded_macs
from snnconvert.network import NormalForm, SpikingNetwork


class Progress(Protocol):
    """What a conversion says while it runs."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins that will advance by ``total`` samples."""

    def advance(self, samples: int) -> None:
        """Some samples of the stage are done."""

    def note(self, text: str) -> None:
        """A choice was made that the user should know."""

    def detail(self, text: str) -> None:
        """Something was measured that only the curious want to see."""

    def warn(self, text: str) -> None:
        """Something is likely wrong."""


class Silent:
    """Says nothing."""

    def stage(self, name: str, total: int) -> None:
        """Say nothing."""

    def advance(self, samples: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def detail(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""


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
    """Return how many classes the outputs stand for; None for dense predictions and for single values."""
    shape = graph.shapes[graph.output]
    return shape[0] if len(shape) == 1 and shape[0] > 1 else None


def operations(conversion: Conversion) -> dict[str, int]:
    """Return the multiply-accumulates of one sample."""
    return {
        "ann": ann_macs(conversion.folded),
        "snn_first_layer": first_layer_macs(conversion.network),
        "snn_graded_per_step": graded_macs(conversion.network),
    }
