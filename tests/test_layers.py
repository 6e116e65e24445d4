"""House rule: a package imports only from packages above it in this list."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import snnconvert

PACKAGE = Path(snnconvert.__file__).parent
LAYERS = [
    "errors",
    "codes",
    "registry",
    "compiled",
    "memory",
    "processes",
    "progress",
    "yaml_document",
    "graph",
    "operators",
    "neurons",
    "load",
    "data",
    "fold",
    "calibrate",
    "network",
    "simulate",
    "measure",
    "convert",
    "hardware",
    "export",
    "report",
    "gate",
    "option_paths",
    "config",
    "recipes",
    "conversion",
    "explanation",
    "bundle",
    "exporting",
    "comparing",
    "costing",
    "checkpoints",
    "tracing",
    "bench",
    "workers",
    "evaluation",
    "pipeline",
    "inspection",
    "checking",
    "api",
    "batch",
    "doctor",
    "cli",
]


def files_of(layer: str) -> list[Path]:
    module = PACKAGE / f"{layer}.py"
    return [module] if module.exists() else sorted((PACKAGE / layer).rglob("*.py"))


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of every layer that a file imports, also in functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "(relative)"
            modules = [node.module or ""]
            if node.module == "snnconvert":
                modules = [f"snnconvert.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            root, _, rest = module.partition(".")
            if root == "snnconvert" and rest and not rest.startswith("__"):
                yield node.lineno, rest.partition(".")[0]


def violations(layer: str, source: str) -> list[str]:
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    return [f"line {line}: {name}" for line, name in imported(source) if name not in allowed]


@pytest.mark.parametrize(
    "source",
    [
        "from snnconvert.cli import main",
        "import snnconvert.report.page",
        "from snnconvert import network",
        "def f():\n    from snnconvert.load import load_model",
        "if TYPE_CHECKING:\n    from snnconvert.operators import OnnxWriter",
        "from . import operator",
    ],
)
def test_an_import_from_below_is_seen(source: str) -> None:
    assert violations("graph", source)


def test_an_import_from_above_or_within_is_allowed() -> None:
    source = "from snnconvert.errors import ModelError\nfrom snnconvert.graph.scale import ones\nimport numpy\n"
    assert violations("graph", source + "from snnconvert import __version__\n") == []


@pytest.mark.parametrize("layer", LAYERS)
def test_layer_imports_only_from_above(layer: str) -> None:
    files = files_of(layer)
    if not files:
        pytest.skip(f"there is no {layer} yet")
    found = {file.name: violations(layer, file.read_text("utf-8")) for file in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_every_module_has_a_layer() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or list(path.glob("*.py"))}
    assert there - {"__init__", "__main__", "models"} <= set(LAYERS)


def test_the_table_for_contributors_is_this_list() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)(?:\.py|/)`", row)]
    assert named == LAYERS
