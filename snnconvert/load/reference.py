"""The judge: ONNX Runtime on the user's graph, as we validated it and wrote it again, node for node."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from snnconvert.errors import ModelError, first_line
from snnconvert.load.ends import GraphInput
from snnconvert.load.onnx_file import Array, OnnxFile

MANY = 5_000  # nodes; of more, ONNX Runtime's optimizers take minutes
SHARED = 2**16  # bytes of a weight from which on it is handed over beside the model, and not copied into it


class Reference:
    """Runs the user's own nodes in ONNX Runtime; ``output`` is the value before a dropped softmax."""

    def __init__(self, file: OnnxFile, graph_input: GraphInput, output: str) -> None:
        self._batch = graph_input.batch
        self._input = graph_input.name
        try:
            model, weights = rewritten(file, graph_input, output)
            self._many = len(model.graph.node) > MANY
            self._begin(model.SerializeToString(), weights)
        except Exception as problem:  # noqa: BLE001 - ONNX Runtime's exceptions have no common base
            raise ModelError(
                "E116",
                f"{file.path.name}: ONNX Runtime refuses the model ({first_line(problem)})",
                "onnx.checker.check_model(path, full_check=True) may tell more; export the network again",
            ) from None

    def _begin(self, content: bytes, weights: Mapping[str, Array]) -> None:
        """Open a session of the model ``content``, with the weights that lie beside it."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it keeps processors from others
        options.add_session_config_entry("session.disable_prepacking", "1")  # it copies weights
        if self._many:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._content = content
        # they live as long as the session, which reads them in place
        self._weights = {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in weights.items()}
        if weights:
            options.add_external_initializers(list(self._weights), list(self._weights.values()))
        for name, value in self._weights.items():  # or it keeps copies of them
            options.add_initializer(name, value)
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to open the same session."""
        weights = {name: value.numpy() for name, value in self._weights.items()}
        return {key: value for key, value in vars(self).items() if key != "_session"} | {"_weights": weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin(state["_content"], state["_weights"])

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the outputs of ``(N, ...)``; a fixed batch is filled up with copies of the last sample."""
        if self._batch is None:
            # never one alone: a Squeeze without axes would take the batch for one of the sample's
            return self._call(x) if len(x) != 1 else self._call(np.repeat(x, 2, axis=0))[:1]
        parts = []
        for start in range(0, len(x), self._batch):
            part = x[start : start + self._batch]
            missing = self._batch - len(part)
            filled = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
            parts.append(self._call(filled)[: len(part)])
        return np.concatenate(parts)

    def _call(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (output,) = self._session.run(None, {self._input: np.ascontiguousarray(x)})
        except Exception as problem:  # noqa: BLE001 - as above
            raise ModelError(
                "E116",
                f"ONNX Runtime cannot run the model ({first_line(problem)})",
                "do its shapes fit samples of the input's shape? if so, export the network again",
            ) from None
        if np.ndim(output) == 0 or len(output) != len(x):
            raise ModelError(
                "E116",
                f"the model answers {len(x)} samples with an output of shape {np.shape(output)}",
                "export it with a batch that is free, or with arithmetic on the batch left out",
            )
        return np.asarray(output, dtype=np.float32)


def rewritten(file: OnnxFile, graph_input: GraphInput, output: str) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Write the nodes that were read again, from what was validated; nothing else of the file is kept.

    Nodes that the output does not need were never looked at, so ONNX Runtime does not see them either. Large weights
    are returned beside the model, which only declares them: so there is neither a copy of them nor a limit of 2 GiB.
    """
    needed = file.needed(output)
    read = {name for proto in needed for name in proto.input}
    nodes = [
        onnx.NodeProto(
            op_type=proto.op_type,
            name=proto.output[0],  # unique, which ONNX Runtime asks for
            input=proto.input,
            output=proto.output,
            attribute=proto.attribute,
        )
        for proto in needed
    ]
    constants = {name: value for name, value in file.constants.items() if name in read}
    shared = {name: value for name, value in constants.items() if value.dtype.kind == "f" and value.nbytes >= SHARED}
    batch = graph_input.batch if graph_input.batch is not None else "N"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(graph_input.name, TensorProto.FLOAT, [batch, *graph_input.shape])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [
            _declared(name, value) if name in shared else numpy_helper.from_array(value, name)
            for name, value in constants.items()
        ],
    )
    opset = helper.make_opsetid("", file.opset)
    version = helper.find_min_ir_version_for([opset], ignore_unknown=True)
    return helper.make_model(graph, opset_imports=[opset], ir_version=version), shared


def _declared(name: str, value: Array) -> TensorProto:
    """Declare a weight whose content is handed over beside the model; its location is never opened."""
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    tensor = TensorProto(name=name, data_type=kind, dims=value.shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="beside")
    return tensor
