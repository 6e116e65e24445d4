"""The spiking network in normal form: binary spikes, threshold 1, all scaling in the synaptic weights."""

from snnconvert.network.normal_form import NormalForm, normal_form
from snnconvert.network.schedule import Schedule
from snnconvert.network.spiking import SpikingNetwork, Traffic, spiking_network

__all__ = ["NormalForm", "Schedule", "SpikingNetwork", "Traffic", "normal_form", "spiking_network"]
