"""The judge: ONNX Runtime on the user's graph, as we validated it and wrote it again, node for node."""

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from snnconvert.errors import ModelError
from snnconvert.load.ends import GraphInput
from snnconvert.load.onnx_file import OnnxFile


class Reference:
    """Runs the user's own nodes in ONNX Runtime; ``output`` is the value before a dropped softmax."""

    def __init__(self, file: OnnxFile, graph_input: GraphInput, output: str) -> None:
        self._batch = graph_input.batch
        self._input = graph_input.name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            content = rewritten(file, graph_input, output).SerializeToString()
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # noqa: BLE001 - ONNX Runtime's exceptions have no common base
            raise ModelError("E116", f"{file.path.name}: ONNX Runtime refuses the model ({_told(problem)})") from None

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the outputs of ``(N, ...)``; a fixed batch is filled up with copies of the last sample."""
        if self._batch is None:
            return self._call(x)
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
            raise ModelError("E116", f"ONNX Runtime cannot run the model ({_told(problem)})") from None
        return np.asarray(output, dtype=np.float32)


def _told(problem: Exception) -> str:
    """Return the first line of a message, cut."""
    return next(iter(str(problem).splitlines()), type(problem).__name__)[:160]


def rewritten(file: OnnxFile, graph_input: GraphInput, output: str) -> onnx.ModelProto:
    """Write the nodes that were read again, from what was validated; nothing else of the file is kept.

    Nodes that the output does not need were never looked at, so ONNX Runtime does not see them either.
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
    batch = graph_input.batch if graph_input.batch is not None else "N"
    shape = [batch, *graph_input.shape]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(graph_input.name, onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in file.constants.items() if name in read],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", file.opset)],
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", file.opset)], ignore_unknown=True),
    )
