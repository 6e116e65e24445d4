"""How Sphinx builds the pages: ``make docs`` writes build/docs, and fails on any warning."""

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # of docs_commands

project = "snnconvert"
release = importlib.metadata.version("snnconvert")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["build"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
html_theme = "furo"
html_title = f"snnconvert {release}"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")  # of docs/: files of the repository, which are no pages


def setup(app: Any) -> None:
    """Let links to the results stay in these pages, and those to other files of the repository become words."""

    def read(_app: Any, _name: str, source: list[str]) -> None:
        source[0] = OUTSIDE.sub(r"\1", source[0].replace("(../benchmarks/RESULTS.md", "(results.md"))

    app.connect("source-read", read)
