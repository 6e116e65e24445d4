"""A starting point for ``convert --config``: every option with its default, and what it is for."""

import os
from pathlib import Path

from snnconvert.cli.convert import command
from snnconvert.config import build_job
from snnconvert.errors import OutputError
from snnconvert.option_paths import OPTION_PATHS
from snnconvert.yaml_document import yaml_text

HEAD = """\
# One conversion. `snnconvert --config {name}` runs it; options of the command line win over it.
# Paths are relative to this file.
"""
SAMPLES = "SAMPLES"  # what the user has to fill in


def starter(model: Path, destination: Path) -> str:
    """Return a YAML job for a model, to be written to ``destination``, with a comment for each option."""
    help_of = {
        OPTION_PATHS[each.name]: getattr(each, "help", None) for each in command.params if each.name in OPTION_PATHS
    }
    path = os.path.relpath(model, destination.parent)
    lines, section = [HEAD.format(name=destination.name)], ""
    for dotted, value in build_job({"model": path, "calib": {"path": SAMPLES}}, "starter").dotted().items():
        parent, _, key = dotted.rpartition(".")
        if parent != section and parent:
            lines.append(f"{parent}:\n")
        section = parent
        comment = help_of.get(dotted)
        told = f"{'  ' if parent else ''}{key}: {yaml_text(value)}"
        lines.append(f"{told:<34}  # {comment}\n" if comment else f"{told}\n")
    return "".join(lines)


def write_starter(model: Path, destination: Path) -> None:
    """Write the starting point to a file that is not there yet.

    Raises:
        OutputError: there is a file already, or it cannot be written (E401).
    """
    text = starter(model, destination)
    try:
        with destination.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise OutputError("E401", f"{destination}: is there already", "give another name") from None
    except OSError as problem:
        raise OutputError("E401", f"{destination}: cannot be written ({problem.strerror})") from None
