"""Runs a network one layer after the other, all steps of a layer at once: what corrections of a layer are fitted on.

The networks have no loops, so that this is the same simulation as the engine's, in another order. Only the spikes of
layers are kept, and only until their last reader has run; currents are made from them when they are asked for, and kept
within a limit of memory.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from snnconvert.calibrate.collect import channels_last
from snnconvert.errors import InternalError
from snnconvert.graph import Node, Operator, Role
from snnconvert.memory import allowed
from snnconvert.network import SpikingNetwork, Traffic, mean_over_time
from snnconvert.neurons import Neuron
from snnconvert.neurons.integrate_and_fire import is_plain
from snnconvert.simulate.layers import NeuronLayer, empty_like_block, flat, ordered
from snnconvert.simulate.pools import pool_layer
from snnconvert.simulate.spike_store import SpikeStore, bits_of

CHUNK = 16  # samples whose currents are computed together, at most
CHUNK_BYTES = 2**28  # and bytes of these currents, in all steps
KEPT = 2**31  # bytes of currents that are kept, at most; beyond that they are computed anew at each pass
SHARE = 4  # and no more than the fourth part of what this process may take: neither changes a result


@dataclass
class LayerRun:
    """One layer of neurons that is about to run; whoever visits it may set its bias, potential and amplitude first.

    ``amplitude`` is what a spike is worth, and the threshold, in units of the current, ``(...)`` of a sample; or 1.
    """

    node: Node
    run: "Layerwise"
    depth: int
    bias: Tensor | None = None
    potential: Tensor | None = None
    amplitude: Tensor | None = None
    _currents: dict[int, Tensor] = field(default_factory=dict)

    @property
    def neuron(self) -> Neuron:
        """The neuron model."""
        return self.run.network.neurons[self.node.name]

    @cached_property
    def steps(self) -> tuple[int, int]:
        """The steps ``[first, last)`` in which it receives or fires."""
        schedule = self.run.network.schedule
        if schedule.onset_delay:
            sources = [kept.start for kept in self.run.sources(self.node.inputs[0])]
            return min([schedule.bias_start(self.depth), *sources]), schedule.start(self.depth) + schedule.steps
        return 0, schedule.counted

    @property
    def firing_steps(self) -> int:
        """In how many of them it may fire."""
        return max(self.steps[1] - self.run.network.schedule.start(self.depth), 0)

    def currents(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the currents of chunks of samples, ``(steps * n, ...)`` time first; ``(n, ...)`` where constant."""
        for chunk in self.run.chunks:
            if chunk.start in self._currents:
                yield chunk, self._currents[chunk.start]
                continue
            current = self.run.current(self, chunk)
            if self.run.kept_bytes + current.nbytes <= self.run.kept_limit:
                self.run.kept_bytes += current.nbytes
                self._currents[chunk.start] = current
            yield chunk, current

    def fire(self) -> Iterator[tuple[slice, Tensor, NeuronLayer]]:
        """Run the layer chunk by chunk, as it is set; yield what it sends ``(steps * n, ...)``, and its state."""
        first, last = self.steps
        at = first - self.run.network.schedule.start(self.depth)
        for chunk, current in self.currents():
            count = chunk.stop - chunk.start
            scaled = current if self.amplitude is None else current / self.amplitude
            layer = NeuronLayer(self.neuron, scaled[:count], self.run.fused, self.bias, self.potential)
            yield chunk, layer.advance(scaled, last - first, len(current) != count, at).to(scaled), layer

    def mean_spikes(self) -> Tensor:
        """Run the layer and return the mean over samples of what it sends in each step in which it may fire.

        ``(steps, ...)``, float32, on the CPU.
        """
        shape = self.run.network.graph.shapes[self.node.name]
        total = ordered(torch.zeros((self.firing_steps, *shape)))
        first, last = self.steps
        here = self.run.fused and self.run.device.type == "cpu"
        if here and is_plain(self.neuron) and self.amplitude is None and self.neuron.keeps_charge:
            from snnconvert.simulate.fused import sum_spikes

            for chunk, current in self.currents():
                layer = NeuronLayer(self.neuron, current[: chunk.stop - chunk.start], True, self.bias, self.potential)
                arrays = (flat(each, 1)[0] for each in (ordered(current), layer.state[0], total))
                currents, potentials, sums = arrays
                biases, silent = layer.flat_bias(len(total), 0), last - first - len(total)
                sum_spikes(currents, biases, potentials, sums, total[0].numel(), last - first, silent)
            return total / self.run.samples
        for chunk, sent, _ in self.fire():
            by_step = sent.view(last - first, chunk.stop - chunk.start, *shape)[-len(total) :]
            total += by_step.sum(1).cpu()
        return total / self.run.samples

    def release(self) -> None:
        """Let go of the currents."""
        self.run.kept_bytes -= sum(current.nbytes for current in self._currents.values())
        self._currents.clear()


