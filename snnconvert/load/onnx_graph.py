"""Builds the graph from a validated ONNX model: constants fold away, every other node is read as an operator."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import AttributeProto, helper

from snnconvert.errors import ModelError
from snnconvert.graph import Graph, Node, Origin, Shape, sort_nodes
from snnconvert.load import constants as constant_folding
from snnconvert.load.onnx_file import Array, OnnxFile, decode
from snnconvert.operators import READERS, OnnxNode, Reading, Unsupported
from snnconvert.registry import did_you_mean

DYNAMIC_BATCH = 2  # stands for the batch while shapes are read; any number over 1 would do
MAX_ELEMENTS = 2**28  # of one sample of one value
REASONS = {
    "LeakyRelu": "negative outputs have no rate in a layer of plain neurons",
    "PRelu": "negative outputs have no rate in a layer of plain neurons",
    "Elu": "it is no rectifier",
    "Selu": "it is no rectifier",
    "Sigmoid": "it is no rectifier, and a gate that multiplies by it has no rate-coded form",
    "HardSigmoid": "it is no rectifier",
    "HardSwish": "it is no rectifier",
    "Gelu": "it is no rectifier",
    "Tanh": "it is no rectifier",
    "Erf": "it is no rectifier (GELU)",
    "LRN": "it divides by the activity of other channels",
    "InstanceNormalization": "it divides by a statistic of the sample",
    "LayerNormalization": "it divides by a statistic of the sample",
}


@dataclass(frozen=True)
class GraphInput:
    """The network's input as the file declares it; ``batch`` is None where it is free."""

    name: str
    shape: Shape
    batch: int | None


@dataclass
class _Building:
    """What has been read so far."""

    file: OnnxFile
    batch: int
    constants: dict[str, Array]
    shapes: dict[str, Shape] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)  # ONNX value -> name in the graph
    nodes: dict[str, Node] = field(default_factory=dict)
    origins: list[Origin] = field(default_factory=list)


def read_input(file: OnnxFile) -> GraphInput:
    """Find the one input that is no initializer.

    Raises:
        ModelError: there is not exactly one, or its shape or type cannot be used (E124).
    """
    where, graph = file.path.name, file.model.graph
    inputs = [value for value in graph.input if value.name not in file.constants]
    if len(inputs) != 1:
        names = ", ".join(f"'{value.name}'" for value in inputs) or "none"
        raise ModelError(
            "E124", f"{where}: one input expected, got {len(inputs)} ({names})", "export the network with one input"
        )
    value = inputs[0]
    kind = value.type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT:
        raise ModelError("E124", f"{where}: input '{value.name}' is not float32", "export the network in float32")
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    if len(sizes) < 2:
        raise ModelError("E124", f"{where}: input '{value.name}' has {len(sizes)} axes; batch and features expected")
    shape = []
    for axis, size in enumerate(sizes[1:], start=1):
        if size is None or size < 1:
            raise ModelError(
                "E124",
                f"{where}: input '{value.name}': axis {axis} has no fixed size",
                "export with fixed sizes; only the batch may be dynamic",
            )
        shape.append(size)
    batch = sizes[0] if sizes[0] and sizes[0] > 0 else None
    return GraphInput(value.name, tuple(shape), batch)


def read_output(file: OnnxFile) -> str:
    """Return the name of the one output."""
    outputs = [value.name for value in file.model.graph.output]
    if len(outputs) != 1:
        listed = ", ".join(f"'{name}'" for name in outputs) or "none"
        raise ModelError(
            "E124",
            f"{file.path.name}: one output expected, got {len(outputs)} ({listed})",
            "export the network with one output",
        )
    return outputs[0]


def strip_softmax(file: OnnxFile, output: str) -> tuple[str, tuple[int, ...]]:
    """Return the value before a final Softmax or LogSoftmax, and the positions of the nodes that are dropped."""
    nodes = file.model.graph.node
    producers = {name: position for position, node in enumerate(nodes) for name in node.output}
    dropped = []
    value = output
    while value in producers and nodes[producers[value]].op_type in ("Identity", "Softmax", "LogSoftmax"):
        position = producers[value]
        dropped.append(position)
        if nodes[position].op_type != "Identity":
            return str(nodes[position].input[0]), tuple(dropped)
        value = nodes[position].input[0]
    return output, ()


def build_graph(file: OnnxFile, graph_input: GraphInput, output: str, dropped: tuple[int, ...]) -> Graph:
    """Read every node that the output needs.

    Raises:
        ModelError: a node is unknown (E120), or is used in a way that cannot be taken (E123, E124).
    """
    batch = graph_input.batch or DYNAMIC_BATCH
    building = _Building(file, batch, dict(file.constants))
    building.shapes[graph_input.name] = graph_input.shape
    building.values[graph_input.name] = graph_input.name
    names: set[str] = {graph_input.name}
    needed = _needed(file, output)
    for position, proto in enumerate(file.model.graph.node):
        name = _node_name(proto, position, names)
        if position in dropped:
            building.origins.append(Origin(name, proto.op_type, "dropped: argmax does not need it"))
        elif position not in needed:
            building.origins.append(Origin(name, proto.op_type, "unused: the output does not need it"))
        else:
            _read_node(building, proto, name)
    if output not in building.values:
        raise ModelError("E124", f"{file.path.name}: output '{output}' does not depend on the input")
    notes = []
    if dropped:
        kind = file.model.graph.node[dropped[-1]].op_type
        notes.append(f"the final {kind} is dropped: it does not change which class is largest")
    result = building.values[output]
    return Graph(
        file.path.stem,
        graph_input.name,
        graph_input.shape,
        sort_nodes(building.nodes, result, graph_input.name),
        result,
        tuple(building.origins),
        tuple(notes),
    )


