"""Writes docs/operators.md, docs/errors.md and the pictures of neurons: ``python docs/generate.py``."""

import re
from pathlib import Path

from snnconvert.cli import main
from snnconvert.codes import CODES
from snnconvert.load.constants import FOLDERS
from snnconvert.load.onnx_graph import REASONS
from snnconvert.operators import READERS

PAGE = Path(__file__).with_name("operators.md")
PICTURES = {
    "if.svg": "neuron if --current 0.3",
    "lif.svg": "neuron lif --tau 20 --threshold 10 --current 11",
}
ERRORS = Path(__file__).with_name("errors.md")
HEAD = """# Operators

Written by `make docs` from the code that reads them. `snnconvert inspect MODEL` tells the same of one model, node by
node. A value is what depends on the sample; a constant does not. Models in TorchScript and torch.export become ONNX
first, and are read by the same code.

| ONNX operator | is read as | restrictions |
|---|---|---|
"""
REFUSED = """
## Refused, with the reason

| ONNX operator | why |
|---|---|
"""
CONSTANT = """
Everything else is refused too, as are nodes that hold graphs of their own (If, Loop, Scan) and operators of other
domains. Softmax, LogSoftmax and Sigmoid are dropped where they end the network and do not change which output is
largest.

## Computed at once

Where none of their inputs depends on the sample, these are computed while the model is read:
"""


ERRORS_HEAD = """# Error codes

Written by `make docs` from `snnconvert/codes.py`; `snnconvert explain E120` tells one of them. An error is one line
(where, what, got and expected) and a hint; the exit status follows from the first digit:

| codes | kind | exit status |
|---|---|---|
| E0.., E3.. | usage, configuration, baseline | 2 |
| E1.. | the model | 3 |
| E2.. | data | 4 |
| E4.. | output and environment | 5 |
| E5.. | a limit, or a crash of a child | 7 |
| E9.. | a fault of snnconvert | 70 |
| W... | a warning: nothing ends | |
"""


def operators_page() -> str:
    """Return the page in Markdown."""
    rows = []
    for name in sorted(READERS):
        reader = READERS.get(name)
        first, _, rest = " ".join((reader.__doc__ or "").split()).partition(" Restrictions: ")
        rows.append(f"| {name} | {_becomes(first)} | {rest.rstrip('.') or 'none'} |")
    refused = [f"| {name} | {reason} |" for name, reason in sorted(REASONS.items())]
    constant = ", ".join(sorted({*FOLDERS, "Shape", "Constant"}))
    return HEAD + "\n".join(rows) + "\n" + REFUSED + "\n".join(refused) + "\n" + CONSTANT + constant + ".\n"


def errors_page() -> str:
    """Return the page of error codes in Markdown."""
    rows = [f"## {code}: {each.title}\n\n{each.meaning}\n\n{each.advice}\n" for code, each in CODES.items()]
    return ERRORS_HEAD + "\n" + "\n".join(rows)


def _becomes(sentence: str) -> str:
    """Return ``X`` of a docstring ``Read NAME as X.`` or ``Read NAME: X.``."""
    return re.sub(r"^Read .*?( as |: )", "", sentence).rstrip(".").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(operators_page(), encoding="utf-8")
    ERRORS.write_text(errors_page(), encoding="utf-8")
    for name, command in PICTURES.items():
        if main(["-q", *command.split(), "--plot", str(PAGE.with_name(name))]):
            raise SystemExit(name)
