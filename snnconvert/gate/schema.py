"""``snn-baseline.json`` as types: what networks did when somebody said that it was good enough, and what will do."""

import json
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from snnconvert.errors import UsageError
from snnconvert.registry import did_you_mean
from snnconvert.report.text import printable

SCHEMA: Literal["snnconvert/baseline/1"] = "snnconvert/baseline/1"
NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,79}$"
_PATH = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,7}$"  # no part is '..', and none is hidden
SMALLEST = 1e-6  # of a margin and an alpha: quantiles and numbers of samples of less are no numbers any more

Count = Annotated[int, Field(ge=0, le=2**40)]
Step = Annotated[int, Field(ge=1, le=1_000_000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Increase = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Part(BaseModel):
    """What all parts share: no unknown key, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Reach(Part):
    """An accuracy, and the time steps within which it must be reached."""

    accuracy: Annotated[Percent, Field(description="Percent; agreement with the ANN where there are no labels.")]
    steps: Annotated[Step, Field(description="The largest T at which it may be reached.")]


class Rails(Part):
    """Limits that are compared with what was measured, without statistics, at the largest gated step."""

    min_accuracy: Annotated[Percent | None, Field(description="Percent.")] = None
    max_drop_vs_ann: Annotated[Percent | None, Field(description="Points, on the same samples.")] = None
    min_agreement: Annotated[Percent | None, Field(description="With the ANN, in percent; needs no labels.")] = None
    max_spikes_per_sample: Annotated[Increase | None, Field(description="Increase over the baseline, percent.")] = None
    max_synops: Annotated[Increase | None, Field(description="Increase over the baseline, percent.")] = None
    max_output_error: Annotated[
        Percent | None, Field(description="Distance to the ANN's outputs, in percent; for outputs that are no classes.")
    ] = None
    max_steps_to_reach: Annotated[Reach | None, Field(description="T within which an accuracy is reached.")] = None


class Gate(Part):
    """When a network is good enough."""

    margin: Annotated[
        float, Field(ge=SMALLEST, le=100, allow_inf_nan=False, description="Points of accuracy that may be lost.")
    ] = 1.0
    alpha: Annotated[
        float, Field(ge=SMALLEST, lt=0.5, description="Chance of each error: 0.05 is a 90 % interval.")
    ] = 0.05
    steps: Annotated[list[Step], Field(max_length=64, description="Time steps to gate; empty: the largest.")] = []
    rails: Rails = Rails()


class Row(Part):
    """What was measured at one number of time steps; ``correct`` None without labels.

    Where the outputs are no classes there are no answers to count, and the last two are known, as in metrics.json.
    """

    t: Step
    correct: Count | None
    agreed: Annotated[Count | None, Field(description="Answers that are the ANN's, where all of those are known.")]
    spikes_per_sample: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    synops_per_sample: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    agreement: Annotated[float | None, Field(ge=0, le=1, description="Share of positions with the ANN's class.")] = None
    output_error: Annotated[
        float | None, Field(ge=0, allow_inf_nan=False, description="Relative L2 distance to the ANN's outputs.")
    ] = None

    @model_serializer(mode="wrap")
    def _known(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = written(self)
        absent = [name for name in ("agreement", "output_error") if found[name] is None]
        return {name: value for name, value in found.items() if name not in absent}

    @property
    def known(self) -> frozenset[str]:
        """The names of what has a value."""
        return frozenset(name for name, value in self if value is not None)

    @property
    def right(self) -> int | None:
        """How many answers were right; without labels, how many were the ANN's."""
        return self.agreed if self.correct is None else self.correct


class Model(Part):
    """The file that was converted."""

    file: Annotated[str, Field(max_length=400)]
    sha256: Sha256


class Dataset(Part):
    """The samples: how many, whether labelled, and a digest of their contents and labels in any order."""

    samples: Annotated[int, Field(ge=1, le=2**40)]
    labelled: bool
    sha256: Sha256


class Stored(Part):
    """The predictions, in a file beside the baseline; the path is relative to it and leads downwards."""

    path: Annotated[str, Field(pattern=_PATH, max_length=400)]
    sha256: Sha256


class Entry(Part):
    """One network: what it was, what it did, and what will do."""

    name: Annotated[str, Field(pattern=NAME)]
    model: Model
    calibration: Annotated[
        Sha256 | None, Field(description="Digest of the files of samples that it was calibrated on, where it is known.")
    ] = None
    dataset: Dataset
    ann_correct: Count | None
    steps: Annotated[list[Row], Field(min_length=1, max_length=1000)]
    predictions: Stored | None
    gate: Gate = Gate()
    options: Annotated[dict[str, Any], Field(description="Of the conversion; paths and devices left out.")] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Entry":
        rows = [row.t for row in self.steps]
        if rows != sorted(set(rows)):
            raise ValueError("the steps do not ascend")
        if unknown := [t for t in self.gate.steps if t not in rows]:
            raise ValueError(f"there is no row of the gated step {unknown[0]}")
        if any((row.correct is None) == self.dataset.labelled for row in self.steps):
            raise ValueError("counts of right answers go with labels")
        if len({row.known for row in self.steps}) > 1:
            raise ValueError("not all steps know the same: what one has a value of, all have")
        if any(max(row.correct or 0, row.agreed or 0) > self.dataset.samples for row in self.steps):
            raise ValueError("more answers than samples")
        return self

    @property
    def has_classes(self) -> bool:
        """Tell whether there are answers that can be right or wrong."""
        return self.steps[-1].right is not None

    def row(self, t: int) -> Row:
        """Return the row of a step that is there."""
        return next(row for row in self.steps if row.t == t)

    def gated(self, gate: Gate) -> list[int]:
        """Return the steps to gate, ascending: those that are asked for, else the largest."""
        return sorted(set(gate.steps)) or [self.steps[-1].t]


class Baseline(Part):
    """The whole file; ``previous`` is the digest of the one that it replaced, and ``reason`` says why it did."""

    schema_: Annotated[Literal["snnconvert/baseline/1"], Field(alias="schema")] = SCHEMA
    created_by: Annotated[str, Field(max_length=80)]
    previous: Annotated[str | None, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    models: Annotated[list[Entry], Field(max_length=1000)]

    @field_validator("models")
    @classmethod
    def _each_once(cls, entries: list[Entry]) -> list[Entry]:
        names = [entry.name for entry in entries]
        if len(set(names)) < len(names):
            raise ValueError("two models have one name")
        return entries

    def find(self, name: str) -> Entry | None:
        """Return the entry of this name, or None."""
        return next((entry for entry in self.models if entry.name == name), None)

    def entry(self, name: str, where: str) -> Entry:
        """Return the entry of this name; UsageError E303 where there is none."""
        found = self.find(name)
        if found is None:
            known = [entry.name for entry in self.models]
            hint = f"{did_you_mean(name, known)} (--name); --update --reason TEXT adds a bundle"
            raise UsageError("E303", f"{where}: has no model '{printable(name)}'", hint)
        return found

    def to_json(self) -> bytes:
        """Write the file, in the order of the fields."""
        return (json.dumps(self.model_dump(by_alias=True), indent=1, allow_nan=False) + "\n").encode()
