"""Conversion methods: from activation statistics to the scale of every activation; corrections on real spikes."""

import sys

from snnconvert.convert.method import METHODS, Task, dead_layers
from snnconvert.registry import discover

__all__ = ["METHODS", "Task", "dead_layers"]

discover(sys.modules[__name__])
