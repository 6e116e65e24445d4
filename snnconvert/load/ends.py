"""The two ends of a network: its one input, its one output, and the softmax that may stand before the output."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from snnconvert.errors import ModelError
from snnconvert.graph import Shape
from snnconvert.load.onnx_file import OnnxFile
from snnconvert.operators.onnx_node import MAX_ELEMENTS

MAX_BATCH_ELEMENTS = 2**28  # of one value, all samples of a fixed batch
STANDARD = ("", "ai.onnx")
SOFTMAX = ("Softmax", "LogSoftmax")


@dataclass(frozen=True)
class GraphInput:
    """The network's input as the file declares it; ``batch`` is None where it is free."""

    name: str
    shape: Shape
    batch: int | None


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
    require_size(f"{where}: input '{value.name}'", shape, batch)
    return GraphInput(value.name, tuple(shape), batch)


def require_size(what: str, shape: Sequence[int], batch: int | None) -> None:
    """Refuse a value that is empty, or too large to hold."""
    if 0 in shape:
        raise ModelError("E124", f"{what}: the value is empty, shape {tuple(shape)}")
    if math.prod(shape) > MAX_ELEMENTS:
        raise ModelError("E122", f"{what}: one sample has shape {tuple(shape)}, more than {MAX_ELEMENTS} elements")
    if batch is not None and batch * math.prod(shape) > MAX_BATCH_ELEMENTS:
        raise ModelError(
            "E122",
            f"{what}: a batch of {batch} samples of shape {tuple(shape)}, more than {MAX_BATCH_ELEMENTS} elements",
            "export with a dynamic batch, or a smaller one",
        )


def read_output(file: OnnxFile) -> str:
    """Return the name of the one output."""
    outputs: list[str] = [value.name for value in file.model.graph.output]
    if len(outputs) != 1:
        listed = ", ".join(f"'{name}'" for name in outputs) or "none"
        raise ModelError(
            "E124",
            f"{file.path.name}: one output expected, got {len(outputs)} ({listed})",
            "export the network with one output",
        )
    return outputs[0]


def strip_softmax(file: OnnxFile, output: str) -> str:
    """Return the value before a final Softmax or LogSoftmax, or the output where there is none."""
    producers = {name: proto for proto in file.nodes for name in proto.output}
    value: str = output
    while value in producers and producers[value].input and producers[value].domain in STANDARD:
        proto = producers[value]
        value = str(proto.input[0])
        if proto.op_type in SOFTMAX:
            return value
        if proto.op_type != "Identity":
            break
    return output


def require_classes(file: OnnxFile, proto: onnx.NodeProto, shape: Shape) -> None:
    """Refuse to drop a softmax that does not run over all outputs of a sample: argmax would need it."""
    where = f"{file.path.name}: node '{proto.name}' ({proto.op_type})"
    axis = next((each.i for each in proto.attribute if each.name == "axis"), 1 if file.opset < 13 else -1)
    first = axis - 1 if axis > 0 else axis + len(shape)
    if axis == 0 or not 0 <= first < len(shape):
        raise ModelError("E123", f"{where}: axis {axis} of samples of shape {shape}")
    # before opset 13 it runs over all axes from this one on
    classes = math.prod(shape[first:]) if file.opset < 13 else shape[first]
    if classes != math.prod(shape):
        raise ModelError("E123", f"{where}: it runs over {classes} of the {math.prod(shape)} outputs of a sample")
