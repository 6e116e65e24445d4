"""What an executor is given, and what it gives back: plain data, that goes to other processes and machines as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from snnconvert.errors import SnnError


@dataclass(frozen=True)
class Task:
    """One attempt at one job: ``job`` is its document, ``destination`` its bundle, ``log`` where it tells its story.

    ``calibration`` and ``evaluation`` are files of what is kept between runs, ``key`` tells whose.

    ``timeout`` is in seconds, ``memory`` in bytes; None is no limit. ``part`` is (number, of how many) where only a
    part of the samples is to be evaluated, and no bundle written.
    """

    name: str
    job: Mapping[str, Any]
    destination: str
    log: str
    calibration: str
    evaluation: str
    key: str
    command: str
    force: bool
    timeout: float | None
    memory: int | None
    attempt: int = 1
    part: Sequence[int] | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the task as JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: an exit status as that of ``snnconvert convert``, 0 with a bundle, else with the error.

    ``transient`` failures may go away by trying again. ``peak`` is the largest memory in bytes, as far as it is known.
    """

    status: int
    seconds: float
    code: str | None = None
    message: str | None = None
    hint: str | None = None
    transient: bool = False
    peak: int | None = None

    @staticmethod
    def failed(error: SnnError, seconds: float = 0.0, *, transient: bool = False, peak: int | None = None) -> "Outcome":
        """Return the outcome that an error is."""
        return Outcome(error.exit_status, seconds, **error.document, transient=transient, peak=peak)

    def to_document(self) -> dict[str, Any]:
        """Return the outcome as JSON can hold it."""
        return asdict(self)


class Executor(Protocol):
    """Runs tasks somewhere, several at once."""

    @property
    def slots(self) -> int:
        """How many tasks it runs at once; may change while it works."""

    def submit(self, task: Task) -> None:
        """Start a task; its name is unique among those that run.

        Raises:
            SnnError: it cannot be started at all.
        """

    def wait(self, timeout: float | None) -> list[tuple[str, Outcome]]:
        """Return the names and outcomes of tasks that ended, at the latest after ``timeout`` seconds, perhaps none."""

    def close(self) -> None:
        """Stop what still runs, wait for its end, and let go of everything."""
