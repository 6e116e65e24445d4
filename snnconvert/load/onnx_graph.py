"""Builds the graph from a validated ONNX model: constants fold away, every other node is read as an operator."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import onnx
from onnx import AttributeProto, helper

from snnconvert.errors import ModelError
from snnconvert.graph import Graph, Node, Origin, Shape, sort_nodes
from snnconvert.load import constants as constant_folding
from snnconvert.load.ends import LAST, STANDARD, GraphInput, require_same_largest, require_size
from snnconvert.load.of_batch import BatchMarks
from snnconvert.load.onnx_file import AGAIN, SIMPLER, Array, OnnxFile, decode
from snnconvert.operators import READERS, OnnxNode, Reading, Unsupported
from snnconvert.operators.onnx_node import TooLarge
from snnconvert.registry import did_you_mean

DYNAMIC_BATCH = 2**31 - 1  # stands for the batch while shapes are read: a prime, and no size that a model names
MAX_FOLDED = 2**30  # bytes of all constants that are computed
MAX_WORK = 2**38  # operations of one sample: ten times what the largest networks for images take
PLAIN = (
    AttributeProto.FLOAT,
    AttributeProto.INT,
    AttributeProto.STRING,
    AttributeProto.TENSOR,
    AttributeProto.FLOATS,
    AttributeProto.INTS,
    AttributeProto.STRINGS,
)
QUANTISED = (
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    *("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
)
REASONS = {
    **dict.fromkeys(QUANTISED, "it rounds activations, as spikes do in their own way"),
    "ArgMax": "it leaves the class alone, and no scores",
    "Elu": "it is no rectifier",
    "Selu": "it is no rectifier",
    "Sigmoid": "it is no rectifier, and a gate that multiplies by it has no rate-coded form",
    "HardSwish": "it is no rectifier",
    "Gelu": "it is no rectifier",
    "Tanh": "it is no rectifier",
    "Erf": "it is no rectifier (GELU)",
    "LRN": "it divides by the activity of other channels",
    "InstanceNormalization": "it divides by a statistic of the sample",
    "LayerNormalization": "it divides by a statistic of the sample",
}
HINTS = {
    **dict.fromkeys(QUANTISED, "convert the network from before it was quantised; --weights int8 rounds its weights"),
    "ArgMax": "export the network without it: the largest output is the class",
}


@dataclass
class _Building:
    """What has been read so far."""

    file: OnnxFile
    batch: int | None
    constants: dict[str, Array]
    shapes: dict[str, Shape] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)  # ONNX value -> name in the graph
    nodes: dict[str, Node] = field(default_factory=dict)
    sizes: dict[str, Shape] = field(default_factory=dict)  # of each node's output
    names: set[str] = field(default_factory=set)  # of nodes, and of values that stand for more of them
    origins: list[Origin] = field(default_factory=list)
    of_batch: BatchMarks = field(default_factory=BatchMarks)
    folded: int = 0  # bytes of computed constants
    work: int = 0  # of one sample
    refused: dict[str, ModelError] = field(default_factory=dict)  # by node name, in a survey
    unknown: set[str] = field(default_factory=set)  # ONNX values that a refused node computes, or one behind it

    @cached_property
    def read(self) -> set[str]:
        """Every value that some node reads."""
        return {name for proto in self.file.nodes for name in proto.input}

    def unique(self, wished: str, otherwise: object = "") -> str:
        """Return a name that no node has, and take it."""
        name = wished
        while name in self.names:
            name = f"{name}#{otherwise}"
        self.names.add(name)
        return name


def build_graph(file: OnnxFile, graph_input: GraphInput, output: str, dropped: onnx.NodeProto | None = None) -> Graph:
    """Read every node that ``output`` needs, from which a softmax or sigmoid was dropped, or nothing.

    Raises:
        ModelError: a node is unknown (E120), or is used in a way that cannot be taken (E122 to E124).
    """
    building = _read_nodes(file, graph_input, output, dropped, surveying=False)
    if output not in building.values:
        raise ModelError(
            "E124",
            f"{file.path.name}: output '{output}' does not depend on the input",
            "choose another output: --output-name NAME",
        )
    notes: list[str] = []
    binary = False
    if dropped is not None:
        shape = building.shapes[dropped.input[0]]
        require_same_largest(file, dropped, shape, building.shapes[output])
        binary = dropped.op_type == "Sigmoid" and math.prod(shape[:1]) == 1
        why = "it does not change which output is largest"
        if binary:
            why = "one output tells two classes, class 1 where it is positive"
        elif math.prod(shape) == 1:
            why = "the output is what it was given"
        notes.append(f"the final {dropped.op_type} is dropped: {why}")
    result = building.values[output]
    return Graph(
        file.path.stem,
        graph_input.name,
        graph_input.shape,
        sort_nodes(building.nodes, result, graph_input.name),
        result,
        tuple(building.origins),
        tuple(notes),
        binary,
    )


def survey_nodes(
    file: OnnxFile, graph_input: GraphInput, output: str, dropped: onnx.NodeProto | None
) -> tuple[tuple[Origin, ...], dict[str, ModelError]]:
    """Read every node, going on behind those that are refused; return all nodes, and the refusals by node name."""
    building = _read_nodes(file, graph_input, output, dropped, surveying=True)
    return tuple(building.origins), building.refused


def _read_nodes(
    file: OnnxFile, graph_input: GraphInput, output: str, dropped: onnx.NodeProto | None, surveying: bool
) -> _Building:
    """Read the nodes in the order of the file; a survey collects what is refused, and goes on."""
    building = _Building(file, graph_input.batch, dict(file.constants))
    building.shapes[graph_input.name] = graph_input.shape
    building.values[graph_input.name] = graph_input.name
    building.names.add(graph_input.name)
    needed = {proto.output[0] for proto in file.needed(output)}
    for position, proto in enumerate(file.nodes):
        name = building.unique(proto.name or proto.output[0], position)
        if dropped is not None and proto is dropped:
            building.origins.append(Origin(name, proto.op_type, "dropped: it keeps the order of the outputs"))
        elif proto.output[0] not in needed:
            building.origins.append(Origin(name, proto.op_type, "unused: the output does not need it"))
        elif building.unknown.intersection(proto.input) and _is_known(proto):
            building.unknown.update(filter(None, proto.output))
            building.origins.append(Origin(name, proto.op_type, "not checked: it reads what is refused"))
        else:
            try:
                if building.unknown.intersection(proto.input):
                    raise _unsupported(proto.op_type, name, file.path.name)
                _read_node(building, proto, name)
            except ModelError as refusal:
                if not surveying:
                    raise
                building.refused[name] = refusal
                building.unknown.update(filter(None, proto.output))
                building.origins.append(Origin(name, proto.op_type, f"refused: {refusal.message}"))
    return building


def _is_known(proto: onnx.NodeProto) -> bool:
    """Tell whether the node could be taken, if it read something else."""
    op_type = proto.op_type
    readable = READERS.get(op_type) or constant_folding.FOLDERS.get(op_type) or op_type == "Shape"
    return proto.domain in STANDARD and bool(readable)


def _attributes(proto: onnx.NodeProto, where: str) -> Mapping[str, object]:
    found: dict[str, object] = {}
    for attribute in proto.attribute:
        if attribute.HasField("g") or attribute.graphs:
            raise ModelError(
                "E120", f"{where}: it holds a graph of its own (If, Loop, Scan)", "unroll it before export"
            )
        if attribute.type not in PLAIN or attribute.ref_attr_name:
            raise ModelError(
                "E123", f"{where}: attribute '{attribute.name}' is of a type that is not supported", SIMPLER
            )
        value = helper.get_attribute_value(attribute)
        is_tensor = attribute.type == AttributeProto.TENSOR
        found[attribute.name] = decode(value, where, attribute.name) if is_tensor else value
    return found


def _read_node(building: _Building, proto: onnx.NodeProto, name: str) -> None:
    where = f"{building.file.path.name}: node '{name}' ({proto.op_type})"
    for value in proto.input:
        known = value in building.values or value in building.constants or value in building.unknown
        if value and not known:
            raise ModelError("E114", f"{where}: reads '{value}', which nothing computes", AGAIN)
    attributes = _attributes(proto, where)
    if proto.op_type == "Split" and not all(proto.output):  # ONNX Runtime dies of it
        raise ModelError("E124", f"{where}: a part without a name", AGAIN)
    if proto.domain not in STANDARD:
        raise ModelError(
            "E120", f"{where}: operator of the domain '{proto.domain}'", "export to standard ONNX operators"
        )
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
        building.batch or DYNAMIC_BATCH,
        max(position for position, value in enumerate(proto.output, start=1) if value),
    )
    try:
        if _fold(building, view, proto, where):
            return
        building.of_batch.require_unmarked(view)
        with np.errstate(all="ignore"):  # an overflow is found below, as a weight that is not finite
            reading = _read(view, building.file.path.name)
    except Unsupported as refusal:
        raise ModelError(refusal.code, f"{where}: {refusal.reason}", refusal.hint) from None
    except (ValueError, IndexError, TypeError, KeyError, OverflowError) as problem:
        raise ModelError("E123", f"{where}: malformed ({problem})", AGAIN) from None
    readings = reading if isinstance(reading, tuple) else (reading,)
    unread = [value for value in proto.output[len(readings) :] if value]
    if not building.read.isdisjoint(unread):
        raise ModelError("E123", f"{where}: its output {len(readings) + 1} is used", SIMPLER)
    for value, each in zip(proto.output, readings, strict=False):
        if value:
            wished = name if value == proto.output[0] else building.unique(value)
            building.values[value] = _add(building, each, wished, name, where, {})
            building.shapes[value] = building.sizes[wished]
    building.origins.append(Origin(name, proto.op_type))


def _add(building: _Building, reading: Reading, name: str, origin: str, where: str, made: dict[int, str]) -> str:
    """Add the nodes of a reading, those that it is composed of first; the last one gets the name.

    ``made`` has the names of the readings that stand in several places of it, so that they are added once.
    """
    inputs, shapes = [], []
    for index, each in enumerate(reading.inputs):
        if isinstance(each, Reading):
            if id(each) not in made:
                made[id(each)] = _add(building, each, building.unique(f"{name}.{index}"), origin, where, made)
            inputs.append(made[id(each)])
            shapes.append(building.sizes[inputs[-1]])
        else:
            inputs.append(building.values[each])
            shapes.append(building.shapes[each])
    try:
        shape = reading.operator.infer_shape(shapes)
    except ValueError as problem:
        raise ModelError("E124", f"{where}: {problem}", "do the shapes of the weights fit the samples?") from None
    require_size(where, shape, building.batch)
    building.work += reading.operator.work(shapes)
    if building.work > MAX_WORK:
        raise ModelError(
            "E122",
            f"{where}: up to here one sample takes more than {MAX_WORK:.0e} operations",
            "is a size wrong? if not, convert a smaller network",
        )
    if not reading.operator.finite:
        raise ModelError(
            "E113",
            f"{where}: its weights are NaN or infinite in float32",
            "training diverged, or a scale of the network is 0",
        )
    building.nodes[name] = Node(name, reading.operator, tuple(inputs), (origin,))
    building.sizes[name] = shape
    return name


def _constant(attributes: Mapping[str, object], where: str) -> Array:
    value = attributes.get("value")
    if isinstance(value, np.ndarray):
        return value
    for key, kind, python in (("value_int", np.int64, int), ("value_float", np.float32, float)):
        number, numbers = attributes.get(key), attributes.get(f"{key}s")
        if isinstance(number, python):
            return np.asarray(number, dtype=kind)
        if isinstance(numbers, list) and all(isinstance(each, python) for each in numbers):
            return np.asarray(numbers, dtype=kind)
    raise ModelError("E123", f"{where}: a constant without a numeric value", SIMPLER)


def _fold(building: _Building, view: OnnxNode, proto: onnx.NodeProto, where: str) -> bool:
    """Compute the node now if it does not depend on the sample; Shape never does."""
    if view.op_type == "Shape":
        sample = view.shapes[0]
        sizes = view.constant(0).shape if sample is None else (view.batch, *sample)
        first, last = view.integer("start", 0), view.integer("end", len(sizes))
        value: Array = np.asarray(sizes[first:last], np.int64)
        if sample is not None and building.batch is None:
            building.of_batch.mark_shape(proto.output[0], first == 0 or first <= -len(sizes), len(value))
    elif any(shape is not None for shape in view.shapes):
        return False
    else:
        folded = constant_folding.fold(view)
        if folded is None:
            raise ModelError("E120", f"{where}: a constant is computed by an operator that is not supported", SIMPLER)
        value = folded
    building.folded += constant_folding.work(view, value)
    if building.folded > MAX_FOLDED:
        raise TooLarge(f"more than {MAX_FOLDED} bytes of constants are computed")
    building.constants[proto.output[0]] = value
    building.of_batch.follow(view, proto.output[0], value)
    building.origins.append(Origin(view.name, proto.op_type, "constant"))
    return True


def _read(view: OnnxNode, where: str) -> Reading | tuple[Reading, ...]:
    reader = READERS.get(view.op_type)
    if reader is None:
        if view.op_type in LAST[:2]:
            raise Unsupported("only a final one can be dropped", "it divides by the sum of other activations")
        raise _unsupported(view.op_type, view.name, where)
    return reader(view)


def _unsupported(op_type: str, name: str, where: str) -> ModelError:
    reason = REASONS.get(op_type, "no exact spiking form is known for it")
    hint = "replace it by ReLU and train again, or convert a network without it"
    if op_type in HINTS:
        hint = HINTS[op_type]
    elif op_type not in REASONS:
        hint = "docs/operators.md has the operators that are; snnconvert inspect MODEL tells all that is refused"
        hint = hint if onnx.defs.has(op_type) else did_you_mean(op_type, [*READERS])
    return ModelError("E120", f"{where}: node '{name}': operator {op_type} is not supported: {reason}", hint)
