"""Keeps large weights out of the models that torch's exporters write, which would copy them three times and more.

The model that is handed over declares where each of them lies.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from snnconvert.load.external_data import is_external
from snnconvert.load.handover import LARGE, Handover
from snnconvert.load.onnx_file import decode

# what ONNX Runtime takes from outside
KINDS = {torch.float32: TensorProto.FLOAT, torch.float64: TensorProto.DOUBLE, torch.float16: TensorProto.FLOAT16}
Weights = dict[str, torch.Tensor]


@contextlib.contextmanager
def weights_apart() -> Iterator[Weights]:
    """Let the exporter for TorchScript write models whose large weights are inputs, and collect those, by name."""
    apart: Weights = {}
    graphs: Any = torch._C.Graph
    write = graphs._export_onnx

    def export(graph: Any, parameters: Mapping[str, torch.Tensor], *settings: Any) -> Any:
        apart.update({name: weight for name, weight in parameters.items() if _is_large(weight)})
        return write(graph, {name: each for name, each in parameters.items() if name not in apart}, *settings)

    graphs._export_onnx = export
    try:
        yield apart
    finally:
        graphs._export_onnx = write


def _is_large(weight: torch.Tensor) -> bool:
    return weight.nbytes >= LARGE and weight.dtype in KINDS


def with_weights(content: bytes, apart: Weights, handover: Handover) -> onnx.ModelProto:
    """Return the model that was written, with those inputs as weights again: as places in the handover."""
    model = onnx.ModelProto()
    model.ParseFromString(content)
    inputs = [value for value in model.graph.input if value.name not in apart]
    for name in [value.name for value in model.graph.input if value.name in apart]:
        weight = apart.pop(name).detach().contiguous()
        data = weight.reshape(-1).view(torch.uint8).numpy()
        tensor = TensorProto(name=name, data_type=KINDS[weight.dtype], dims=weight.shape)
        place = handover.put(data)
        if place is None:
            tensor.raw_data = data.tobytes()
        else:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=place[0])
            tensor.external_data.add(key="offset", value=str(place[1]))
        model.graph.initializer.append(tensor)
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model


def program_with_weights(program: Any, handover: Handover) -> onnx.ModelProto:
    """Return what the exporter for exported programs wrote, in the same way."""
    for name, value in program.model.graph.initializers.items():
        weight = value.const_value
        if weight is not None and weight.nbytes >= LARGE and weight.dtype.value in KINDS.values():
            data = np.ascontiguousarray(weight.numpy())
            place = handover.put(data.reshape(-1).view(np.uint8))
            if place is not None:
                value.const_value = ir.ExternalTensor(
                    place[0], place[1], data.nbytes, weight.dtype, shape=weight.shape, name=name
                )
    model: onnx.ModelProto = program.model_proto
    return model


def weights_as_inputs(
    model: onnx.ModelProto, handover: Handover
) -> tuple[onnx.ModelProto, dict[str, NDArray[np.generic]]]:
    """Return a model that takes its large weights as inputs, which ONNX Runtime does not copy, and those weights."""
    weights = {}
    asking = onnx.ModelProto()
    asking.CopyFrom(model)
    del asking.graph.initializer[:]
    for tensor in model.graph.initializer:
        if is_external(tensor):
            weights[tensor.name] = decode(tensor, "", tensor.name, handover)
            asking.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            asking.graph.initializer.append(tensor)
    return asking, weights
