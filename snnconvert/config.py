"""Typed options: one class a stage, composed into one job, as the command line, YAML and the bundle hold it."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from snnconvert.data import Preprocessing
from snnconvert.errors import UsageError
from snnconvert.registry import did_you_mean

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
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 32


class ConvertOptions(Options):
    """How activations become neurons."""

    percentile: Annotated[float, Field(gt=0, le=100, strict=False)] = 99.9
    percentile_of: Literal["nonzero", "all"] = "nonzero"
    per_channel: bool = True
    neuron: Literal["if"] = "if"
    reset: Literal["subtract", "zero"] = "subtract"
    initial_potential: Annotated[float, Field(ge=0, lt=1, strict=False)] = 0.5
    steps: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = (1, 2, 4, 8, 16, 32)

    @field_validator("steps", mode="before")
    @classmethod
    def _sorted(cls, value: Any) -> Any:
        return tuple(sorted(set(value))) if isinstance(value, list | tuple) and value else value

    @field_validator("steps")
    @classmethod
    def _some(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("at least one number of time steps")
        return value


class Job(Options):
    """One conversion: everything that its result depends on."""

    model: str
    calib: CalibrationOptions
    eval: EvaluationOptions = EvaluationOptions()
    preprocess: dict[str, Any] = {}
    convert: ConvertOptions = ConvertOptions()
    seed: int = 0
    device: str = "auto"

    @field_validator("preprocess", mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> Any:
        return Preprocessing.parse(value).to_dict()

    @model_validator(mode="after")
    def _device(self) -> Self:
        if self.device != "auto" and self.device != "cpu" and not self.device.startswith("cuda"):
            raise ValueError(f"device: expected auto, cpu or cuda:N, got {self.device}")
        return self

    def dotted(self) -> dict[str, object]:
        """Return every option by its dotted path."""

        def walk(prefix: str, value: object) -> dict[str, object]:
            if isinstance(value, dict) and value and prefix != "preprocess":
                return {path: v for key, each in value.items() for path, v in walk(f"{prefix}.{key}", each).items()}
            return {prefix: value}

        document = self.model_dump(mode="json")
        return {path: value for key, each in document.items() for path, value in walk(key, each).items()}

    def to_yaml(self) -> bytes:
        """Return the job as a YAML document that :func:`read_job` reads back."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=10**6)
        return text.encode("utf-8")


def build_job(document: dict[str, Any], where: str) -> Job:
    """Validate a document; ``where`` names it in the error.

    Raises:
        UsageError: an unknown key, a wrong type or value (E301), told with its dotted path.
    """
    try:
        return Job.model_validate(document)
    except ValidationError as problem:
        first = problem.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        hint = None
        if first["type"] == "extra_forbidden":
            parent: Any = Job
            for part in first["loc"][:-1]:
                parent = parent.model_fields[str(part)].annotation
            hint = did_you_mean(str(first["loc"][-1]), list(parent.model_fields))
        message = first["msg"] if first["type"] != "extra_forbidden" else "unknown option"
        got = "" if first["type"] in ("missing", "extra_forbidden") else f", got {str(first['input'])[:80]!r}"
        raise UsageError("E301", f"{where}: {path}: {message}{got}", hint) from None


def set_option(document: dict[str, Any], assignment: str) -> None:
    """Apply ``a.b=value`` to a document; the value is read as YAML.

    Raises:
        UsageError: it is no assignment (E003).
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise UsageError(
            "E003", f"--set: expected path=value, got '{assignment[:80]}'", "e.g. --set convert.percentile=99"
        )
    *parents, last = path.split(".")
    place = document
    for part in parents:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise UsageError("E003", f"--set: {path}: '{part}' holds no options")
    place[last] = parse_yaml(text, "--set")


def read_document(path: Path) -> dict[str, Any]:
    """Read a YAML mapping from a file of at most 1 MiB.

    Raises:
        UsageError: no such file (E001), or not a YAML mapping (E301).
    """
    try:
        if path.stat().st_size > 2**20:
            raise UsageError("E301", f"{path}: more than 1 MiB")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError("E001", f"{path}: cannot be read ({problem})") from None
    document = parse_yaml(text, str(path))
    if not isinstance(document, dict):
        raise UsageError("E301", f"{path}: expected a mapping of options, got {type(document).__name__}")
    return document


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML without aliases, tags or duplicate keys.

    Raises:
        UsageError: it cannot be parsed; with line and column (E301).
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, stricter than the usual one
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise UsageError("E301", f"{place}: {problem.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        raise UsageError("E301", f"{where}: {str(problem).splitlines()[0][:160]}") from None


class _Loader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does, and refuses what PyYAML takes in silence."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not supported", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise yaml.constructor.ConstructorError(None, None, f"a key must be text, got {name!r}", key.start_mark)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{name}' stands here twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _integer(loader: Any, node: Any) -> int:
    return int(loader.construct_scalar(node))  # PyYAML's own would read 010 as 8


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
