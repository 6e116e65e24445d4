"""Operators, one family a file: read from ONNX, written back, evaluated in torch, rescaled, counted.

A new file in this folder is found by itself; the contract tests then run on its :func:`examples`.
"""

import sys

from snnconvert.graph import OnnxWriter
from snnconvert.operators.onnx_node import READERS, OnnxNode, Reading, Unsupported
from snnconvert.registry import discover

__all__ = ["READERS", "OnnxNode", "OnnxWriter", "Reading", "Unsupported"]

discover(sys.modules[__name__])
