"""The spiking network in normal form: binary spikes, threshold 1, all scaling in the synaptic weights."""

from snnconvert.network.fixed_point import fixed_point, on_grid
from snnconvert.network.normal_form import NormalForm, normal_form
from snnconvert.network.schedule import Schedule
from snnconvert.network.spiking import Encoding, SpikingNetwork, Traffic, mean_over_time, spiking_network
from snnconvert.network.weights import Weights, quantised

__all__ = [
    "Encoding",
    "NormalForm",
    "Schedule",
    "SpikingNetwork",
    "Traffic",
    "Weights",
    "fixed_point",
    "mean_over_time",
    "normal_form",
    "on_grid",
    "quantised",
    "spiking_network",
]
