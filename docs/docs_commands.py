"""The verbs as one group that sphinx-click can walk: the command line itself loads a verb when it is called."""

import copy
import importlib

import click

from snnconvert.cli import VERBS


def as_written(name: str) -> click.Command:
    """Return a verb whose examples are no markup."""
    verb = copy.copy(importlib.import_module(f"snnconvert.cli.{name}").command)
    verb.epilog = (verb.epilog or "").replace("*", "\\*")
    return verb


documented = click.Group("snnconvert", commands={name: as_written(name) for name in VERBS})
