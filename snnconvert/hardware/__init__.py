"""Chips, one a file: what their public documents say they can hold, compared with a spiking network."""

import sys

from snnconvert.hardware.target import TARGETS, Row, Target
from snnconvert.registry import discover

__all__ = ["TARGETS", "Row", "Target"]

discover(sys.modules[__name__])