def bytes_a_sample(network: SpikingNetwork) -> int:
    """Return about how much memory a run takes for each sample: spikes of two layers, and the rates of all."""
    steps = network.schedule.counted
    sizes = {name: math.prod(network.graph.shapes[name]) for name in network.neurons}
    one = max(bits_of(network.neurons[name]) for name in sizes) / 8
    arrives = 4 * math.prod(network.graph.input_shape) * (network.bins or 1)
    return math.ceil(2 * max(sizes.values()) * steps * one) + 8 * sum(sizes.values()) + arrives


class Layerwise:
    """A network that runs layer by layer on samples ``x``, as the engine takes them; weights may be exchanged before.

    ``operators`` holds the weights that took the place of the graph's.
    """

    def __init__(self, network: SpikingNetwork, x: Tensor, fused: bool = True) -> None:
        self.network = network
        self.graph = network.graph.mapped(lambda tensor: channels_last(tensor.to(x.device)))
        self.operators: dict[str, Operator] = {}
        self.fused = fused  # a block of steps of a layer of neurons
        self.device = x.device
        self.kept_bytes, self.kept_limit = 0, min(KEPT, allowed() // SHARE)
        self.samples = len(x)
        steps = network.schedule.counted
        widest = 4 * steps * max(math.prod(network.graph.shapes[name]) for name in network.neurons)
        size = max(1, min(CHUNK, CHUNK_BYTES // widest)) if x.device.type == "cpu" else CHUNK * 8
        self.chunks = [slice(start, min(start + size, len(x))) for start in range(0, len(x), size)]
        self._constants: dict[str, Tensor] = {}
        self._sent: dict[str, SpikeStore] = {}
        self._rates: dict[str, Tensor] = {}  # of the same layers, (N, ...)
        if network.bins is None:
            self._constants[self.graph.input] = channels_last(x)
        else:
            self._sent[self.graph.input] = SpikeStore(0, x.shape[1], x.transpose(0, 1))
            self._rates[self.graph.input] = mean_over_time(x, network.encoding)
        delayed = network.schedule.onset_delay > 0
        self._rest = {name: rest.to(x.device) for name, rest in network.resting.items()} if delayed else {}
        self._stateful = {node.name for node in network.stateful}
        self._last_needed = self._last_readers()

    def _last_readers(self) -> dict[str, str]:
        """Return, for every stateful value, the last stateful node (or the output) that is made from it."""
        sources: dict[str, set[str]] = {self.graph.input: {*self._sent}}
        last: dict[str, str] = {}
        for node in self.graph.nodes:
            behind = set().union(*(sources[value] for value in node.inputs))
            if node.name in self._stateful:
                last |= dict.fromkeys(behind, node.name)
                behind = {node.name}
            sources[node.name] = behind
        return {name: reader for name, reader in last.items() if name not in sources[self.graph.output]}

    def operator(self, name: str) -> Operator:
        """Return the operator of a node, as it was exchanged or is."""
        return self.operators.get(name) or self.graph.by_name[name].operator

    def run(self, visit: Callable[[LayerRun], None]) -> None:
        """Run all layers in order; ``visit`` is called with each layer of neurons before it fires."""
        with torch.no_grad():
            for node in self.graph.nodes:
                if node.name in self.network.neurons:
                    layer = LayerRun(node, self, self.network.depths[node.name])
                    visit(layer)
                    self._keep(layer)
                    layer.release()
                elif node.name in self._stateful:
                    self._pool(node)
                elif self.network.traffic[node.name] is Traffic.CONSTANT:
                    self._constants[node.name] = self.operator(node.name).evaluate(
                        [self._constants[value] for value in node.inputs]
                    )
                if node.name in self._stateful:
                    for name in [name for name, reader in self._last_needed.items() if reader == node.name]:
                        self._sent.pop(name, None)
                        self._rates.pop(name, None)

    def _keep(self, layer: LayerRun) -> None:
        name, neuron = layer.node.name, layer.neuron
        first, last = layer.steps
        start = self.network.schedule.start(layer.depth)
        shape = (layer.firing_steps, self.samples, *self.graph.shapes[name])
        kept = SpikeStore.empty(start, shape, bits_of(neuron), self.device)
        rates = torch.empty(shape[1:], device=self.device)
        for chunk, sent, state in layer.fire():
            by_step = sent.view(last - first, chunk.stop - chunk.start, *shape[2:])
            kept.put(chunk, by_step[start - first :])
            rates[chunk] = state.rate(self.network.schedule.counted)
        self._sent[name] = replace(kept, amplitude=layer.amplitude)
        self._rates[name] = rates if layer.amplitude is None else rates * layer.amplitude

    def _pool(self, node: Node) -> None:
        (value,) = node.inputs
        sources = self.sources(value)
        first = min((kept.start for kept in sources), default=0)
        steps = range(first, max((kept.start + kept.steps for kept in sources), default=self.network.schedule.counted))
        as_sent = self.network.traffic[value] is Traffic.SPIKES and all(kept.amplitude is None for kept in sources)
        bits = max(bits_of(neuron) for neuron in self.network.neurons.values()) if as_sent else 32
        shape = (self.samples, *self.graph.shapes[node.name])
        kept = SpikeStore.empty(first, (len(steps), *shape), bits, self.device)
        rates = torch.empty(shape, device=self.device)
        for chunk in self.chunks:
            block = torch.cat([self._at(value, step, chunk, {}) for step in steps])
            layer = pool_layer(self.network, node.name, self.operator(node.name), block, chunk.stop - chunk.start)
            sent = layer.advance(ordered(block), len(steps), True, first)
            kept.put(chunk, sent.view(len(steps), chunk.stop - chunk.start, *shape[1:]))
            rates[chunk] = layer.rate(self.network.schedule.counted)
        self._sent[node.name], self._rates[node.name] = kept, rates

    def sources(self, value: str) -> list[SpikeStore]:
        """Return the layers that a current is made from."""
        found, waiting, seen = [], [value], set()
        while waiting:
            name = waiting.pop()
            if name in self._sent:
                found.append(self._sent[name])
            elif name not in self._constants and name not in seen:
                waiting += self.graph.by_name[name].inputs
            seen.add(name)
        return found

    def current(self, layer: LayerRun, chunk: slice) -> Tensor:
        """Return the current of a layer for a chunk of samples, in all of its steps: ``(steps * n, ...)``."""
        (value,) = layer.node.inputs
        first, last = layer.steps
        schedule, count = self.network.schedule, chunk.stop - chunk.start
        if value in self._constants:
            return self._constants[value][chunk]
        sources = self.sources(value)
        flowing = schedule.bias_start(layer.depth)
        block: Tensor | None = None
        for step in range(first, last):
            flows = not schedule.onset_delay or flowing <= step < flowing + schedule.steps
            if schedule.onset_delay and all(kept.at(step, slice(0, 0)) is None for kept in sources):
                rest = self._rest[value]
                now = (rest if flows else torch.zeros_like(rest)).expand(count, *rest.shape[1:])
            else:
                now = self._at(value, step, chunk, {})
                now = now if flows else now - self._rest[value]
            block = empty_like_block(now, last - first) if block is None else block
            block[(step - first) * count : (step - first + 1) * count] = now
        if block is None:
            raise InternalError("E912", f"node '{layer.node.name}' has no step to run in")
        return block

    def _at(self, value: str, step: int, chunk: slice, done: dict[str, Tensor]) -> Tensor:
        """Return a value in one step."""
        if value in self._constants:
            return self._constants[value][chunk]
        if value in self._sent:
            kept = self._sent[value]
            sent = kept.at(step, chunk)
            return sent if sent is not None else torch.zeros(kept.spikes[:0, chunk].shape[1:], device=self.device)
        if value not in done:
            inputs = [self._at(each, step, chunk, done) for each in self.graph.by_name[value].inputs]
            done[value] = self.operator(value).evaluate(inputs)
        return done[value]

    def mean(self, value: str, chunk: slice) -> Tensor:
        """Return a value made from the rates of the layers that have run: the mean over time of what it was."""
        if value in self._constants:
            return self._constants[value][chunk]
        if value in self._rates:
            return channels_last(self._rates[value][chunk])
        return self.operator(value).evaluate([self.mean(each, chunk) for each in self.graph.by_name[value].inputs])

    def refittable(self, value: str) -> list[Node]:
        """Return the weighted nodes whose outputs reach a value through nothing but sums."""
        node = self.graph.by_name.get(value)
        if node is None or self.network.traffic[value] is Traffic.CONSTANT:
            return []
        if node.operator.role is Role.WEIGHTED:
            return [node] if len(self.graph.consumers[value]) + (value == self.graph.output) == 1 else []
        if node.operator.role is Role.SUM and len(self.graph.consumers[value]) + (value == self.graph.output) == 1:
            return [each for name in node.inputs for each in self.refittable(name)]
        return []
