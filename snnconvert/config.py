"""Typed options: one class a stage, composed into one job, as the command line, YAML and the bundle hold it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator

from snnconvert.data import Preprocessing
from snnconvert.errors import UsageError
from snnconvert.memory import size
from snnconvert.registry import did_you_mean
from snnconvert.yaml_document import parse_yaml, yaml_lines

_MESSAGES = {"extra_forbidden": "unknown option", "model_type": "expected options below it"}
# left out of keys, provenance and baselines: a digest stands there for it, or it changes no result
PERSONAL = (
    "model",
    "calib.path",
    "eval.path",
    "trust_model",
    "workers",
    "max_memory",
    "device",
)
Samples = Annotated[int, Field(ge=1)]


class Options(BaseModel):
    """What all stages share: no unknown key, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CalibrationOptions(Options):
    """Which samples calibrate; ``samples`` None means all (of the half that calibrates, where there is one set)."""

    path: str
    samples: Samples | None = None
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 64


class EvaluationOptions(Options):
    """Which samples evaluate; ``path`` None means the other half of the calibration set."""

    path: str | None = None
    samples: Samples | None = None
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 16


class ConvertOptions(Options):
    """How activations become neurons."""

    method: str = "percentile"
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.9
    percentile_of: Literal["nonzero", "all"] = "nonzero"
    per_channel: bool = True
    correct: tuple[str, ...] = ("bias",)
    correct_samples: Samples = 256
    neuron: str = "if"
    spikes: Literal["binary", "signed", "graded"] = "binary"
    reset: Literal["subtract", "zero"] = "subtract"
    initial_potential: Annotated[float, Field(ge=0, lt=1)] = 0.5
    max_pool: Literal["exact", "gate", "average", "before"] = "exact"
    weights: Literal["float32", "bfloat16", "int8"] = "float32"
    encoding: Literal["constant", "events"] = "constant"
    steps: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = (1, 2, 4, 8, 16, 32)
    onset_delay: Annotated[int, Field(ge=0, le=100_000)] = 0
    warm_up: Annotated[float, Field(ge=0, le=1000)] = 0.0
    readout_from: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    stop: Annotated[float, Field(gt=0, le=1_000_000)] | None = None

    @field_validator("correct", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        names = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
            raise ValueError("expected a list of corrections, such as [bias, weights]")
        return tuple(dict.fromkeys(names))

    @field_validator("steps", mode="before")
    @classmethod
    def _sorted(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple) or not value or not all(type(each) is int for each in value):
            raise ValueError("expected a list of numbers of time steps, such as [1, 2, 4, 8]")
        return tuple(sorted(set(value)))


class TraceOptions(Options):
    """Which of the evaluated ``sample``s, by its number in the set, and which ``neurons`` the report shows over time.

    Where they are None and none, the report chooses.
    """

    sample: Annotated[int, Field(ge=0)] | None = None
    neurons: tuple[str, ...] = ()

    @field_validator("neurons", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise ValueError("expected a list of neurons, such as ['relu1:3,10,12']")
        return tuple(dict.fromkeys(value))


class Job(Options):
    """One conversion: everything that its result depends on.

    ``input_shape`` is of one sample, ``output_name`` one of several outputs; both None where the model file tells.
    ``neuron`` holds parameters of the neuron model ``convert.neuron``. ``skip_bad`` images that cannot be read are
    passed over; ``plots`` are pictures beside the report; ``workers`` processes evaluate side by side, each of
    which may take ``max_memory`` bytes: neither changes an answer.
    """

    model: str
    input_shape: tuple[Annotated[int, Field(ge=1, le=2**26)], ...] | None = None
    output_name: str | None = None
    trust_model: bool = False
    calib: CalibrationOptions
    eval: EvaluationOptions = EvaluationOptions()
    preprocess: Annotated[dict[str, Any], WithJsonSchema({"type": ["string", "object", "null"]})] = {}
    convert: ConvertOptions = ConvertOptions()
    neuron: dict[str, float | int | str | None] = {}
    plots: Literal["svg", "png"] | None = None
    trace: TraceOptions = TraceOptions()
    seed: int = 0
    skip_bad: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    max_memory: Annotated[int | None, WithJsonSchema({"type": ["string", "integer", "null"]})] = None
    device: str = "auto"

    @field_validator("input_shape", mode="before")
    @classmethod
    def _shape(cls, value: Any) -> Any:
        if value is not None and (not isinstance(value, list | tuple) or not all(type(each) is int for each in value)):
            raise ValueError("expected the sizes of one sample, such as [3, 224, 224]")
        return None if value is None else tuple(value)

    @field_validator("preprocess", mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> Any:
        if not isinstance(value, str | dict | None):
            raise ValueError("expected text such as scale=1/255, or a mapping")
        return Preprocessing.parse(value).to_dict()

    @field_validator("max_memory", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        return size(value, 10**9, "4G")

    @field_validator("device")
    @classmethod
    def _known(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", value):
            raise ValueError("expected auto, cpu or cuda:N")
        return value

    def dotted(self) -> dict[str, object]:
        """Return every option by its dotted path."""

        def walk(prefix: str, value: object) -> dict[str, object]:
            if isinstance(value, dict) and value and prefix != "preprocess":
                return {path: v for key, each in value.items() for path, v in walk(f"{prefix}.{key}", each).items()}
            return {prefix: value}

        document = self.model_dump(mode="json")
        return {path: value for key, each in document.items() for path, value in walk(key, each).items()}

    @property
    def portable(self) -> dict[str, object]:
        """Every option by its dotted path, but those of :data:`PERSONAL`: what makes a result, on any machine."""
        return {path: value for path, value in self.dotted().items() if path not in PERSONAL}

    def to_yaml(self) -> bytes:
        """Return the job as a YAML document that :func:`read_job` reads back."""
        return yaml_lines(self.model_dump()).encode("utf-8")


def build_job(document: dict[str, Any], where: str, places: Mapping[str, str] | None = None) -> Job:
    """Validate a document; ``where`` names it in the error, unless ``places`` has the file and line of the path.

    Raises:
        UsageError: an unknown key, a wrong type or value (E301), told with its dotted path.
    """
    try:
        return Job.model_validate(document)
    except ValidationError as problem:
        raise refusal(problem, Job, where, places or {}) from None


def refusal(problem: ValidationError, model: type[BaseModel], where: str, places: Mapping[str, str]) -> UsageError:
    """Return the first of the problems in one line, with the file and line of its path where ``places`` has them.

    What is missing comes last and has no place: that of what it is missing from is told then, or else ``where``.
    """
    first = min(problem.errors(), key=lambda each: each["type"] == "missing")  # it may stand there with a typo
    loc, hint = first["loc"], None
    named = max(index for index, part in enumerate(("", *loc)) if isinstance(part, str))  # [1, 2, x] is told as one
    path = ".".join(map(str, loc[:named]))
    if first["type"] == "extra_forbidden":
        for part in loc[:-1]:
            if isinstance(part, str):
                model = _model_in(model.model_fields[part].annotation)
        hint = did_you_mean(str(loc[-1]), list(model.model_fields))
    message = _MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, "))
    got = "" if first["type"] in ("missing", "extra_forbidden") else f", got {str(first['input'])[:80]!r}"
    shortest = 1 if first["type"] == "missing" else named
    paths = [".".join(map(str, loc[:length])) for length in range(len(loc), shortest - 1, -1)]
    place = next((places[each] for each in paths if each in places), where)
    return UsageError("E301", f"{place}: {path}: {message}{got}", hint)


def _model_in(annotation: Any) -> type[BaseModel]:
    """Return the model that a field holds, one or many of."""
    found = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
    return next(each for each in found if issubclass(each, BaseModel))


def set_path(document: dict[str, Any], places: dict[str, str], path: str, value: object) -> None:
    """Put a value at a dotted path of a document; whatever stood there, in a file say, is forgotten.

    Raises:
        UsageError: a part of the path holds no options (E003).
    """
    *parents, last = path.split(".")
    place: Any = document
    for part in parents:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise UsageError("E003", f"{path}: '{part}' holds no options but {str(place)[:80]!r}")
    place[last] = value
    places.pop(path, None)


def set_option(document: dict[str, Any], places: dict[str, str], assignment: str) -> None:
    """Apply ``a.b=value`` to a document; the value is read as YAML.

    Raises:
        UsageError: it is no assignment (E003).
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise UsageError(
            "E003", f"--set: expected path=value, got '{assignment[:80]}'", "e.g. --set convert.percentile=99"
        )
    set_path(document, places, path, parse_yaml(text, f"--set {path}")[0])


def absolute_paths(document: dict[str, Any], base: Path) -> None:
    """Make the paths of a job absolute: those of a file are relative to it, those of options to the working folder."""
    for place, key in ((document, "model"), (document.get("calib"), "path"), (document.get("eval"), "path")):
        if isinstance(place, dict) and isinstance(place.get(key), str) and place[key]:
            place[key] = os.path.abspath(base / place[key])  # noqa: PTH100 - resolve() would follow links
