"""The engine: runs a spiking network over time; nothing else in the package knows how time is run."""

from snnconvert.simulate.engine import Readout, Simulator

__all__ = ["Readout", "Simulator"]