def _node_name(proto: onnx.NodeProto, position: int, taken: set[str]) -> str:
    wished = proto.name or (proto.output[0] if proto.output else "") or f"{proto.op_type}_{position}"
    name = wished if wished not in taken else f"{wished}#{position}"
    taken.add(name)
    return name


def _needed(file: OnnxFile, output: str) -> set[int]:
    """Return the positions of the nodes that the output needs."""
    where = file.path.name
    nodes = file.model.graph.node
    producers: dict[str, int] = {}
    for position, proto in enumerate(nodes):
        for name in proto.output:
            if name and (name in producers or name in file.constants):
                raise ModelError("E114", f"{where}: two nodes compute '{name}'")
            producers[name] = position
    needed: set[int] = set()
    stack = [output]
    while stack:
        found = producers.get(stack.pop())
        if found is not None and found not in needed:
            needed.add(found)
            stack.extend(nodes[found].input)
    return needed


def _attributes(proto: onnx.NodeProto, where: str) -> Mapping[str, object]:
    found: dict[str, object] = {}
    for attribute in proto.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) or attribute.ref_attr_name:
            raise ModelError(
                "E120", f"{where}: it holds a graph of its own (If, Loop, Scan)", "unroll it before export"
            )
        value = helper.get_attribute_value(attribute)
        is_tensor = attribute.type == AttributeProto.TENSOR
        found[attribute.name] = decode(value, where, attribute.name) if is_tensor else value
    return found


def _read_node(building: _Building, proto: onnx.NodeProto, name: str) -> None:
    where = f"{building.file.path.name}: node '{name}' ({proto.op_type})"
    for value in proto.input:
        if value and value not in building.values and value not in building.constants:
            raise ModelError("E114", f"{where}: reads '{value}', which nothing before it computes")
    attributes = _attributes(proto, where)
    if proto.op_type == "Constant":
        building.constants[proto.output[0]] = _constant(attributes, where)
        building.origins.append(Origin(name, proto.op_type, "constant"))
        return
    view = OnnxNode(
        name,
        proto.op_type,
        building.file.opset,
        attributes,
        tuple(proto.input),
        tuple(building.constants.get(value) for value in proto.input),
        tuple(building.shapes.get(value) for value in proto.input),
        building.batch,
    )
    try:
        if _fold(building, view, proto, where):
            return
        reading = _read(view, proto)
    except Unsupported as refusal:
        raise ModelError("E123", f"{where}: {refusal.reason}", refusal.hint) from None
    except (ValueError, IndexError, TypeError, KeyError, OverflowError) as problem:
        raise ModelError("E123", f"{where}: malformed ({problem})") from None
    if any(proto.output[1:]):
        extra = [value for value in proto.output[1:] if value]
        if any(value in other.input for other in building.file.model.graph.node for value in extra):
            raise ModelError("E123", f"{where}: its second output is used")
    node = Node(name, reading.operator, tuple(building.values[value] for value in reading.inputs), (name,))
    try:
        shape = reading.operator.infer_shape([building.shapes[value] for value in reading.inputs])
    except ValueError as problem:
        raise ModelError("E124", f"{where}: {problem}") from None
    if float(np.prod([float(size) for size in shape])) > MAX_ELEMENTS:
        raise ModelError("E122", f"{where}: one sample has shape {shape}, more than {MAX_ELEMENTS} elements")
    building.nodes[name] = node
    building.values[proto.output[0]] = name
    building.shapes[proto.output[0]] = shape
    building.origins.append(Origin(name, proto.op_type))


def _constant(attributes: Mapping[str, object], where: str) -> Array:
    for key, kind in (
        ("value", None),
        ("value_int", np.int64),
        ("value_ints", np.int64),
        ("value_float", np.float32),
        ("value_floats", np.float32),
    ):
        if key in attributes:
            return np.asarray(attributes[key], dtype=kind)
    raise ModelError("E123", f"{where}: a constant without a numeric value")


def _fold(building: _Building, view: OnnxNode, proto: onnx.NodeProto, where: str) -> bool:
    """Compute the node now if it does not depend on the sample; Shape never does."""
    if view.op_type == "Shape" and view.shapes[0] is not None:
        shape = np.asarray((view.batch, *view.shapes[0]), np.int64)
        first, last = view.integer("start", 0), view.integer("end", len(shape))
        value: Array = shape[first:last]
    elif view.op_type == "Shape":
        value = np.asarray(view.constant(0).shape, np.int64)
    elif any(shape is not None for shape in view.shapes):
        return False
    else:
        folded = constant_folding.fold(view)
        if folded is None:
            raise ModelError("E120", f"{where}: a constant is computed by an operator that is not supported")
        value = folded
    building.constants[proto.output[0]] = value
    building.origins.append(Origin(view.name, proto.op_type, "constant"))
    return True


def _read(view: OnnxNode, proto: onnx.NodeProto) -> Reading:
    if proto.domain not in ("", "ai.onnx"):
        raise ModelError(
            "E120",
            f"node '{view.name}' ({proto.op_type}): operator of the domain '{proto.domain}'",
            "export to standard ONNX operators",
        )
    reader = READERS.get(proto.op_type)
    if reader is None:
        if proto.op_type in ("Softmax", "LogSoftmax"):
            raise Unsupported("only a final one can be dropped", "it divides by the sum of other activations")
        reason = REASONS.get(proto.op_type, "no exact spiking form is known for it")
        raise ModelError(
            "E120",
            f"node '{view.name}': operator {proto.op_type} is not supported: {reason}",
            did_you_mean(proto.op_type, [*READERS])
            if proto.op_type not in REASONS
            else "replace it by ReLU and train again, or convert a network without it",
        )
    return reader(view)
