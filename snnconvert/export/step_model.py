"""Writes one time step of a spiking network as ONNX: states in, states out.

Inputs: ``input``, ``step`` (int64, from 0), ``state.<node>``, and ``state.<node>.<name>`` where a neuron has more than
a potential. Outputs: ``output`` (the estimate of the original output so far, in its units), ``next.<node>``,
``spikes.<node>``. The batch is symbolic. Each layer of neurons is a node of a model-local function; what it waits for
(biases of a step, an onset) stands before and behind it. ``metadata_props["snnconvert"]`` tells, as JSON, what a
simulator needs, and under ``network`` how the file is read back (see deployed.py).
"""

import dataclasses
import json
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import onnx
from onnx import TensorProto, helper

from snnconvert.graph import Node, Shape
from snnconvert.measure import packed, packed_numbers
from snnconvert.network import SpikingNetwork
from snnconvert.neurons.neuron import DOMAIN, Neuron
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
        self.layers: dict[str, dict[str, object]] = {}  # by node: neurons and pools, as they are read back
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
        read_back = {
            "pooling": self.network.pooling,
            "output": self.values[self.graph.output],
            "layers": self.layers,
        }
        document = {**metadata, "states": self.states, "emitters": self.emitters, "network": read_back}
        document["encoding"] = self.network.encoding
        document["input_fan_out"] = packed(self.network.fan_out[self.graph.input].numpy())
        helper.set_model_props(model, {"snnconvert": json.dumps(document, sort_keys=True)})
        return model

    def _state(self, name: str, shape: Shape, initial: float | Mapping[str, object]) -> tuple[str, str]:
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
        told: dict[str, object] = {"kind": "pool"}
        layer: dict[str, object] = {"input": inputs[0], "seen": inputs[0], "result": spikes}
        self.layers[node.name] = layer
        if node.name in self.network.neurons:
            neuron = self.network.neurons[node.name]
            told = {"kind": "neuron", "cost": neuron.cost, "bits": neuron.bits}
            layer |= {"neuron": neuron.name, "parameters": dataclasses.asdict(neuron), "biases": None}
            self.values[node.name] = self._neurons(node, neuron, inputs[0], spikes)
        elif self.network.decodes:
            told["cost"] = "single"
            self.values[node.name] = layer["result"] = self._decoded_pool(node, inputs[0], spikes)
        else:
            layer["seen"], layer["result"] = self._pool(node, inputs[0], spikes)
            self.values[node.name] = spikes
        layer["sent"] = self.values[node.name]
        if not emits:
            return
        self.outputs.append(helper.make_tensor_value_info(spikes, TensorProto.FLOAT, ["N", *shape]))
        fan_out = packed(self.network.fan_out[node.name].numpy())
        self.emitters[spikes] = {"node": node.name, "cost": "absolute", "bits": 1, **told, "fan_out": fan_out}

    def _neurons(self, node: Node, neuron: Neuron, value: str, spikes: str) -> str:
        """Write a layer of neurons; return the name of what synapses see."""
        shape, schedule = self.graph.shapes[node.name], self.network.schedule
        depth = self.network.depths[node.name]
        since = self._since(schedule.start(depth))
        current = self._in_time(node.inputs[0], value, depth)
        biased = current
        if node.name in self.network.biases:
            table = self.layers[node.name]["biases"] = self._table(node.name)
            bias = self.writer.node("Gather", [table, self._row(node.name, since)], self._new("bias"))
            biased = self.writer.node("Add", [current, bias], self._new(f"{node.name}.current"))
        olds, news = [], []
        for name, initial in zip(neuron.states, neuron.initial_values, strict=True):
            first = name == neuron.states[0]
            own = self.network.potentials.get(node.name) if first else None
            start = initial if own is None else packed_numbers(own.expand(shape).numpy())
            old, new = self._state(node.name if first else f"{node.name}.{name}", shape, start)
            olds.append(old)
            news.append(new)
        self.layers[node.name]["state"] = olds[0]
        function = neuron.onnx_function()
        self.functions[function.name] = function
        waits = schedule.start(depth) > 0 or schedule.stop(depth) is not None
        fired, after = (self._new("fired"), [self._new("after") for _ in news]) if waits else (spikes, news)
        self.writer.node(function.name, [biased, self._time, *olds], [fired, *after], domain=DOMAIN)
        if waits:  # outside of its time it gathers its current and sends nothing
            may = self._between(since, 0, None if schedule.stop(depth) is None else schedule.steps)
            self.writer.node("Where", [may, fired, self._number(0.0)], spikes)
            gathered = self._gathered(node, neuron, olds[0], current)
            for old, new, later in zip((gathered, *olds[1:]), news, after, strict=True):
                self.writer.node("Where", [may, later, old], new)
        return news[neuron.states.index("decoded")] if neuron.decodes else spikes

    def _gathered(self, node: Node, neuron: Neuron, old: str, current: str) -> str:
        """Write the potential behind a step in which a layer may not fire; it leaks from the step on that wakes it."""
        schedule = self.network.schedule
        gathered = self.writer.node("Add", [old, current], self._new("gathered"))
        if not neuron.drain:
            return gathered
        drained = self.writer.node("Sub", [gathered, self._number(neuron.drain)], self._new("drained"))
        if not schedule.onset_delay:
            return drained
        wakes = min(schedule.bias_start(self.network.depths[node.name]), self._arrivals.get(node.inputs[0], 0))
        awake = self._between(self._since(wakes), 0, None)
        return self.writer.node("Where", [awake, drained, gathered], self._new("asleep"))

    @cached_property
    def _arrivals(self) -> dict[str, int]:
        """For every value that changes with time, the first step in which spikes may reach it."""
        found: dict[str, int] = {}
        for node in self.graph.nodes:
            reached = [found[value] for value in node.inputs if value in found]
            if node.name in self.network.neurons:
                found[node.name] = self.network.schedule.start(self.network.depths[node.name])
            elif reached:
                found[node.name] = min(reached)
        return found

    def _in_time(self, value: str, current: str, depth: int) -> str:
        """Write a current whose biases flow for T steps only, under an onset delay."""
        schedule = self.network.schedule
        if not schedule.onset_delay:
            return current
        flows = self._between(self._since(schedule.bias_start(depth)), 0, schedule.steps)
        resting = self.network.resting.get(value)
        if resting is None:  # the analog input: all of it is constant
            return self.writer.node("Where", [flows, current, self._number(0.0)], self._new("flowing"))
        rest = self.writer.constant("schedule.rest", resting[0].numpy())
        off = self.writer.node("Where", [flows, self._number(0.0), rest], self._new("off"))
        return self.writer.node("Sub", [current, off], self._new("flowing"))

    def _new(self, name: str) -> str:
        return self.writer.fresh(f"schedule.{name}")

    def _number(self, value: float) -> str:
        return self.writer.constant("schedule.number", np.asarray(value, np.float32))

    def _whole(self, value: int) -> str:
        return self.writer.constant("schedule.whole", np.asarray(value, np.int64))

    def _since(self, start: int) -> str:
        """Write the steps since a step."""
        return self.writer.node("Sub", [self.step, self._whole(start)], self._new("since")) if start else self.step

    def _between(self, value: str, first: int, stop: int | None) -> str:
        """Write whether a whole number lies in ``[first, stop)``."""
        begun = self.writer.node("GreaterOrEqual", [value, self._whole(first)], self._new("begun"))
        if stop is None:
            return begun
        open_ = self.writer.node("Less", [value, self._whole(stop)], self._new("open"))
        return self.writer.node("And", [begun, open_], self._new("inside"))

    @cached_property
    def _time(self) -> str:
        """The number of the step, from 1, as a float."""
        counted = self.writer.node("Add", [self.step, self._whole(1)], self._new("count"))
        return self.writer.node("Cast", [counted], self._new("time"), to=TensorProto.FLOAT)

    def _table(self, name: str) -> str:
        return self.writer.constant(f"{name}.biases", self.network.biases[name].numpy())

    def _row(self, name: str, since: str) -> str:
        """Write which row of a table of biases belongs to a step."""
        last = self._whole(len(self.network.biases[name]) - 1)
        least = self.writer.node("Min", [since, last], self._new("least"))
        return self.writer.node("Max", [least, self._whole(0)], self._new("row"))

    def _decoded_pool(self, node: Node, value: str, spikes: str) -> str:
        """Write a maximum of decoded rates; an event is a change of it."""
        old, new = self._state(node.name, self.graph.shapes[node.name], 0.0)
        node.operator.to_onnx(self.writer, [value], [self.graph.shapes[node.inputs[0]]], new)
        self.writer.node("Sub", [new, old], spikes)
        return new

    def _pool(self, node: Node, value: str, output: str) -> tuple[str, str]:
        """Write a pool that counts its input: the exact form, or the gate (see the engine's layers for the algebra).

        Return the value that its maximum is taken of, and that maximum.
        """
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
            return rank, leading
        before, after = self.writer.fresh(f"{node.name}.before"), self.writer.fresh(f"{node.name}.now")
        node.operator.to_onnx(self.writer, [old], [seen], before)
        node.operator.to_onnx(self.writer, [new], [seen], after)
        self.writer.node("Sub", [after, before], output)
        return new, after

    def _readout(self) -> None:
        """Write the estimate of the ANN's output: the mean of the readout so far, or what the step decodes to."""
        value, schedule = self.values[self.graph.output], self.network.schedule
        if self.network.decodes:
            self.writer.node("Identity", [value], self.output)
            return
        latency = self.network.latency
        old, new = self._state("readout", self.graph.shapes[self.graph.output], 0.0)
        read = value
        if schedule.onset_delay:
            rest = self.writer.constant("schedule.rest", self.network.resting[self.graph.output][0].numpy())
            read = self.writer.node("Sub", [value, rest], self._new("arrived"))
        elif latency:
            counts = self._between(self._since(latency), 0, None)
            read = self.writer.node("Where", [counts, value, self._number(0.0)], self._new("arrived"))
        self.writer.node("Add", [old, read], new)
        seen = self.writer.node("Max", [self._since(latency - 1), self._whole(1)], self.writer.fresh("steps_seen"))
        count = self.writer.node("Cast", [seen], self.writer.fresh("steps_seen_float"), to=TensorProto.FLOAT)
        if not schedule.onset_delay:
            self.writer.node("Div", [new, count], self.output)
            return
        mean = self.writer.node("Div", [new, count], self._new("mean"))
        self.writer.node("Add", [mean, rest], self.output)
