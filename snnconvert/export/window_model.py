"""A step model inside an ONNX Scan over time, so that one call runs the whole window.

Input ``input (N, ...)``, or ``(N, T, ...)`` of a network that takes events; outputs ``output (N, ...)`` behind the last
of the steps, ``outputs (steps, N, ...)`` behind each, and ``counts.<node>``, the spikes of each layer, summed. States
begin inside the model, for any batch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snnconvert.load.onnx_file import parse
from snnconvert.measure.fan_out import unpacked_numbers

PREFIX = "window."  # of names that the step model has not: its own begin with other words


def window_model(content: bytes, about: Mapping[str, Any], steps: int) -> bytes:
    """Return a model that runs ``steps`` steps of a step model that was read back before (see deployed.py)."""
    step = parse("snn.onnx", content)
    known = {value.name: value for value in (*step.graph.input, *step.graph.output)}
    states = [(old, told["next"]) for old, told in about["states"].items()]
    emitters = {name: told["node"] for name, told in about["emitters"].items()}
    nodes, weights = _beginning(about, steps)
    in_time = about["encoding"] == "events"
    body = _body(step.graph, known, states, emitters, in_time)
    carried = [f"{PREFIX}begin.{old}" for old, _ in states] + [f"{PREFIX}zero.{name}" for name in emitters]
    for name in emitters:
        whole, sizes = f"{PREFIX}shape.{name}", f"{PREFIX}sizes.{name}"
        weights.append(numpy_helper.from_array(np.asarray(_sizes(known[name]), np.int64), sizes))
        nodes.append(helper.make_node("Concat", [f"{PREFIX}batch", sizes], [whole], axis=0))
        nodes.append(helper.make_node("Expand", [f"{PREFIX}nothing", whole], [f"{PREFIX}zero.{name}"]))
    sequences, given = [f"{PREFIX}steps"], known["input"]
    if in_time:
        sequences.append(f"{PREFIX}frames")
        shape = ["N", about["schedule"]["T"], *_sizes(given)]
        given = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
        rank = len(shape)
        over = np.zeros(2 * rank, np.int64)  # behind the recording nothing arrives
        over[rank] = steps - about["schedule"]["T"]
        weights.append(numpy_helper.from_array(over, f"{PREFIX}over"))
        order = [1, 0, *range(2, rank)]
        nodes.append(helper.make_node("Transpose", ["input"], [f"{PREFIX}arriving"], perm=order))
        nodes.append(helper.make_node("Pad", [f"{PREFIX}arriving", f"{PREFIX}over"], [f"{PREFIX}frames"]))
    finals = [f"{PREFIX}final.{old}" for old, _ in states] + [f"counts.{node}" for node in emitters.values()]
    nodes.append(
        helper.make_node(
            "Scan",
            [*carried, *sequences],
            [*finals, "outputs"],
            body=body,
            num_scan_inputs=len(sequences),
            name="time",
        )
    )
    nodes.append(helper.make_node("Gather", ["outputs", f"{PREFIX}last"], ["output"], axis=0))
    results = [known["output"]]
    shape = ["T", "N", *_sizes(known["output"])]
    results.append(helper.make_tensor_value_info("outputs", TensorProto.FLOAT, shape))
    results += [
        helper.make_tensor_value_info(f"counts.{node}", TensorProto.FLOAT, ["N", *_sizes(known[name])])
        for name, node in emitters.items()
    ]
    graph = helper.make_graph(nodes, step.graph.name, [given], results, [*step.graph.initializer, *weights])
    model = helper.make_model(
        graph,
        functions=list(step.functions),
        opset_imports=step.opset_import,
        ir_version=step.ir_version,
        producer_name="snnconvert",
    )
    model.metadata_props.extend(entry for entry in step.metadata_props if entry.key != "snnconvert")
    return bytes(model.SerializeToString(deterministic=True))


def _beginning(about: Mapping[str, Any], steps: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return nodes and weights that make the steps, the batch, and the states before the first step."""
    numbers = {
        "steps": np.arange(steps, dtype=np.int64),
        "last": np.asarray(steps - 1, np.int64),
        "nothing": np.asarray(0, np.float32),
    }
    weights = [numpy_helper.from_array(value, PREFIX + name) for name, value in numbers.items()]
    nodes = [helper.make_node("Shape", ["input"], [f"{PREFIX}batch"], start=0, end=1)]
    for old, told in about["states"].items():
        value, sizes = told["initial"], told["shape"]
        one = unpacked_numbers(value).reshape(sizes) if isinstance(value, dict) else np.asarray(value)
        weights.append(numpy_helper.from_array(np.array(one, np.float32), f"{PREFIX}initial.{old}"))
        weights.append(numpy_helper.from_array(np.asarray(sizes, np.int64), f"{PREFIX}sizes.{old}"))
        whole = f"{PREFIX}shape.{old}"
        nodes.append(helper.make_node("Concat", [f"{PREFIX}batch", f"{PREFIX}sizes.{old}"], [whole], axis=0))
        nodes.append(helper.make_node("Expand", [f"{PREFIX}initial.{old}", whole], [f"{PREFIX}begin.{old}"]))
    return nodes, weights


def _body(
    step: onnx.GraphProto,
    known: Mapping[str, onnx.ValueInfoProto],
    states: list[tuple[str, str]],
    emitters: Mapping[str, str],
    in_time: bool,
) -> onnx.GraphProto:
    """Return the step as the body of the Scan; it reads weights from around it, and the input unless that varies."""
    inputs = [known[old] for old, _ in states]
    outputs = [known[new] for _, new in states]
    nodes = list(step.node)
    for name in emitters:
        before, after = f"{PREFIX}before.{name}", f"{PREFIX}after.{name}"
        inputs.append(helper.make_tensor_value_info(before, TensorProto.FLOAT, ["N", *_sizes(known[name])]))
        outputs.append(helper.make_tensor_value_info(after, TensorProto.FLOAT, ["N", *_sizes(known[name])]))
        nodes.append(helper.make_node("Add", [before, name], [after]))
    inputs.append(helper.make_tensor_value_info("step", TensorProto.INT64, []))
    if in_time:
        frame = ["N", *_sizes(known["input"])]
        inputs.append(helper.make_tensor_value_info(f"{PREFIX}input", TensorProto.FLOAT, frame))
    read = helper.make_tensor_value_info(f"{PREFIX}output", TensorProto.FLOAT, ["N", *_sizes(known["output"])])
    nodes.append(helper.make_node("Identity", ["output"], [read.name]))
    names = {"output": f"{PREFIX}now"} | ({"input": f"{PREFIX}input"} if in_time else {})
    renamed = [_inside(node, names) for node in nodes]
    return helper.make_graph(renamed, "step", inputs, [*outputs, read])


def _inside(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """Return a node with those values renamed that are the whole model's."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(value, value) for value in node.input]
    copy.output[:] = [names.get(value, value) for value in node.output]
    return copy


def _sizes(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
