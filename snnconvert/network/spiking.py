"""The spiking network: a normal form whose activations are neurons, and what travels along each of its edges."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from snnconvert.errors import ModelError, UsageError
from snnconvert.fold.max_pool import AveragedMaxPool, Pooling
from snnconvert.graph import Graph, Node, Role
from snnconvert.network.normal_form import NormalForm
from snnconvert.network.pooling import before_neurons, pool_notes
from snnconvert.network.schedule import Schedule
from snnconvert.neurons import Neuron

Encoding = Literal["constant", "events"]  # how a sample is presented
PLAIN = Schedule(1)  # all layers fire from the first step on, and go on for ever


class Traffic(Enum):
    """What a value is while the network runs."""

    EVENTS = "input events"  # what of a recording arrives in a step: most of it is zero
    CONSTANT = "constant"  # depends on the input alone, which does not change: computed once
    SPIKES = "spikes"  # 0 or 1
    CURRENT = "current"  # a weighted sum of spikes, on its way to a neuron
    GRADED = "graded current"  # a weighted sum that meets more weights or a maximum before any neuron


def mean_over_time(x: Tensor, encoding: Encoding) -> Tensor:
    """Return samples as the ANN takes them ``(N, ...)``: of what arrives over time ``(N, T, ...)``, the mean."""
    return x.mean(1) if encoding == "events" else x


@dataclass(frozen=True)
class SpikingNetwork:
    """``graph`` is in normal form; ``neurons`` has a model for each of its activations; ``pooling`` is as asked for.

    ``biases`` are currents beside those of the synapses, ``(rows, ...)``, for some layers of neurons: a row for each
    step in which the layer may fire, the last one for all that follow. ``potentials`` are initial ones, ``(...)`` of a
    sample, where they are not the neuron's own. Both are in thresholds and broadcast to a sample.

    ``stop_lead`` is the lead of the best class, in the sum of outputs over the steps, that settles a sample, which then
    need not run on; None where all run to the end.

    ``encoding`` tells what the input is: a sample, at every step, or what of a recording arrives in each step.
    """

    graph: Graph
    neurons: Mapping[str, Neuron]
    scales: Mapping[str, Tensor]
    pooling: Pooling = "exact"
    schedule: Schedule = PLAIN
    biases: Mapping[str, Tensor] = field(default_factory=dict)
    potentials: Mapping[str, Tensor] = field(default_factory=dict)
    stop_lead: float | None = None
    encoding: Encoding = "constant"

    @property
    def bins(self) -> int | None:
        """In how many steps a sample arrives ``(N, bins, ...)``; None where it is presented as a whole ``(N, ...)``."""
        return self.schedule.steps if self.encoding == "events" else None

    @cached_property
    def digest(self) -> str:
        """A digest of all that is simulated: equal ones mean equal spikes on the same kind of processor."""
        found = hashlib.sha256()

        def add(values: Tensor) -> Tensor:
            found.update(f"{values.dtype} {tuple(values.shape)}".encode() + values.cpu().contiguous().numpy().tobytes())
            return values

        self.graph.mapped(add)
        nodes = [(node.name, node.inputs, type(node.operator).__name__) for node in self.graph.nodes]
        rest = sorted(self.neurons.items()), self.pooling, self.schedule, self.stop_lead, self.encoding
        found.update(repr((nodes, self.graph.shapes, rest)).encode())
        for tensors in (self.scales, self.biases, self.potentials):
            for name, values in sorted(tensors.items()):
                found.update(name.encode())
                add(values)
        return found.hexdigest()

    @cached_property
    def depths(self) -> dict[str, int]:
        """For every value, the layers of neurons on the longest path to it, less one."""
        found = {self.graph.input: -1}
        for node in self.graph.nodes:
            found[node.name] = max(found[value] for value in node.inputs) + (node.name in self.neurons)
        return found

    @property
    def latency(self) -> int:
        """Steps that pass before the first one that the readout counts."""
        return self.schedule.latency(self.depths[self.graph.output])

    @property
    def schedule_document(self) -> dict[str, float]:
        """What metrics.json says of the schedule."""
        told = self.schedule.document(self.depths[self.graph.output])
        return told if self.stop_lead is None else told | {"stop_lead": self.stop_lead}

    @property
    def decodes(self) -> bool:
        """Whether synapses see decoded rates: then the output of a step is the estimate, and none is summed up."""
        return any(neuron.decodes for neuron in self.neurons.values())

    @cached_property
    def resting(self) -> dict[str, Tensor]:
        """For every value that changes with time, what it is while nothing fires, ``(1, ...)``: that of its biases."""
        found: dict[str, Tensor] = {}
        if self.bins is not None:
            found[self.graph.input] = torch.zeros(1, *self.graph.input_shape)
        for node in self.graph.nodes:
            if self.traffic[node.name] is Traffic.CONSTANT:
                continue
            if any(value not in found for value in node.inputs) and node.name not in self.neurons:
                raise ModelError(
                    "E118",
                    f"node '{node.name}': the analog input meets spikes there, which an onset delay does not allow",
                    "--onset-delay 0",
                )
            still = node.name in self.neurons or node.name in self.pools
            shape = (1, *self.graph.shapes[node.name])
            inputs = [] if still else [found[value] for value in node.inputs]
            found[node.name] = torch.zeros(shape) if still else node.operator.evaluate(inputs)
        return found

    @cached_property
    def input_is_read(self) -> bool:
        """Whether the input reaches the output on a path without neurons."""
        reached = {self.graph.input}
        for node in self.graph.nodes:
            if node.name not in self.neurons and not reached.isdisjoint(node.inputs):
                reached.add(node.name)
        return self.graph.output in reached

    @cached_property
    def traffic(self) -> dict[str, Traffic]:
        """For every value, what it is."""
        kinds = {self.graph.input: Traffic.CONSTANT if self.bins is None else Traffic.EVENTS}
        weighed = {self.graph.input: False}  # has passed through weights since the last neuron
        for node in self.graph.nodes:
            kinds[node.name] = _traffic(node, [kinds[value] for value in node.inputs])
            role = node.operator.role
            changes = role in (Role.WEIGHTED, Role.SUM, Role.MAXIMUM) or any(weighed[value] for value in node.inputs)
            weighed[node.name] = changes and kinds[node.name] is not Traffic.SPIKES
        for node in self.graph.nodes:
            meets_weights = node.operator.role in (Role.WEIGHTED, Role.MAXIMUM)
            for value in node.inputs if meets_weights else ():
                if kinds[value] is Traffic.CURRENT and weighed[value]:
                    kinds[value] = Traffic.GRADED
        return kinds

    @cached_property
    def pools(self) -> dict[str, Pooling]:
        """For every max pool of the model over what changes with time, the form that it takes."""
        forms: dict[str, Pooling] = {}
        ahead = before_neurons(self.graph) if self.pooling == "before" else set()
        for node in self.graph.nodes:
            kind = self.traffic[node.inputs[0]]
            if isinstance(node.operator, AveragedMaxPool):
                forms[node.name] = "average"
            elif node.operator.role is Role.MAXIMUM and kind is not Traffic.CONSTANT:
                before = kind is Traffic.GRADED and node.name in ahead
                forms[node.name] = "gate" if self.pooling == "gate" else "before" if before else "exact"
        return forms

    @property
    def pool_notes(self) -> list[str]:
        """What a user must know of the pools: which are approximated, and how."""
        return pool_notes(self.pools, self.pooling)

    @cached_property
    def stateful(self) -> tuple[Node, ...]:
        """The nodes that keep a state: neurons, and pools that count their input."""
        return tuple(
            node
            for node in self.graph.nodes
            if node.name in self.neurons or self.pools.get(node.name) in ("exact", "gate")
        )

    @cached_property
    def emitters(self) -> tuple[Node, ...]:
        """The nodes that send spikes of their own: neurons, and pools over spikes."""
        return tuple(node for node in self.stateful if self.traffic[node.name] is Traffic.SPIKES)

    @cached_property
    def fan_out(self) -> dict[str, Tensor]:
        """For each emitter and the input, the connections that leave each element, ``(...)`` of its shape, float64.

        A connection ends at the next neuron, pool, graded current or output; through average pools, reshapes and sums
        there is one for each target. What a graded current does afterwards is multiplication: see ``graded_macs``.
        """
        return self._connections(effective=False)

    @cached_property
    def effective_fan_out(self) -> dict[str, Tensor]:
        """The same without the connections whose weight is zero."""
        return self._connections(effective=True)

    def _connections(self, effective: bool) -> dict[str, Tensor]:
        ends = {node.name for node in self.stateful} | set(self.graded)
        flows = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in self.graph.shapes.items()}
        flows[self.graph.output] = flows[self.graph.output] + 1
        for node in reversed(self.graph.nodes):
            downstream = torch.ones_like(flows[node.name]) if node.name in ends else flows[node.name]
            shapes = self.graph.input_shapes(node)
            for index, value in enumerate(node.inputs):
                if node.name in self.neurons:
                    flows[value] = flows[value] + 1
                else:
                    count = node.operator.effective_fan_out if effective else node.operator.fan_out
                    flows[value] = flows[value] + count(downstream, shapes, index)
        return {name: flows[name] for name in (*(node.name for node in self.emitters), self.graph.input)}

    @property
    def graded(self) -> list[str]:
        """Values that travel as graded currents between weights."""
        return [name for name, kind in self.traffic.items() if kind is Traffic.GRADED]


def _traffic(node: Node, inputs: list[Traffic]) -> Traffic:
    role = node.operator.role
    if role is Role.ACTIVATION:
        return Traffic.SPIKES
    if all(kind is Traffic.CONSTANT for kind in inputs):
        return Traffic.CONSTANT
    moves = role in (Role.MAXIMUM, Role.IDENTITY) or node.operator.keeps_spikes
    if moves and all(kind is Traffic.SPIKES for kind in inputs):
        return Traffic.SPIKES
    return Traffic.CURRENT


def spiking_network(
    normal: NormalForm,
    neuron: Neuron,
    pooling: Pooling = "exact",
    schedule: Schedule = PLAIN,
    encoding: Encoding = "constant",
) -> SpikingNetwork:
    """Put a layer of neurons in the place of every activation, and a form in time in that of every max pool.

    Raises:
        ModelError: there is no activation (E119): nothing would spike; a pool that cannot be run so (E118).
        UsageError: the neuron, or the encoding, cannot follow the schedule (E003).
    """
    if not normal.graph.activations:
        raise ModelError(
            "E119",
            f"{normal.graph.name}: the network has no ReLU: nothing would spike",
            "convert a network with ReLU between its layers; with --output-name, choose an output behind one",
        )
    waits = schedule.onset_delay or schedule.warm_up
    if waits and not neuron.keeps_charge:
        option = "--onset-delay" if schedule.onset_delay else "--warm-up"
        raise UsageError("E003", f"{option}: a neuron '{neuron.name}' that may not fire loses what it would have sent")
    if encoding == "events" and schedule.readout_from:
        raise UsageError(
            "E003",
            "--readout-from: with --encoding events the first steps bring a part of the sample",
            "--warm-up lets layers wait, and no step is left out",
        )
    if encoding == "events" and neuron.decodes:
        what = f"--encoding events: a neuron '{neuron.name}' takes its input for a running mean, which events are not"
        raise UsageError("E003", what, "another --neuron")
    neurons = {node.name: neuron for node in normal.graph.activations}
    network = SpikingNetwork(normal.graph, neurons, normal.scales, pooling, schedule, encoding=encoding)
    for name, form in network.pools.items():
        kind = network.traffic[network.graph.by_name[name].inputs[0]]
        what = f"node '{name}' (MaxPool)"
        if form == "gate" and (kind is not Traffic.SPIKES or neuron.spikes != "binary"):
            sent = kind.value if kind is not Traffic.SPIKES else f"{neuron.spikes} spike"
            raise ModelError(
                "E118", f"{what}: a gate passes binary spikes, and the input is a {sent}", "--max-pool exact"
            )
        if schedule.onset_delay and kind is not Traffic.SPIKES and form != "average":
            raise ModelError("E118", f"{what}: a maximum of currents cannot be delayed", "--onset-delay 0")
    if schedule.onset_delay and encoding == "events" and network.input_is_read:
        what = f"node '{network.graph.output}': the input reaches the output beside the neurons, which are delayed"
        raise ModelError("E118", what, "--onset-delay 0, or --encoding constant")
    if schedule.onset_delay:
        _ = network.resting  # refuses what cannot be delayed
    return network
