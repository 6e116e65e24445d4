"""From a spiking network to a NIR graph: one function for each kind of operator, and a reason where NIR has no words.

Profiles: ``portable`` is what the readers of other simulators take (dense square kernels, SumPool2d with its factor in
the next weights, Affine, Flatten, IF); ``native`` keeps groups, rectangular kernels, one axis of space and scales by
element as NIR itself has them, for readers that take all of NIR, without its check of types, which refuses groups.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from snnconvert.errors import ModelError
from snnconvert.export.nir.kernels import dense, embedded, pool_kernel
from snnconvert.export.nir.moves import chosen, padded, sliced
from snnconvert.export.nir.neurons import if_node
from snnconvert.export.nir.refusal import MOST, WHERE, Inexpressible, require_room
from snnconvert.export.nir.terms import Term, stacked, summed
from snnconvert.export.nir.writer import INPUT, NirWriter
from snnconvert.graph import Node, Operator, Role, Shape
from snnconvert.network import SpikingNetwork
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import AveragePool, Mean
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.reshape import Concat, Reshape
from snnconvert.operators.selection import Pad, Selection, Slice
from snnconvert.operators.take import Take

Profile = Literal["portable", "native"]
PROFILES: tuple[Profile, ...] = ("portable", "native")
NATIVE = "--nir-profile native keeps it as it is"


def nir_graph(
    network: SpikingNetwork, about: Mapping[str, Any], profile: Profile = "portable"
) -> tuple[Any, list[str]]:
    """Return a network as a ``nir.NIRGraph`` with ``about`` in its metadata, and lines on what was written otherwise.

    Raises:
        ModelError: NIR cannot express the network (E126).
        OutputError: the package nir is not installed (E404).
    """
    return _Lowering(network, profile).graph(about)


class _Lowering:
    """The NIR graph while it is written; ``values`` are the network's, as sums of terms."""

    def __init__(self, network: SpikingNetwork, profile: Profile) -> None:
        self.network, self.native = network, profile == "native"
        self.shapes = network.graph.shapes
        self.writer = NirWriter(network.graph.input_shape)
        channels = network.graph.input_shape[0]
        self.values = {network.graph.input: [Term(INPUT, channels)]}
        self.notes: list[str] = []

    def graph(self, about: Mapping[str, Any]) -> tuple[Any, list[str]]:
        schedule, graph = self.network.schedule, self.network.graph
        if schedule.onset_delay or schedule.warm_up:
            option = "--onset-delay" if schedule.onset_delay else "--warm-up"
            self._refuse("neurons", "NIR has no neurons that wait before they fire", f"convert it without {option}")
        for node in graph.nodes:
            try:
                if "\0" in node.name:
                    raise Inexpressible(
                        "a NUL in its name, which no text in HDF5 holds", "name it otherwise in the model"
                    )
                self.values[node.name] = self._terms(node)
            except Inexpressible as refusal:
                self._refuse(f"node '{node.name}' ({type(node.operator).__name__})", refusal.reason, refusal.hint)
        shape = self.shapes[graph.output]
        last = self._plain(graph.output, self.values[graph.output])
        if len(last) > 1:  # nirtorch returns what meets in an Output apart, and does not sum it
            joined = self._written(f"{graph.output}.sum", Term(last[0].source, shape[0]), shape)
            self.writer.edges += [(term.source, joined.source) for term in last[1:]]
            last = [joined]
        return self.writer.finish(last[0].source, shape, about, not self.native), self.notes

    def _refuse(self, what: str, reason: str, hint: str) -> None:
        raise ModelError("E126", f"{self.network.graph.name}: {what}: {reason}", hint)

    def _terms(self, node: Node) -> list[Term]:
        operator, inputs = node.operator, [self.values[value] for value in node.inputs]
        if node.name in self.network.neurons:
            return self._neurons(node, inputs[0])
        if operator.role is Role.SUM:
            return summed([term for terms in inputs for term in terms])
        if operator.role is Role.IDENTITY:
            return inputs[0]
        if isinstance(operator, Concat):
            if operator.axis or any(term.inner > 1 for terms in inputs for term in terms):
                raise Inexpressible("values are joined along an axis that is not their channels")
            return stacked(inputs, [self.shapes[value][0] for value in node.inputs])
        if operator.role is Role.MAXIMUM:
            raise Inexpressible(
                "NIR has no maximum", "--approximate max-pool takes means; better, convert it with --max-pool average"
            )
        for kind, lower in _LOWERED.items():
            if isinstance(operator, kind):
                return lower(self, node, operator, inputs[0])
        raise Inexpressible("NIR has no node for it")

    def _convolution(self, node: Node, operator: Convolution, terms: list[Term]) -> list[Term]:
        bias, shape, window = operator.bias, self.shapes[node.name], operator.window
        if bias is not None and bias.ndim > 1:
            raise Inexpressible("its bias differs from place to place, and NIR's has one number a channel")
        if len(shape) == 2 and not self.native:
            raise Inexpressible("one axis of space, which few readers of NIR take", NATIVE)
        found = []
        for index, term in enumerate(terms):
            grouped = self.native and term.matrix is None and operator.groups > 1
            weight = operator.weight * term.factor if grouped else term.into(self._dense(node, operator))
            try:
                weight, padding = embedded(weight, window, self.writer.shapes[term.source][1:], not self.native)
            except ValueError as problem:
                raise Inexpressible(str(problem), WHERE if self.native else NATIVE) from None
            name = node.name if len(terms) == 1 else f"{node.name}.{index}"
            rest = window.stride, padding, window.dilation, operator.groups if grouped else 1
            found.append(self.writer.convolution(name, term, weight, None if index else bias, shape, *rest))
        return found

    def _dense(self, node: Node, operator: Convolution) -> Tensor:
        if operator.groups == 1:
            return operator.weight
        size = operator.weight.numel() * operator.groups
        if size > MOST:
            raise Inexpressible(f"written densely, its {operator.groups} groups take {size} weights", NATIVE)
        self.notes.append(f"node '{node.name}': {operator.groups} groups are written as {size} weights of one")
        return dense(operator.weight, operator.groups)

    def _linear(self, node: Node, operator: Linear, terms: list[Term]) -> list[Term]:
        if len(self.shapes[node.inputs[0]]) != 1:
            raise Inexpressible("weights along the last of several axes")
        found = []
        for index, term in enumerate(terms):
            by_channel = operator.weight.reshape(len(operator.weight), -1, term.inner)
            weight = term.into(by_channel).flatten(1)
            name = node.name if len(terms) == 1 else f"{node.name}.{index}"
            found.append(self.writer.affine(name, term, weight, None if index else operator.bias))
        return found

    def _affine(self, node: Node, operator: Affine, terms: list[Term]) -> list[Term]:
        return self._weighed(node, terms, operator.scale, operator.shift)

    def _weighed(self, node: Node, terms: list[Term], scale: Tensor, shift: Tensor) -> list[Term]:
        """Return ``scale * value + shift``, both of the value's rank."""
        shape = self.shapes[node.name]
        if any(size != 1 for size in (*scale.shape[1:], *shift.shape[1:])):
            if not self.native or bool(shift.any()):
                raise Inexpressible("its weights differ from place to place", "" if bool(shift.any()) else NATIVE)
            plain = [term.source for term in self._plain(node.name, terms)]
            whole = self.writer.nir.Scale(scale=np.array(scale.expand(shape).numpy()))
            return [Term(self.writer.add(node.name, whole, plain, shape), shape[0])]
        if any(term.inner > 1 for term in terms):
            raise Inexpressible("weights by element behind a Flatten")
        require_room(shape[0], shape[0])
        found = [term.mapped(torch.diag(scale.reshape(-1).expand(shape[0]).double())) for term in terms]
        if not bool(shift.any()):
            return found
        first = self._written(node.name, found[0], shape, shift.reshape(-1).expand(shape[0]))
        return [first, *found[1:]]

    def _selection(self, node: Node, operator: Selection, terms: list[Term]) -> list[Term]:
        shape = self.shapes[node.inputs[0]]
        cut = sliced(self.writer, node.name, operator.slice, shape, terms)
        moved = padded(operator.pad, operator.slice.infer_shape([shape]), cut)
        return self._weighed(node, moved, operator.weight, operator.bias)

    def _slice(self, node: Node, operator: Slice, terms: list[Term]) -> list[Term]:
        return sliced(self.writer, node.name, operator, self.shapes[node.inputs[0]], terms)

    def _pad(self, node: Node, operator: Pad, terms: list[Term]) -> list[Term]:
        return padded(operator, self.shapes[node.inputs[0]], terms)

    def _take(self, node: Node, operator: Take, terms: list[Term]) -> list[Term]:
        if operator.axis:
            raise Inexpressible("places in another order")
        return chosen(operator.index, self.shapes[node.inputs[0]], terms)

    def _average(self, node: Node, operator: AveragePool, terms: list[Term]) -> list[Term]:
        window, shape = operator.window, self.shapes[node.name]
        if len(shape) != 3:
            raise Inexpressible("a pool along one axis of space")
        bordered = any((*window.before, *window.after))
        if any(operator.extension) or (bordered and not operator.count_padding):
            raise Inexpressible("its windows at the border have fewer elements, and NIR's pools have one size")
        if not bordered and window.dilation == (1, 1):
            return [self._pooled(node, term, window.kernel, window.stride, shape[1:]) for term in terms]
        channels = self.shapes[node.inputs[0]][0]
        require_room(channels, channels, *window.kernel)
        spread = Convolution(pool_kernel(channels, window.kernel).float(), None, window)
        return self._convolution(node, spread, terms)

    def _pooled(self, node: Node, term: Term, kernel: tuple[int, ...], stride: tuple[int, ...], space: Shape) -> Term:
        """Return a sum over windows of a term's source: the mean's factor goes into the next weights."""
        settings = {"kernel_size": np.array(kernel), "stride": np.array(stride), "padding": np.array([0, 0])}
        pool = self.writer.nir.SumPool2d(**settings)
        name = self.writer.add(node.name, pool, [term.source], (term.channels, *space))
        return Term(name, term.channels, term.matrix, term.factor / math.prod(kernel))

    def _mean(self, node: Node, operator: Mean, terms: list[Term]) -> list[Term]:
        seen = self.shapes[node.inputs[0]]
        if operator.axes != (1, 2) or len(seen) != 3:
            raise Inexpressible(f"a mean over the axes {operator.axes}")
        found = [self._pooled(node, term, seen[1:], seen[1:], (1, 1)) for term in terms]
        return found if operator.keep else [self._flat(f"{node.name}.flat", term) for term in found]

    def _reshape(self, node: Node, operator: Reshape, terms: list[Term]) -> list[Term]:
        before, after = self.shapes[node.inputs[0]], self.shapes[node.name]
        if before == after:
            return terms
        if after != (math.prod(before),) or len(before) == 1:
            raise Inexpressible(f"shape {before} becomes {after}; NIR only flattens")
        return [self._flat(node.name, term) for term in terms]

    def _flat(self, name: str, term: Term) -> Term:
        """Return a term whose source is flattened: each of its channels is a run of elements."""
        shape = self.writer.shapes[term.source]
        node = self.writer.nir.Flatten(input_type={"input": np.array(shape)}, start_dim=-len(shape), end_dim=-1)
        source = self.writer.add(name, node, [term.source], (math.prod(shape),))
        return Term(source, term.channels, term.matrix, term.factor, math.prod(shape[1:]))

    def _written(self, name: str, term: Term, shape: Shape, bias: Tensor | None = None) -> Term:
        """Return a term of a value of this shape as a node of its own: weights from channel to channel."""
        weight = term.dense()
        if len(shape) == 1:
            if term.inner > 1:
                require_room(weight.numel(), term.inner, term.inner)
                weight = torch.kron(weight, torch.eye(term.inner))
            return self.writer.affine(f"{name}.weights", term, weight, bias)
        ones = (1,) * (len(shape) - 1)
        kernel = weight.reshape(*weight.shape, *ones)
        return self.writer.convolution(f"{name}.weights", term, kernel, bias, shape, ones, (0,) * len(ones), ones)

    def _plain(self, name: str, terms: list[Term]) -> list[Term]:
        """Return the terms of a value as nodes whose outputs are just summed."""
        shape = self.shapes[name]
        return [term if term.plain else self._written(name, term, shape) for term in terms]

    def _neurons(self, node: Node, terms: list[Term]) -> list[Term]:
        shape, neuron = self.shapes[node.name], self.network.neurons[node.name]
        plain = self._plain(node.inputs[0], terms)
        rows = self.network.biases.get(node.name)
        if rows is not None and bool(rows.any()):
            plain = self._with_bias(node, plain, rows)
        potential = self.network.potentials.get(node.name)
        made = if_node(self.writer.nir, node.name, neuron, shape, potential)
        return [Term(self.writer.add(node.name, made, [term.source for term in plain], shape), shape[0])]

    def _with_bias(self, node: Node, terms: list[Term], rows: Tensor) -> list[Term]:
        """Add the bias of a layer of neurons to weights that only it reads."""
        shape = self.shapes[node.name]
        if len(rows) > 1:
            raise Inexpressible(
                "its bias changes from step to step, which NIR cannot say",
                "--approximate step-bias takes the mean; better, convert it with --correct bias",
            )
        if any(size != 1 for size in rows.shape[2:]):
            raise Inexpressible("its bias differs from place to place, and NIR's has one number a channel")
        bias = rows[0].reshape(-1).expand(shape[0])
        own = self._own(node.inputs[0])
        for term in terms:
            if term.source in own and isinstance(
                self.writer.nodes[term.source], self.writer.nir.Affine | self.writer.nir.Conv2d | self.writer.nir.Conv1d
            ):
                self.writer.biased(term, bias)
                return terms
        return [self._written(node.name, terms[0], shape, bias), *terms[1:]]

    def _own(self, value: str) -> set[str]:
        """Return the nodes that make up a value and nothing else."""
        graph, found, waiting = self.network.graph, set[str](), [value]
        while waiting:
            each = waiting.pop()
            node = graph.by_name.get(each)
            if node is None or graph.sole_consumer(each) is None or node.name in self.network.neurons:
                continue
            if node.operator.role in (Role.SUM, Role.IDENTITY):
                waiting += node.inputs
            else:
                found.update(term.source for term in self.values[each] if term.plain)
        return found


_LOWERED: Mapping[type[Operator], Callable[..., list[Term]]] = {
    Convolution: _Lowering._convolution,
    Linear: _Lowering._linear,
    Affine: _Lowering._affine,
    Selection: _Lowering._selection,
    Slice: _Lowering._slice,
    Pad: _Lowering._pad,
    Take: _Lowering._take,
    AveragePool: _Lowering._average,
    Mean: _Lowering._mean,
    Reshape: _Lowering._reshape,
}
