"""Every error that a user can meet: a code, one line (where, what, got/expected), a hint, an exit status.

This file is carried by the evaluator of every bundle unchanged, so it imports nothing.
"""

AGAIN = "the file is damaged, or made by hand: export the network again"
NODES = "snnconvert inspect MODEL tells what becomes of every node"
FILE = "make the file again, or leave it out"
# what to do where the place that refuses knows no better
HINTS = {
    "E110": AGAIN,
    "E111": AGAIN,
    "E112": AGAIN,
    "E113": "look for NaN in the trained weights, and export the network again",
    "E114": AGAIN,
    "E115": AGAIN,
    "E116": "export it by torch's other exporter: torch.onnx.export(..., dynamo=True) or dynamo=False",
    "E117": "compare --preprocess with what the network was trained on",
    "E118": NODES,
    "E119": "give a network with ReLU",
    "E120": NODES,
    "E121": "export a smaller network",
    "E122": "give a smaller sample, --input-shape, or export a smaller network",
    "E123": NODES,
    "E124": NODES,
    "E130": "--trust-model, if you know who made the file",
    "E131": "export the network again with a newer torch",
    "E133": AGAIN,
    "E201": "look at what --calib and --eval name",
    "E202": FILE,
    "E203": FILE,
    "E204": "samples, as --preprocess makes them, and labels must fit the model",
}


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


class UsageError(SnnError):
    """A wrong option, path or configuration file (E0xx, E3xx)."""

    exit_status = 2


class ModelError(SnnError):
    """A model that is broken or cannot be converted exactly (E1xx)."""

    exit_status = 3


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
