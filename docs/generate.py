"""Writes the pages of reference that come from the code, and the pictures of neurons: ``python docs/generate.py``."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from snnconvert import convert
from snnconvert.batch.schema import Execution
from snnconvert.cli import main
from snnconvert.cli.convert import command
from snnconvert.codes import CODES
from snnconvert.config import Job
from snnconvert.convert import corrections, refit
from snnconvert.convert.method import METHODS
from snnconvert.load.constants import FOLDERS
from snnconvert.load.onnx_graph import REASONS
from snnconvert.neurons import NEURONS
from snnconvert.operators import READERS
from snnconvert.option_paths import OPTION_PATHS

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
domains. Softmax, LogSoftmax and Sigmoid are dropped where they end the network, or only changes of shape follow, and do
not change which output is largest. A network that ends in a sigmoid of one output is a classifier of two classes: class
1 where the output is positive without it.

## Computed at once

Where none of their inputs depends on the sample, these are computed while the model is read:
"""

NEURONS_PAGE = Path(__file__).with_name("neurons.md")
NEURONS_HEAD = """# Neurons

Written by `make docs` from `snnconvert/neurons/`. `--neuron NAME` chooses one for a conversion, `--set neuron.k=4` sets
a parameter; `snnconvert neuron NAME --current 0.3` runs one by itself. In a network potentials and currents are in
thresholds, and time in steps.
"""
METHODS_PAGE = Path(__file__).with_name("methods.md")
METHODS_HEAD = """# Methods and corrections

Written by `make docs` from `snnconvert/convert/`: the algebra, and where it comes from. [Keeping the accuracy at few
time steps](fidelity.md) tells which to use when, and what they gave.
"""
CONFIGURATION = Path(__file__).with_name("configuration.md")
CONFIGURATION_HEAD = """# Configuration

Written by `make docs` from the schema. A job is one conversion: `--config job.yaml` runs one, a bundle's `config.yaml`
is one, with every option resolved, and `--set PATH=VALUE` sets any option by its path. In a batch file `defaults` and
each of `jobs` hold the same options; `snnconvert schema batch` prints the JSON Schema, for editors.

## Options of a job

| path | default | option | what it is |
|---|---|---|---|
"""
BATCH_HEAD = """
## Keys of a batch file

`version`, `output`, `defaults`, `matrix`, `jobs`, `execution`: [Many networks, or many options](batch.md) has an
example, and says what each does. `gate` (in `defaults` or a job) compares with a baseline, as [In CI](ci.md) says. Of
`execution`:

"""
KEYS_HEAD = """| key | default |
|---|---|
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


def neurons_page() -> str:
    """Return the page of neurons in Markdown."""
    parts = [NEURONS_HEAD]
    for name in NEURONS:
        model: Any = NEURONS[name]
        first = " ".join(inspect.getdoc(model).split("\n\n")[0].split()).replace("``", "`")
        module = inspect.getdoc(sys.modules[model.__module__])
        parts.append(f"## {name}\n\n{first} It sends {model.spikes} spikes.\n\n```text\n{module}\n```\n")
        rows = [
            f"| `{each.name}` | {each.default} | {each.metadata.get('range') or 'subtract or zero'} |"
            for each in dataclasses.fields(model)
        ]
        parts.append("\n".join(["| parameter | default | range (unit) |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def methods_page() -> str:
    """Return the page of methods and corrections in Markdown: what the files that hold them say."""
    parts, named = [METHODS_HEAD], set()
    for each in sorted(pkgutil.iter_modules(convert.__path__), key=lambda found: found.name):
        module = importlib.import_module(f"snnconvert.convert.{each.name}")
        names = re.findall(r'@METHODS.register\("(.*?)"\)', inspect.getsource(module))
        named |= {*names}
        if names or each.name == "auto":
            titles = ", ".join(f"`--method {name}`" for name in names or ["auto"])
            parts.append(f"## {titles}\n\n```text\n{inspect.getdoc(module)}\n```\n")
    if named != {*METHODS}:
        raise ValueError(f"methods without a page: { ({*METHODS} ^ named) }")
    for title, module in (("`--correct`", corrections), ("`--correct weights`", refit)):
        parts.append(f"## {title}\n\n```text\n{inspect.getdoc(module)}\n```\n")
    return "\n".join(parts)


def configuration_page() -> str:
    """Return the page of options and of keys of a batch file in Markdown."""
    helps: dict[str, str] = {each.name: each.help or "" for each in command.params if hasattr(each, "help")}
    written = {each.name: each.opts[-1] for each in command.params}
    options = {path: name for name, path in OPTION_PATHS.items()}
    rows = []
    for path, default in _fields(Job, ""):
        name = options.get(path, "")
        told = re.sub(r" *\[[^]]*\]$", "", helps.get(name, "")).rstrip(".") or TOLD[path]
        option = f"`{written[name]}`" if name else ""
        rows.append(f"| `{path}` | {default} | {option} | {_cell(told)} |")
    keys = [f"| `{path}` | {default} |" for path, default in _fields(Execution, "execution.")]
    told = inspect.getdoc(Execution).replace("``", "`").replace("None", "null")
    return CONFIGURATION_HEAD + "\n".join(rows) + "\n" + f"{BATCH_HEAD}{told}\n\n{KEYS_HEAD}" + "\n".join(keys) + "\n"


TOLD = {  # what has no option of the command line
    "model": "The file: ONNX, TorchScript or torch.export; on the command line the first word",
    "calib.batch_size": "Samples that go through the network together while it is calibrated",
    "convert.correct_samples": "Calibration samples that corrections are fitted on, at most",
    "neuron": "Parameters of the neuron model, such as neuron.k: see the page of neurons",
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted path and the default of every field."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "required" if field.is_required() else f"`{_plain(field.get_default())}`"


def _plain(value: object) -> str:
    """Write a default as YAML would."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _becomes(sentence: str) -> str:
    """Return ``X`` of a docstring ``Read NAME as X.`` or ``Read NAME: X.``."""
    return re.sub(r"^Read .*?( as |: )", "", sentence).rstrip(".").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(operators_page(), encoding="utf-8")
    ERRORS.write_text(errors_page(), encoding="utf-8")
    NEURONS_PAGE.write_text(neurons_page(), encoding="utf-8")
    METHODS_PAGE.write_text(methods_page(), encoding="utf-8")
    CONFIGURATION.write_text(configuration_page(), encoding="utf-8")
    for name, command in PICTURES.items():
        if main(["-q", *command.split(), "--plot", str(PAGE.with_name(name))]):
            raise SystemExit(name)
