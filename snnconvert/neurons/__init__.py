"""Neuron models, one a file: parameters, dynamics, and the analytic rate that the dynamics must tend to."""

import sys

from snnconvert.neurons.neuron import NEURONS, Neuron
from snnconvert.registry import discover

__all__ = ["NEURONS", "Neuron"]

discover(sys.modules[__name__])
