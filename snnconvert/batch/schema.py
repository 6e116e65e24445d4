"""The batch file: its sections as typed options, from which the JSON Schema for editors comes, too."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator

from snnconvert.config import CalibrationOptions, Job, Options, refusal, set_option
from snnconvert.errors import UsageError
from snnconvert.gate.schema import Gate
from snnconvert.memory import quantity, size
from snnconvert.yaml_document import read_document

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"
RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?|.*\.", re.IGNORECASE)  # no names on some systems
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
OWN = ("execution", "output")  # what --set may reach besides the options of jobs
BASELINE = "snn-baseline.json"


class SharedCalibration(CalibrationOptions):
    """As of a job, of which every part may stand elsewhere."""

    path: str = ""


class JobGate(Gate):
    """A comparison with a baseline; what is not given here is as the baseline says.

    ``baseline`` None is :data:`BASELINE` beside the batch file; ``name`` None is that of the model file.
    """

    baseline: Annotated[str | None, Field(min_length=1, description="File that snnconvert check wrote.")] = None
    name: Annotated[str | None, Field(description="Of the network in the baseline; else the model file's.")] = None

    def over(self, stored: Gate) -> Gate:
        """Return the gate of the baseline with what is given here instead of it."""
        given = {name: getattr(self, name) for name in self.model_fields_set & set(Gate.model_fields)}
        if "rails" in given:
            own = {name: getattr(self.rails, name) for name in self.rails.model_fields_set}
            given["rails"] = stored.rails.model_copy(update=own)
        return stored.model_copy(update=given)


class Defaults(Job):
    """Options of all jobs; ``gate`` changes no result, but says whether it is good enough."""

    model: str = ""
    calib: SharedCalibration = SharedCalibration()
    gate: JobGate | None = None


class BatchJob(Defaults):
    """One job: its name, its model, and what differs from the defaults; ``matrix: false`` takes it out of the sweep."""

    name: Annotated[str, Field(pattern=NAME)]
    matrix: bool = True

    @field_validator("name")
    @classmethod
    def _usable(cls, value: str) -> str:
        if RESERVED.fullmatch(value):
            raise ValueError("is a name that not every file system can hold")
        return value


class Matrix(BaseModel):
    """Options by their dotted paths, each with the values to try; ``exclude`` lists combinations to leave out."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Annotated[list[Any], Field(min_length=1)]]

    exclude: list[dict[str, Any]] = []

    @property
    def axes(self) -> dict[str, list[Any]]:
        """Values by path."""
        return self.__pydantic_extra__


class Tls(Options):
    """Files in PEM that a Dask cluster with TLS is reached by."""

    ca: str
    cert: str
    key: str


class Execution(Options):
    """How jobs are run: never part of what they result in.

    ``jobs`` at once, None for as many as the machine holds; ``retries`` of a job that crashed or could not write;
    ``timeout`` in seconds and ``memory`` in bytes of one job; ``keep_going`` after a failure. ``shards`` of one
    evaluation run at once, each in a process of its own.
    """

    backend: Literal["local", "dask"] = "local"
    scheduler: str | None = None
    tls: Tls | None = None
    jobs: Annotated[int | None, WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]})] = (
        None
    )
    shards: Annotated[int, Field(ge=1, le=1024)] = 1
    keep_going: bool = True
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    timeout: Annotated[float | None, WithJsonSchema({"type": ["string", "number", "null"]})] = None
    memory: Annotated[int | None, WithJsonSchema({"type": ["string", "integer", "null"]})] = None

    @field_validator("jobs", mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        if value != "auto" and not (type(value) is int and 1 <= value <= 1024):
            raise ValueError("expected auto, or a number of jobs from 1 to 1024")
        return None if value == "auto" else value

    @field_validator("timeout", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        seconds = quantity(value, SECONDS)
        if seconds is not None and seconds <= 0:
            raise ValueError("expected a time such as 90s, 30m or 2h")
        return seconds

    @field_validator("memory", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        return size(value, 10**8, "512M or 8G")


class BatchFile(Options):
    """Jobs to convert, what they share, and what is swept over."""

    version: Literal[1]
    output: str = Field(min_length=1)
    defaults: Defaults = Defaults()
    matrix: Matrix = Field(default_factory=lambda: Matrix.model_validate({}))
    jobs: list[BatchJob] = Field(min_length=1, max_length=10_000)
    execution: Execution = Execution()


class Source(BaseModel):
    """A batch file as it was written: ``document`` with the ``places`` of its keys, and ``checked`` of its sections.

    ``overrides`` are assignments of the command line that reach every job.
    """

    path: Path
    document: dict[str, Any]
    places: dict[str, str]
    checked: BatchFile
    overrides: tuple[str, ...] = ()


def read_batch(path: Path, assignments: tuple[str, ...] = ()) -> Source:
    """Read a batch file and check every section of it; ``assignments`` are those of ``--set``.

    Raises:
        UsageError: it cannot be read (E001), or holds what no batch file may hold (E301), with file, line and column.
    """
    document, places = read_document(path)
    mine = [each for each in assignments if each.partition("=")[0].partition(".")[0] in OWN]
    for assignment in mine:
        set_option(document, places, assignment)
        if assignment.startswith("output=") and isinstance(document["output"], str):
            document["output"] = str(Path.cwd() / document["output"])  # that of the file is relative to it
    try:
        checked = BatchFile.model_validate(document)
    except ValidationError as problem:
        raise refusal(problem, BatchFile, str(path), places) from None
    for section in ("defaults", *(f"jobs.{index}" for index in range(len(checked.jobs)))):
        if f"{section}.trust_model" in places:
            raise UsageError(
                "E301", f"{places[f'{section}.trust_model']}: a file cannot ask to be trusted", "add --trust-model"
            )
    others = tuple(each for each in assignments if each not in mine)
    return Source(path=path, document=document, places=places, checked=checked, overrides=others)
