"""SpiNNaker2: ARM cores with memory of their own and accelerators; what a neuron is, software says."""

from collections.abc import Sequence

from snnconvert.hardware.target import (
    TARGETS,
    Row,
    Subject,
    Target,
    connections_of,
    most,
    neurons_of,
    operators,
    parameters_of,
    weight_bits,
)
from snnconvert.operators.average_pooling import Mean

OVERVIEW = "open-neuromorphic.org/neuromorphic-computing/hardware/spinnaker-2-university-of-dresden"
IMPORT = "gitlab.com/spinnaker2/py-spinnaker2, src/spinnaker2/s2_nir.py: what is imported; weights in -127 to 127"
STATE = 4  # bytes of a potential


def rows(subject: Subject) -> Sequence[Row]:
    """Compare a network with what is published of the chip; a limit that is not published is not compared."""
    network = subject.network
    neurons = neurons_of(network)
    kinds = sorted({each.name for each in network.neurons.values()})
    return [
        most("neurons of a chip", 152 * 10**3, neurons, OVERVIEW),
        most("synapses, none shared", 152 * 10**6, connections_of(network), OVERVIEW),
        most("bytes, 8-bit weights", 19 * 10**6, parameters_of(network) + STATE * neurons, OVERVIEW),
        operators(network, "Conv, Linear, sum, pool", IMPORT, (Mean,)),
        weight_bits(network, IMPORT),
        Row("neuron models", "any, in software", ", ".join(kinds), True, OVERVIEW),
    ]


TARGETS.register("spinnaker2")(Target("SpiNNaker2", rows))
