"""The two ends of a network: its one input, its one output, and the softmax or sigmoid that may end it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import onnx

from snnconvert.errors import ModelError
from snnconvert.graph import Shape
from snnconvert.load import functions
from snnconvert.load.asked import Asked
from snnconvert.load.onnx_file import OnnxFile
from snnconvert.operators.onnx_node import MAX_ELEMENTS
from snnconvert.registry import did_you_mean

MAX_BATCH_ELEMENTS = 2**28  # of one value, all samples of a fixed batch
STANDARD = functions.STANDARD
LAST = ("Softmax", "LogSoftmax", "Sigmoid")  # they keep the order of the outputs that they run over
RESHAPES = ("Identity", "Squeeze", "Unsqueeze", "Flatten", "Reshape")  # they may stand behind one


@dataclass(frozen=True)
class GraphInput:
    """The network's input as the file declares it; ``batch`` is None where it is free."""

    name: str
    shape: Shape
    batch: int | None


def read_input(file: OnnxFile) -> GraphInput:
    """Find the one input that is no initializer; sizes that the file leaves open are those that were asked for.

    Raises:
        ModelError: there is not exactly one, its type cannot be used, or its sizes are open and nobody tells them, or
            are not those that were asked for (E124).
    """
    where = file.path.name
    if len(file.inputs) != 1:
        names = ", ".join(f"'{value.name}'" for value in file.inputs) or "none"
        raise ModelError(
            "E124",
            f"{where}: one input expected, got {len(file.inputs)} ({names})",
            "export the network with one input",
        )
    value = file.inputs[0]
    what = f"{where}: input '{value.name}'"
    kind = value.type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT:
        known = onnx.TensorProto.DataType.items()
        told = next((name.lower() for name, number in known if number == kind.elem_type), kind.elem_type)
        raise ModelError("E124", f"{what} is not float32 but {told}", "export the network in float32")
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]
    if len(sizes) < 2:
        raise ModelError(
            "E124", f"{what} has {len(sizes)} axes; batch and features expected", "export with a batch axis"
        )
    batch, shape = sizes[0], _sample_shape(what, sizes[1:], file.asked)
    require_size(what, shape, batch)
    return GraphInput(value.name, shape, batch)


def _sample_shape(what: str, sizes: Sequence[int | None], asked: Asked) -> Shape:
    """Return the shape of one sample: as the file fixes it, and where it does not, as was asked for."""
    fixed = tuple(size for size in sizes if size is not None)
    complete = len(fixed) == len(sizes)
    if complete and asked.input_shape is None:
        return fixed
    shape = asked.shape()
    declared = ", ".join("?" if size is None else str(size) for size in sizes)
    if shape is None:
        raise ModelError(
            "E124",
            f"{what}: axis {sizes.index(None) + 1} has no fixed size, samples are ({declared})",
            "tell it: --input-shape 3,224,224",
        )
    fits = len(shape) == len(sizes) and all(
        size > 0 and each in (size, None) for size, each in zip(shape, sizes, strict=True)
    )
    if not fits:
        raise ModelError(
            "E124",
            f"{what}: samples are ({declared}), asked for {tuple(shape)}",
            "--input-shape is the shape of one sample, as the file fixes it",
        )
    return tuple(shape)


def require_size(what: str, shape: Sequence[int], batch: int | None) -> None:
    """Refuse a value that is empty, or too large to hold."""
    if 0 in shape:
        raise ModelError(
            "E124", f"{what}: the value is empty, shape {tuple(shape)}", "is the shape of the samples right?"
        )
    if math.prod(shape) > MAX_ELEMENTS:
        raise ModelError(
            "E122",
            f"{what}: one sample has shape {tuple(shape)}, more than {MAX_ELEMENTS} elements",
            "export the network for smaller samples",
        )
    if batch is not None and batch * math.prod(shape) > MAX_BATCH_ELEMENTS:
        raise ModelError(
            "E122",
            f"{what}: a batch of {batch} samples of shape {tuple(shape)}, more than {MAX_BATCH_ELEMENTS} elements",
            "export with a dynamic batch, or a smaller one",
        )


def read_output(file: OnnxFile) -> str:
    """Return the name of the output to convert: the one that was asked for, or the only one.

    Raises:
        ModelError: there are several and none was asked for, or it is not among them (E124).
    """
    where, name = file.path.name, file.asked.output
    if name is None and len(file.outputs) == 1:
        return file.outputs[0]
    if name is None:
        listed = ", ".join(f"'{each}'" for each in file.outputs)
        raise ModelError(
            "E124", f"{where}: one output expected, got {len(file.outputs)} ({listed})", "choose: --output-name NAME"
        )
    if name not in file.outputs:
        raise ModelError("E124", f"{where}: there is no output '{name}'", did_you_mean(name, list(file.outputs)))
    return name


class Ending(NamedTuple):
    """A file whose ``output`` is taken without the softmax or sigmoid that was ``dropped``, if there is one."""

    file: OnnxFile
    output: str
    dropped: onnx.NodeProto | None = None


def without_last(file: OnnxFile) -> Ending:
    """Take a final softmax or sigmoid out of a network, also one with nothing but changes of shape behind it."""
    output = read_output(file)
    producers = {name: proto for proto in file.nodes for name in proto.output}
    path: list[onnx.NodeProto] = []
    while not path or path[-1].op_type not in LAST:
        proto = producers.get(path[-1].input[0] if path else output)
        if proto is None or proto.op_type not in LAST + RESHAPES or proto.domain not in STANDARD or not proto.input:
            return Ending(file, output)
        path.append(proto)
    dropped, made = path[-1], {proto.output[0] for proto in path}
    for proto in file.needed(output):
        if proto.output[0] not in made and proto.op_type != "Shape" and not made.isdisjoint(proto.input):
            return Ending(file, output)  # it is a gate, too
    before, value = dropped.input[0], dropped.output[0]
    nodes = tuple(_reading(proto, value, before) for proto in file.nodes)
    return Ending(replace(file, nodes=nodes), before if output == value else output, dropped)


def _reading(proto: onnx.NodeProto, value: str, other: str) -> onnx.NodeProto:
    """Return a node that reads another value in the place of one."""
    if value not in proto.input:
        return proto
    changed = onnx.NodeProto()
    changed.CopyFrom(proto)
    changed.input[:] = [other if each == value else each for each in proto.input]
    return changed


def require_same_largest(file: OnnxFile, proto: onnx.NodeProto, shape: Shape, output: Shape) -> None:
    """Refuse to drop a softmax that changes which output of a sample, or which channel at a place, is largest.

    It runs over values of ``shape``, which are the ``output`` in another.
    """
    if proto.op_type == "Sigmoid":
        return
    where = f"{file.path.name}: node '{proto.name}' ({proto.op_type})"
    axis = next((each.i for each in proto.attribute if each.name == "axis"), 1 if file.opset < 13 else -1)
    first = axis - 1 if axis > 0 else axis + len(shape)
    if axis == 0 or not 0 <= first < len(shape):
        raise ModelError("E123", f"{where}: axis {axis} of samples of shape {shape}", "export the network without it")
    # before opset 13 it runs over all axes from this one on
    classes = math.prod(shape[first:]) if file.opset < 13 else shape[first]
    if (first != 0 or shape != output) and classes != math.prod(shape):
        raise ModelError(
            "E123",
            f"{where}: it runs over {classes} of the {math.prod(shape)} outputs of a sample, and not over channels",
            "export the network without it",
        )
