"""SynSense Speck: nine cores of a convolution, integrate-and-fire neurons and a sum pool each."""

import math
from collections.abc import Sequence

from snnconvert.graph import Node, Role
from snnconvert.hardware.target import (
    TARGETS,
    Row,
    Target,
    input_of_events,
    largest,
    units_of_layers,
    weight_bits,
    weighted,
)
from snnconvert.network import SpikingNetwork
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.operators.average_pooling import AveragePool
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.reshape import Reshape

OVERVIEW = "sinabs, docs/speck/overview.md, Chip Resources"
FAQ = "sinabs, docs, FAQs: what kinds of operation can be used"
CORES = "sinabs 3.1, backend/dynapcnn/chips/dynapcnn.py, get_constraints"
SCALING = "sinabs 3.1, backend/dynapcnn/discretize.py: one scale for weights, biases and threshold of a layer"
KI = 1024
# of each core: Ki of kernels, and of neurons
MEMORIES = ((16, 64), (16, 64), (16, 64), (32, 32), (32, 32), (64, 16), (64, 16), (16, 16), (16, 16))
STATE_BITS = 16


def rows(network: SpikingNetwork) -> Sequence[Row]:
    """Compare a network with what sinabs' documents say of the chip."""
    layers, shapes = weighted(network), network.graph.shapes
    convolutions = [node for node in layers if isinstance(node.operator, Convolution)]
    windows = [node.operator.window for node in convolutions if isinstance(node.operator, Convolution)]
    kernels = [size for window in windows for size in window.kernel]
    strides = {step for window in windows for step in window.stride}
    pads = [pad for window in windows for pad in (*window.before, *window.after)]
    maps = [size for node in layers for size in shapes[node.name][1:]]
    inputs = [size for node in layers for size in shapes[node.inputs[0]][1:]]
    pools = {
        size
        for node in network.graph.nodes
        if isinstance(node.operator, AveragePool)
        for size in node.operator.window.kernel
    }
    others = sorted({type(node.operator).__name__ for node in network.graph.nodes if not _is_there(node)})
    neurons = sorted({each.name for each in network.neurons.values() if not isinstance(each, IntegrateAndFire)})
    return [
        input_of_events(network, OVERVIEW),
        Row("operators", "Conv, Linear, sum, pool", ", ".join(others) or "these", not others, FAQ),
        Row("neurons", "integrate-and-fire", ", ".join(neurons) or "these", not neurons, FAQ),
        weight_bits(network, OVERVIEW),
        _threshold(network),
        _shared_scale(network),
        _most("kernel", 16, largest(kernels)),
        Row("stride", "1, 2, 4, 8", _listed(strides), strides <= {1, 2, 4, 8}, OVERVIEW),
        _most("padding", 7, largest(pads)),
        _most("channels of a layer", 1024, largest([shapes[node.name][0] for node in layers])),
        _most("size of an input map", 128, largest(inputs)),
        _most("size of an output map", 64, largest(maps)),
        Row("pools", "1x1, 2x2, 4x4", _listed(pools), pools <= {1, 2, 4}, OVERVIEW),
        _most("layers that read one", 2, largest(_readers(network))),
        _most("cores", len(MEMORIES), len(layers)),
        _memory(network, layers),
    ]


def _most(what: str, limit: int, found: int) -> Row:
    return Row(what, f"at most {limit}", str(found), found <= limit, OVERVIEW)


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"


def _is_there(node: Node) -> bool:
    roles = (Role.SUM, Role.IDENTITY, Role.ACTIVATION)
    return isinstance(node.operator, Convolution | Linear | AveragePool | Reshape) or node.operator.role in roles


def _threshold(network: SpikingNetwork) -> Row:
    units, most = units_of_layers(network), 2 ** (STATE_BITS - 1) - 1
    if units is None:
        return Row("threshold", f"{STATE_BITS} bits", "no whole number", False, OVERVIEW)
    found = max(float(1 / unit.min()) for unit in units.values())
    return Row("threshold", f"at most {most}", f"{found:.0f}", found <= most, OVERVIEW)


def _shared_scale(network: SpikingNetwork) -> Row:
    units = units_of_layers(network)
    mixed = [] if units is None else [name for name, unit in units.items() if bool((unit != unit[0]).any())]
    found = "-" if units is None else f"more in {len(mixed)} layers" if mixed else "one"
    return Row("scales of a layer", "one", found, units is not None and not mixed, SCALING)


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
