"""Intel Loihi 2: neuron cores that run microcode, and messages that may carry a number."""

from collections.abc import Sequence

from snnconvert.hardware.target import TARGETS, Row, Target, connections_of, neurons_of
from snnconvert.network import SpikingNetwork

OVERVIEW = "open-neuromorphic.org/neuromorphic-computing/hardware/loihi-2-intel"
NEURONS, SYNAPSES = 10**6, 120 * 10**6


def rows(network: SpikingNetwork) -> Sequence[Row]:
    """Compare a network with what is published of the chip; a limit that is not published is not compared."""
    neurons, connections = neurons_of(network), connections_of(network)
    kinds = sorted({each.name for each in network.neurons.values()})
    return [
        Row("neurons of a chip", f"at most {NEURONS:,}", f"{neurons:,}", neurons <= NEURONS, OVERVIEW),
        Row("synapses, none shared", f"at most {SYNAPSES:,}", f"{connections:,}", connections <= SYNAPSES, OVERVIEW),
        Row("neuron models", "any, in microcode", ", ".join(kinds), True, OVERVIEW),
        Row("spikes", "also graded", _spikes(network), True, OVERVIEW),
    ]


def _spikes(network: SpikingNetwork) -> str:
    return ", ".join(sorted({each.spikes for each in network.neurons.values()}))


TARGETS.register("loihi2")(Target("Intel Loihi 2", rows))
