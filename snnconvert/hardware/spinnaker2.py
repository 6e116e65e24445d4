"""SpiNNaker2: ARM cores with memory of their own and accelerators; what a neuron is, software says."""

from collections.abc import Sequence

from snnconvert.hardware.target import TARGETS, Row, Target, neurons_of, parameters_of
from snnconvert.network import SpikingNetwork

OVERVIEW = "open-neuromorphic.org/neuromorphic-computing/hardware/spinnaker-2-university-of-dresden"
SRAM, NEURONS = 19 * 10**6, 10**6
STATE = 4  # bytes of a potential


def rows(network: SpikingNetwork) -> Sequence[Row]:
    """Compare a network with what is published of the chip; a limit that is not published is not compared."""
    neurons, parameters = neurons_of(network), parameters_of(network)
    size = parameters + STATE * neurons
    kinds = sorted({each.name for each in network.neurons.values()})
    return [
        Row("neurons of a chip", f"at most {NEURONS:,}", f"{neurons:,}", neurons <= NEURONS, OVERVIEW),
        Row("bytes in SRAM", f"at most {SRAM:,}", f"{size:,} with 8-bit weights", size <= SRAM, OVERVIEW),
        Row("neuron models", "any, in software", ", ".join(kinds), True, OVERVIEW),
    ]


TARGETS.register("spinnaker2")(Target("SpiNNaker2", rows))
