"""Reads a step model back into the spiking network that it deploys.

What time adds to the network is taken away again: a layer of neurons becomes a rectifier of its current, a pool that
counts the maximum of its input, and what is left is read as any ONNX network is, with the same checks. The metadata say
which values these are; it is believed only where the file agrees: the function of each layer must be the one that its
neuron writes. That the network read is the one in the file is for callers to measure (ONNX Runtime against the engine).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from snnconvert.errors import ModelError, UsageError
from snnconvert.export.metadata import OlderVersion, metadata_of, require_states, schedule_of, stop_lead_of
from snnconvert.export.rejoined import rejoined
from snnconvert.fold.max_pool import Pooling
from snnconvert.graph import Graph
from snnconvert.load.asked import Asked
from snnconvert.load.ends import read_input
from snnconvert.load.onnx_file import OnnxFile, decode, parse, validate
from snnconvert.load.onnx_graph import build_graph
from snnconvert.measure.fan_out import unpacked_numbers
from snnconvert.network import Encoding, SpikingNetwork
from snnconvert.neurons import Neuron, make_neuron
from snnconvert.neurons.neuron import DOMAIN

HINT = "the bundle is not as it was written: make it again"
OLDER = "it was written by an older version: convert the network again"


@dataclass(frozen=True)
class Deployed:
    """The spiking network of a step model, its metadata, and the digest of the file."""

    network: SpikingNetwork
    about: Mapping[str, Any]
    sha256: str


def read_step_model(path: Path, content: bytes, sha256: str) -> Deployed:
    """Return the spiking network that the bytes of a step model hold; ``path`` names it in errors.

    Raises:
        ModelError: the file is broken or hostile (E101 to E124), or it is not what its metadata say (E125).
    """
    model = parse(path.name, content)
    try:
        about = metadata_of(model)
        layers: Mapping[str, Mapping[str, Any]] = about["network"]["layers"]
        plain, constants = _without_time(model, layers, about["network"]["output"])
        graph = _graph(path, sha256, plain, about["network"]["output"], about)
        neurons = {name: _neuron(model, each) for name, each in layers.items() if "neuron" in each}
        network = _network(graph, neurons, constants, about)
        require_states(model, about, network)
        return Deployed(network, about, sha256)
    except OlderVersion:
        raise ModelError("E125", f"{path.name}: its metadata do not say how it is read back", OLDER) from None
    except UsageError as problem:  # of a user's option, which a file has no business to hold wrongly
        raise ModelError("E125", f"{path.name}: not what its metadata say ({problem.message})"[:300], HINT) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, RuntimeError) as problem:
        raise ModelError("E125", f"{path.name}: not what its metadata say ({problem})"[:300], HINT) from None


def _without_time(
    model: onnx.ModelProto, layers: Mapping[str, Mapping[str, Any]], output: str
) -> tuple[onnx.ModelProto, dict[str, onnx.TensorProto]]:
    """Return the model without states and steps, and the tables of biases by name."""
    renamed: dict[str, str] = {}
    removed: set[str] = set()
    named: dict[str, str] = {}  # value -> node
    nodes: list[onnx.NodeProto] = []
    for name, layer in layers.items():
        if "neuron" in layer:
            removed.add(layer["sent"])
            nodes.append(helper.make_node("Relu", [layer["input"]], [layer["sent"]], name=name))
        else:
            for key, value in (("seen", "input"), ("result", "sent")):
                if layer[key] != layer[value]:
                    removed.add(layer["seen"] if key == "seen" else layer["sent"])
                    renamed[layer[key]] = layer[value]
            named[layer["sent"]] = name
    for proto in model.graph.node:
        if proto.domain == DOMAIN or not removed.isdisjoint(proto.output):
            continue
        kept = onnx.NodeProto()
        kept.CopyFrom(proto)
        kept.input[:] = [renamed.get(value, value) for value in proto.input]
        kept.output[:] = [renamed.get(value, value) for value in proto.output]
        kept.name = named.get(kept.output[0], proto.name) if kept.output else proto.name
        nodes.append(kept)
    needed = _needed(nodes, output)
    read = {value for proto in needed for value in proto.input}
    tables = {layer["biases"] for layer in layers.values() if layer.get("biases") is not None}
    entry = [value for value in model.graph.input if value.name == "input"]
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    weights = [tensor for tensor in model.graph.initializer if tensor.name in read]
    graph = helper.make_graph(needed, model.graph.name, entry, [result], weights)
    plain = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return plain, {tensor.name: tensor for tensor in model.graph.initializer if tensor.name in tables}


def _needed(nodes: list[onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """Return the nodes that a value needs, in the order given."""
    producers = {value: proto for proto in nodes for value in proto.output}
    wanted, found, waiting = {output}, set(), [output]
    while waiting:
        proto = producers.get(waiting.pop())
        if proto is None or id(proto) in found:
            continue
        found.add(id(proto))
        waiting += [value for value in proto.input if value not in wanted]
        wanted.update(proto.input)
    return [proto for proto in nodes if id(proto) in found]


def _graph(path: Path, sha256: str, plain: onnx.ModelProto, output: str, about: Mapping[str, Any]) -> Graph:
    file: OnnxFile = validate(path, sha256, plain, Asked())
    graph_input = read_input(file)
    if list(graph_input.shape) != about["input"]:
        raise ValueError(f"samples of shape {graph_input.shape}, not {about['input']}")
    graph = build_graph(file, graph_input, output)
    return rejoined(graph.replace(name=plain.graph.name, origins=(), notes=()))


def _neuron(model: onnx.ModelProto, layer: Mapping[str, Any]) -> Neuron:
    """Return the neuron model of a layer, where the file holds the function that it writes."""
    neuron = make_neuron(layer["neuron"], layer["parameters"])
    function = neuron.onnx_function()
    same = [each for each in model.functions if (each.domain, each.name) == (function.domain, function.name)]
    calls = {proto.op_type for proto in model.graph.node if proto.domain == DOMAIN and layer["state"] in proto.input}
    if same != [function] or calls != {function.name}:
        raise ValueError(f"the neurons with the state '{layer['state']}' are no '{neuron.name}'")
    return neuron


def _network(
    graph: Graph, neurons: Mapping[str, Neuron], tables: Mapping[str, onnx.TensorProto], about: Mapping[str, Any]
) -> SpikingNetwork:
    if neurons.keys() != {node.name for node in graph.activations}:
        raise ValueError("its neurons are others")
    layers, told = about["network"]["layers"], about["schedule"]
    biases, potentials = {}, {}
    for name, neuron in neurons.items():
        shape, initial = graph.shapes[name], about["states"][layers[name]["state"]]["initial"]
        if layers[name]["biases"] is not None:
            table = _table(tables[layers[name]["biases"]])
            if table.ndim != len(shape) + 1 or any(
                a not in (1, b) for a, b in zip(table.shape[1:], shape, strict=True)
            ):
                raise ValueError(f"biases of shape {tuple(table.shape)} for neurons of shape {shape}")
            biases[name] = table
        if isinstance(initial, dict):
            if tuple(initial["shape"]) != shape:
                raise ValueError(f"potentials of shape {initial['shape']} for neurons of shape {shape}")
            potentials[name] = _finite(torch.from_numpy(unpacked_numbers(initial).reshape(shape).copy()))
        elif initial != neuron.initial_values[0]:
            raise ValueError(f"an initial potential of {initial}")
    pooling = about["network"]["pooling"]
    if pooling not in get_args(Pooling):
        raise ValueError(f"pools '{pooling}'")
    scales = {name: _scale(each) for name, each in about["scales"].items() if name in neurons}
    lead = stop_lead_of(told)
    encoding = about["encoding"]
    if encoding not in get_args(Encoding):
        raise ValueError(f"an input '{encoding}'")
    network = SpikingNetwork(graph, neurons, scales, pooling, schedule_of(told), biases, potentials, lead, encoding)
    if network.latency != told["latency"]:
        raise ValueError(f"a latency of {told['latency']}")
    return network


def _table(tensor: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(decode(tensor, "snn.onnx", tensor.name).copy()).float()


def _scale(told: Mapping[str, Any]) -> Tensor:
    scale = _finite(torch.tensor(told["values"], dtype=torch.float32).reshape(told["shape"]))
    if bool((scale <= 0).any()):
        raise ValueError("a scale that is not over 0")
    return scale


def _finite(values: Tensor) -> Tensor:
    """Return numbers where each is finite."""
    if not bool(values.isfinite().all()):
        raise ValueError("numbers that are not finite")
    return values
