"""Writes one time step of a spiking network as ONNX: states in, states out.

Inputs: ``input``, ``step`` (int64, from 0), ``state.<node>``. Outputs: ``output`` (mean of the readout over the steps
so far, in the units of the original output), ``next.<node>``, ``spikes.<node>``. The batch is symbolic. Each layer of
neurons is a node of a model-local function. ``metadata_props["snnconvert"]`` tells, as JSON, what a simulator needs.
"""

import json
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from snnconvert.graph import Node, Shape
from snnconvert.measure import packed
from snnconvert.network import SpikingNetwork
from snnconvert.neurons.neuron import DOMAIN
from snnconvert.operators import OnnxWriter

OPSET = 18
IR_VERSION = 8  # the first that has model-local functions


def step_model(network: SpikingNetwork, metadata: Mapping[str, object]) -> bytes:
    """Return the serialised step model; ``metadata`` is written beside what is known here (states, readout)."""
    return bytes(_Export(network).model(metadata).SerializeToString(deterministic=True))


class _Export:
    """The ONNX graph while it is written."""

    def __init__(self, network: SpikingNetwork) -> None:
        self.network = network
        self.graph = network.graph
        self.writer = OnnxWriter()
        self.values = {self.graph.input: self.writer.fresh("input")}
        self.step = self.writer.fresh("step")
        self.output = self.writer.fresh("output")
        self.states: dict[str, dict[str, object]] = {}
        self.emitters: dict[str, dict[str, object]] = {}
        self.inputs = [
            helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *self.graph.input_shape]),
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
        ]
        self.outputs = [
            helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", *self.graph.shapes[self.graph.output]])
        ]
        self.functions: dict[str, onnx.FunctionProto] = {}

    def model(self, metadata: Mapping[str, object]) -> onnx.ModelProto:
        stateful = {node.name for node in self.network.stateful}
        for node in self.graph.nodes:
            inputs = [self.values[value] for value in node.inputs]
            if node.name in stateful:
                self._stateful(node, inputs)
            else:
                self.values[node.name] = self.writer.fresh(node.name)
                node.operator.to_onnx(self.writer, inputs, self.graph.input_shapes(node), self.values[node.name])
        self._readout()
        name = self.graph.name.encode("utf-8", "replace").decode("utf-8")  # of a file, perhaps in another encoding
        graph = helper.make_graph(self.writer.nodes, name, self.inputs, self.outputs, self.writer.initializers)
        model = helper.make_model(
            graph,
            functions=list(self.functions.values()),
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
            ir_version=IR_VERSION,
            producer_name="snnconvert",
        )
        document = {**metadata, "states": self.states, "emitters": self.emitters}
        helper.set_model_props(model, {"snnconvert": json.dumps(document, sort_keys=True)})
        return model

    def _state(self, name: str, shape: Shape, initial: float) -> tuple[str, str]:
        """Declare a state and return the names of its old and new value."""
        old, new = self.writer.fresh(f"state.{name}"), self.writer.fresh(f"next.{name}")
        self.inputs.append(helper.make_tensor_value_info(old, TensorProto.FLOAT, ["N", *shape]))
        self.outputs.append(helper.make_tensor_value_info(new, TensorProto.FLOAT, ["N", *shape]))
        self.states[old] = {"next": new, "shape": list(shape), "initial": initial}
        return old, new

    def _stateful(self, node: Node, inputs: list[str]) -> None:
        """Write a layer of neurons or a pool; what it sends, if spikes, is an output too."""
        emits = node.name in self.network.fan_out
        spikes = self.writer.fresh(f"spikes.{node.name}" if emits else node.name)
        shape = self.graph.shapes[node.name]
        if node.name in self.network.neurons:
            neuron = self.network.neurons[node.name]
            old, new = self._state(node.name, shape, neuron.initial_value)
            function = neuron.onnx_function()
            self.functions[function.name] = function
            self.writer.node(function.name, [inputs[0], old], [spikes, new], domain=DOMAIN)
        else:
            self._pool(node, inputs[0], spikes)
        self.values[node.name] = spikes
        if not emits:
            return
        self.outputs.append(helper.make_tensor_value_info(spikes, TensorProto.FLOAT, ["N", *shape]))
        self.emitters[spikes] = {
            "node": node.name,
            "kind": "neuron" if node.name in self.network.neurons else "pool",
            "fan_out": packed(self.network.fan_out[node.name].numpy()),
        }

    def _pool(self, node: Node, value: str, output: str) -> None:
        """Write a pool that counts its input: the exact form, or the gate (see the engine's layers for the algebra)."""
        seen = self.graph.shapes[node.inputs[0]]
        old, new = self._state(node.name, seen, 0.0)
        self.writer.node("Add", [old, value], new)
        if self.network.pools[node.name] == "gate":
            two = self.writer.constant(f"{node.name}.two", np.asarray(2, np.float32))
            twice = self.writer.node("Mul", [new, two], self.writer.fresh(f"{node.name}.twice"))
            rank = self.writer.node("Add", [twice, value], self.writer.fresh(f"{node.name}.rank"))
            leading = self.writer.fresh(f"{node.name}.leading")
            node.operator.to_onnx(self.writer, [rank], [seen], leading)
            self.writer.node("Mod", [leading, two], output, fmod=1)
            return
        before, after = self.writer.fresh(f"{node.name}.before"), self.writer.fresh(f"{node.name}.now")
        node.operator.to_onnx(self.writer, [old], [seen], before)
        node.operator.to_onnx(self.writer, [new], [seen], after)
        self.writer.node("Sub", [after, before], output)

    def _readout(self) -> None:
        """Accumulate the output; its mean is what the steps so far say of the ANN's output."""
        old, new = self._state("readout", self.graph.shapes[self.graph.output], 0.0)
        self.writer.node("Add", [old, self.values[self.graph.output]], new)
        one = self.writer.constant("one", np.asarray(1, np.int64))
        seen = self.writer.node("Add", [self.step, one], self.writer.fresh("steps_seen"))
        count = self.writer.node("Cast", [seen], self.writer.fresh("steps_seen_float"), to=TensorProto.FLOAT)
        self.writer.node("Div", [new, count], self.output)
