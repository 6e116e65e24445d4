"""SynSense Speck: nine cores of a convolution, integrate-and-fire neurons and a sum pool each."""

import math
from collections.abc import Sequence

from snnconvert.graph import Node
from snnconvert.hardware.target import (
    TARGETS,
    Row,
    Subject,
    Target,
    among,
    input_of_events,
    most,
    operators,
    potentials,
    shared_scale,
    threshold,
    weight_bits,
    weighted,
)
from snnconvert.network import SpikingNetwork
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.operators.average_pooling import AveragePool
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear

OVERVIEW = "sinabs, docs/speck/overview.md, Chip Resources"
FAQ = "sinabs, docs, FAQs: what kinds of operation can be used"
SQUARE = "sinabs 3.1, backend/dynapcnn/dynapcnn_layer.py: kernels of convolutions and pools are square"
CORES = "sinabs 3.1, chips/dynapcnn.py, get_constraints"
SETTINGS = "sinabs 3.1, chips/dynapcnn.py, get_dynapcnn_layer_config_dict: no groups, no dilation can be set"
SCALING = "sinabs 3.1, backend/dynapcnn/discretize.py: one scale for weights, biases and threshold of a layer"
KI = 1024
# of each core: Ki of kernels, and of neurons
MEMORIES = ((16, 64), (16, 64), (16, 64), (32, 32), (32, 32), (64, 16), (64, 16), (16, 16), (16, 16))
STATES = 2**15 - 1  # the largest of 16 bits


def rows(subject: Subject) -> Sequence[Row]:
    """Compare a network with what sinabs' documents say of the chip."""
    network = subject.network
    layers, shapes = weighted(network), network.graph.shapes
    convolutions = [node.operator for node in layers if isinstance(node.operator, Convolution)]
    pools = [node.operator.window for node in network.graph.nodes if isinstance(node.operator, AveragePool)]
    windows = [each.window for each in convolutions]
    oblong = sorted({"x".join(map(str, each.kernel)) for each in (*windows, *pools) if len({*each.kernel}) > 1})
    neurons = sorted({each.name for each in network.neurons.values() if not isinstance(each, IntegrateAndFire)})
    groups = [each for op in convolutions for each in (op.groups, *op.window.dilation)]
    return [
        input_of_events(network, OVERVIEW),
        operators(network, "Conv, Linear, sum, pool", FAQ),
        Row("neurons", "integrate-and-fire", ", ".join(neurons) or "these", not neurons, FAQ),
        weight_bits(network, OVERVIEW),
        threshold(network, STATES, OVERVIEW),
        *potentials(subject, STATES, OVERVIEW),
        shared_scale(network, SCALING),
        most("kernel", 16, [size for each in windows for size in each.kernel], OVERVIEW),
        Row("shape of kernels", "square", ", ".join(oblong) or "square", not oblong, SQUARE),
        among("stride", (1, 2, 4, 8), [step for each in windows for step in each.stride], OVERVIEW),
        most("padding", 7, [pad for each in windows for pad in (*each.before, *each.after)], OVERVIEW),
        among("groups, dilation", (1,), groups, SETTINGS),
        most("channels of a layer", 1024, [shapes[node.name][0] for node in layers], OVERVIEW),
        most("size of an input map", 128, [size for node in layers for size in shapes[node.inputs[0]][1:]], OVERVIEW),
        most("size of an output map", 64, [size for node in layers for size in shapes[node.name][1:]], OVERVIEW),
        among("pools", (1, 2, 4), [size for each in pools for size in each.kernel], OVERVIEW),
        most("layers that read one", 2, _readers(network), OVERVIEW),
        most("cores", len(MEMORIES), len(layers), OVERVIEW),
        _memory(network, layers),
    ]


def _readers(network: SpikingNetwork) -> list[int]:
    """Return how many weighted layers read each layer of neurons, through what has no weights."""
    graph = network.graph

    def ends(node: Node) -> bool:
        return isinstance(node.operator, Convolution | Linear) or node.name in network.neurons

    def count(name: str) -> int:
        readers = [node for node in graph.nodes if name in node.inputs]
        return sum(1 if ends(each) else count(each.name) for each in readers)

    return [count(name) for name in network.neurons]


def _memory(network: SpikingNetwork, layers: Sequence[Node]) -> Row:
    """Tell whether each layer finds a core with room for its kernels and neurons."""
    needs = []
    for node in layers:
        outputs, inputs, *kernel = node.operator.weight.shape  # type: ignore[attr-defined]
        kernels = inputs * 2 ** (_bits(math.prod(kernel)) + _bits(outputs))
        needs.append((kernels, math.prod(network.graph.shapes[node.name])))
    fitting = [
        [at for at, (kernel, neuron) in enumerate(MEMORIES) if need[0] <= kernel * KI and need[1] <= neuron * KI]
        for need in needs
    ]
    placed = _placed(fitting)
    alone = sum(not each for each in fitting)
    found = "each has one" if placed else f"{alone} layers fit none" if alone else "not one for each"
    return Row("kernel and neuron memory", "a core's for each layer", found, placed, CORES)


def _bits(number: int) -> int:
    return math.ceil(math.log2(number)) if number > 1 else 0


def _placed(fitting: Sequence[Sequence[int]]) -> bool:
    """Tell whether every layer gets a core of its own, out of those that it fits (augmenting paths)."""
    taken: dict[int, int] = {}

    def place(layer: int, seen: set[int]) -> bool:
        for core in fitting[layer]:
            if core not in seen:
                seen.add(core)
                if core not in taken or place(taken[core], seen):
                    taken[core] = layer
                    return True
        return False

    return len(fitting) <= len(MEMORIES) and all(place(layer, set()) for layer in range(len(fitting)))


TARGETS.register("speck")(Target("SynSense Speck 2e, 2f", rows))
