"""Chips, one a file: what their public documents say they can hold, compared with a spiking network."""

import sys

from snnconvert.hardware.target import TARGETS, Row, Subject
from snnconvert.registry import discover

__all__ = ["TARGETS", "Row", "Subject"]

discover(sys.modules[__name__])
