"""Shape arithmetic: evaluates, in numpy, the nodes of a model that do not depend on the sample.

Exporters write Shape/Gather/Concat chains around reshapes and pads; they fold away here, under a limit on their size.
A value is the one that ONNX Runtime computes, or there is none: where ONNX leaves open what an overflow gives, the
node is refused. A new file in this folder is found by itself.
"""

import sys

from snnconvert.load.constants.folder import FOLDERS, Lost, fold
from snnconvert.load.constants.work import work
from snnconvert.registry import discover

__all__ = ["FOLDERS", "Lost", "fold", "work"]

discover(sys.modules[__name__])
