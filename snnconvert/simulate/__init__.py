"""The engine: runs a spiking network over time; nothing else in the package knows how time is run."""

from snnconvert.simulate.engine import Readout, Simulator
from snnconvert.simulate.layerwise import LayerRun, Layerwise, bytes_a_sample
from snnconvert.simulate.stopping import leads

__all__ = ["LayerRun", "Layerwise", "Readout", "Simulator", "bytes_a_sample", "leads"]
