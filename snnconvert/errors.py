"""Every error that a user can meet: a code, one line (where, what, got/expected), a hint, an exit status.

This file is carried by the evaluator of every bundle unchanged, so it imports nothing.
"""

FILE = "make the file again, or leave it out"
# what to do about data, where the place that refuses it knows no better
HINTS = {
    "E201": "look at what --calib and --eval name",
    "E202": FILE,
    "E203": FILE,
    "E204": "samples, as --preprocess makes them, and labels must fit the model",
}


def first_line(problem: BaseException, limit: int = 160) -> str:
    """Return the first line of what an exception says, cut; of one that says nothing its type."""
    return next(iter(str(problem).splitlines()), "")[:limit] or type(problem).__name__


class SnnError(Exception):
    """An error that is told in one line; ``exit_status`` is what the process ends with."""

    exit_status = 70

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(code, message, hint)  # all three, so that pickling keeps them
        self.code = code
        self.message = message
        self.hint = HINTS.get(code) if hint is None else hint

    def __str__(self) -> str:
        return f"error[{self.code}]: {self.message}"

    @property
    def document(self) -> dict[str, str | None]:
        """Return it as data."""
        return {"code": self.code, "message": self.message, "hint": self.hint}

    def at(self, where: str) -> "SnnError":
        """Return the same error, which tells where."""
        return type(self)(self.code, f"{where}: {self.message}", self.hint)


class UsageError(SnnError):
    """A wrong option, path or configuration file (E0xx, E3xx)."""

    exit_status = 2


class ModelError(SnnError):
    """A model that is broken or cannot be converted exactly (E1xx); there is always a hint, as nothing else helps."""

    exit_status = 3

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(code, message, hint)


class DataError(SnnError):
    """Data that cannot be read, or that does not fit the model (E2xx)."""

    exit_status = 4


class OutputError(SnnError):
    """The output cannot be written, or the environment lacks something (E4xx)."""

    exit_status = 5


class LimitError(SnnError):
    """A limit on memory, time or size was hit (E5xx)."""

    exit_status = 7


class InternalError(SnnError):
    """One of our own guarantees failed: a bug in snnconvert (E9xx)."""

    exit_status = 70


def damaged(path: object, problem: Exception) -> OutputError:
    """Return the error of a file of a bundle that is not as it was written (E403)."""
    hint = "the bundle is not as it was written: make it again"
    return OutputError("E403", f"{path}: damaged ({first_line(problem)})", hint)
