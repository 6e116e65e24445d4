"""Neuron models, one a file: parameters, dynamics, and the analytic rate that the dynamics must tend to."""

import sys

from snnconvert.neurons.neuron import NEURONS, Neuron, State, make_neuron
from snnconvert.registry import discover

__all__ = ["NEURONS", "Neuron", "State", "make_neuron"]

discover(sys.modules[__name__])
