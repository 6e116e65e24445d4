"""Intel Loihi 2: neuron cores that run microcode, and messages that may carry a number."""

from collections.abc import Sequence

from snnconvert.hardware.target import (
    TARGETS,
    Row,
    Subject,
    Target,
    connections_of,
    most,
    neurons_of,
    potentials,
    shared_scale,
    threshold,
    weight_bits,
)

OVERVIEW = "open-neuromorphic.org/neuromorphic-computing/hardware/loihi-2-intel"
WEIGHTS = "lava-nc/lava, src/lava/utils/weightutils.py: a standard 8-bit signed weight matrix"
LIF = (
    "lava-nc/lava, src/lava/proc/lif/models.py, fixed-point LIF: thresholds of 17 bits, potentials of 24, 6 of these "
    "under the unit of weights"
)
SCALING = "lava-nc/lava, src/lava/proc/dense/process.py: one weight exponent; lif/models.py: one threshold"
LARGEST = 2**17 - 1  # of thresholds and of potentials, in units of weights


def rows(subject: Subject) -> Sequence[Row]:
    """Compare a network with what is published of the chip; a limit that is not published is not compared."""
    network = subject.network
    kinds = sorted({each.name for each in network.neurons.values()})
    spikes = sorted({each.spikes for each in network.neurons.values()})
    return [
        most("neurons of a chip", 10**6, neurons_of(network), OVERVIEW),
        most("synapses, none shared", 120 * 10**6, connections_of(network), OVERVIEW),
        weight_bits(network, WEIGHTS),
        threshold(network, LARGEST, LIF),
        *potentials(subject, LARGEST, LIF),
        shared_scale(network, SCALING),
        Row("neuron models", "any, in microcode", ", ".join(kinds), True, OVERVIEW),
        Row("spikes", "graded, up to 32 bits", ", ".join(spikes), True, OVERVIEW),
    ]


TARGETS.register("loihi2")(Target("Intel Loihi 2", rows))
