"""Writes docs/operators.md from the registry of operators: ``python docs/generate.py``."""

import re
from pathlib import Path

from snnconvert.load.constants import FOLDERS
from snnconvert.load.onnx_graph import REASONS
from snnconvert.operators import READERS

PAGE = Path(__file__).with_name("operators.md")
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


def _becomes(sentence: str) -> str:
    """Return ``X`` of a docstring ``Read NAME as X.`` or ``Read NAME: X.``."""
    return re.sub(r"^Read .*?( as |: )", "", sentence).rstrip(".").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(operators_page(), encoding="utf-8")
