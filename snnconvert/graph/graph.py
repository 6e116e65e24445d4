"""Graphs: nodes in topological order, checked when they are built, never changed afterwards."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from snnconvert.errors import InternalError, ModelError
from snnconvert.graph.operator import Operator, Role, Shape

SHAPES = "do the shapes of the network's weights fit the samples?"


@dataclass(frozen=True)
class Origin:
    """A node of the file that the graph was read from, and what the loader made of it at once, if anything."""

    name: str
    operator: str
    fate: str = ""


@dataclass(frozen=True)
class Node:
    """One operator in its place; its name is also the name of its output value."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A network with one input and one output; ``nodes`` are in topological order.

    ``binary``: a single output, or one at each position, tells two classes: it is the logit of class 1.
    """

    name: str
    input: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    output: str
    origins: tuple[Origin, ...] = ()
    notes: tuple[str, ...] = ()
    binary: bool = False
    previous: "Graph | None" = field(default=None, repr=False, compare=False)  # what it was made from: checked already
    shapes: Mapping[str, Shape] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shapes: dict[str, Shape] = {self.input: self.input_shape}
        known, checked = ({}, {}) if self.previous is None else (self.previous.shapes, self.previous.by_name)
        object.__setattr__(self, "previous", None)
        for node in self.nodes:
            name, inputs = node.name, node.inputs
            missing = [each for each in inputs if each not in shapes]
            if missing or name in shapes:
                raise InternalError("E903", f"node '{name}': not in topological order or named twice {missing}")
            given = [shapes[each] for each in inputs]
            if checked.get(name) is node and given == [known[each] for each in inputs]:
                shapes[name] = known[name]
                continue
            try:
                shape = node.operator.infer_shape(given)
            except ValueError as problem:
                raise ModelError(
                    "E124", f"node '{node.name}' ({type(node.operator).__name__}): {problem}", SHAPES
                ) from None
            if any(size < 1 for size in shape):
                raise ModelError("E124", f"node '{node.name}': its output is empty, shape {shape}", SHAPES)
            shapes[node.name] = shape
        if self.output not in shapes:
            raise InternalError("E903", f"output '{self.output}' is computed by no node")
        object.__setattr__(self, "shapes", shapes)

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """For every value, the nodes that read it (twice, if they read it twice)."""
        found: dict[str, list[Node]] = {name: [] for name in self.shapes}
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @property
    def activations(self) -> tuple[Node, ...]:
        """The nodes that become layers of neurons."""
        return tuple(node for node in self.nodes if node.operator.role is Role.ACTIVATION)

    def input_shapes(self, node: Node) -> list[Shape]:
        """Shapes of a node's inputs."""
        return [self.shapes[name] for name in node.inputs]

    @property
    def work(self) -> int:
        """Bound the operations that one sample takes."""
        return sum(node.operator.work(self.input_shapes(node)) for node in self.nodes)

    @property
    def longest_sum(self) -> int:
        """Bound the numbers that are added up for one element of a value."""
        return max(
            node.operator.work(self.input_shapes(node)) // math.prod(self.shapes[node.name]) for node in self.nodes
        )

    def sole_consumer(self, value: str) -> Node | None:
        """The one node that reads a value, once; None if there are more, none, or the value is the output."""
        readers = self.consumers[value]
        return readers[0] if len(readers) == 1 and value != self.output else None

    def fresh(self, name: str) -> str:
        """Return the name, with a mark behind it where a value is called so already."""
        while name in self.shapes:
            name += "'"
        return name

    def replace(self, **changes: object) -> "Graph":
        """Return a graph with some fields changed, checked again."""
        return dataclasses.replace(self, previous=self, **changes)  # type: ignore[arg-type]

    def with_nodes(self, nodes: Iterable[Node], output: str | None = None) -> "Graph":
        """Return a graph of these nodes, sorted, less those that the output does not need."""
        listed = tuple(nodes)
        output = self.output if output is None else output
        if not _in_order(listed, self.input, output):
            listed = sort_nodes({node.name: node for node in listed}, output, self.input)
        return self.replace(nodes=listed, output=output)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Graph":
        """Return the graph with a function applied to every parameter."""
        return self.replace(
            nodes=tuple(dataclasses.replace(n, operator=n.operator.mapped(function)) for n in self.nodes)
        )

    @cached_property
    def _last_reader(self) -> dict[str, str]:
        return {name: node.name for node in self.nodes for name in node.inputs}

    def run(self, x: Tensor, observe: Callable[[Node, Tensor], None] | None = None) -> Tensor:
        """Evaluate the network as an ANN on a batch ``(N, ...)``; values are dropped when nobody needs them any more.

        ``observe`` is called with every node and its output.
        """
        values = {self.input: x}
        for node in self.nodes:
            output = node.operator.evaluate([values[name] for name in node.inputs])
            if observe is not None:
                observe(node, output)
            for name in set(node.inputs):
                if self._last_reader[name] == node.name and name != self.output:
                    del values[name]
            values[node.name] = output
        return values[self.output]


def _in_order(nodes: Sequence[Node], graph_input: str, output: str) -> bool:
    """Tell whether each node stands behind those that it reads, once, and is read itself."""
    computed = {graph_input}
    for node in nodes:
        if node.name in computed or not computed.issuperset(node.inputs):
            return False
        computed.add(node.name)
    computed.remove(graph_input)
    return computed <= {output}.union(*[node.inputs for node in nodes])


def sort_nodes(by_name: Mapping[str, Node], output: str, graph_input: str) -> tuple[Node, ...]:
    """Return the nodes that ``output`` needs, in topological order."""

    def reads(name: str) -> list[str]:
        if name not in by_name:
            raise ModelError(
                "E114", f"value '{name}' is read but never computed", "export the network again, the file is damaged"
            )
        return [value for value in by_name[name].inputs if value != graph_input]

    return tuple(by_name[name] for name in topological([output] if output != graph_input else [], reads))


def topological(wanted: Iterable[str], reads: Callable[[str], Sequence[str]]) -> list[str]:
    """Order names so that each stands behind those it ``reads``, as near to the given order as that allows.

    Raises:
        ModelError: there is a cycle (E114).
    """
    order: list[str] = []
    done: set[str] = set()
    open_names: set[str] = set()
    for start in wanted:
        stack = [start]  # depth first, without recursion: a chain may be longer than Python's stack
        while stack:
            name = stack[-1]
            waiting = [] if name in done else [each for each in reads(name) if each not in done]
            if waiting and name in open_names:
                raise ModelError("E114", f"the graph has a cycle through '{name}'", "export it with its loops unrolled")
            if waiting:
                open_names.add(name)
                stack.extend(reversed(waiting))
                continue
            if name not in done:
                done.add(name)
                order.append(name)
            stack.pop()
    return order
