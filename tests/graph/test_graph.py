import time

import pytest
import torch

from snnconvert.errors import InternalError, ModelError
from snnconvert.graph import Graph, Node, sort_nodes, topological
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.linear import Linear
from snnconvert.operators.reshape import Identity, Reshape
from snnconvert.operators.selection import Slice
from snnconvert.operators.sum import Sum


def relu(name: str, *inputs: str) -> Node:
    return Node(name, ReLU() if len(inputs) == 1 else Sum(), inputs)


def graph(*nodes: Node, output: str | None = None) -> Graph:
    return Graph("net", "x", (4,), nodes, nodes[-1].name if output is None else output)


def test_node_before_its_input_is_refused() -> None:
    with pytest.raises(InternalError, match=r"node 'a': not in topological order or named twice \['b'\]"):
        graph(relu("a", "b"), relu("b", "x"))


def test_name_taken_twice_is_refused() -> None:
    with pytest.raises(InternalError, match="node 'a': not in topological order or named twice"):
        graph(relu("a", "x"), relu("a", "x"))
    with pytest.raises(InternalError, match="node 'x'"):
        graph(relu("x", "x"))


def test_output_that_no_node_computes_is_refused() -> None:
    with pytest.raises(InternalError, match="output 'b' is computed by no node"):
        graph(relu("a", "x"), output="b")


def test_input_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match=r"node 'a' \(Linear\): expects 3 features") as refusal:
        graph(Node("a", Linear(torch.ones(2, 3), None), ("x",)))
    assert refusal.value.code == "E124"


def test_empty_value_is_refused() -> None:
    with pytest.raises(ModelError, match=r"node 'a': its output is empty, shape \(0,\)"):
        graph(Node("a", Slice((2,), (2,), (1,)), ("x",)))


def test_cycle_is_refused() -> None:
    with pytest.raises(ModelError, match="the graph has a cycle through") as refusal:
        sort_nodes({node.name: node for node in (relu("a", "b"), relu("b", "a"))}, "b", "x")
    assert refusal.value.code == "E114"
    with pytest.raises(ModelError, match="the graph has a cycle through 'a'"):
        topological(["a"], lambda name: [name])


def test_value_that_nothing_computes_is_refused() -> None:
    with pytest.raises(ModelError, match="value 'gone' is read but never computed"):
        sort_nodes({"a": relu("a", "gone")}, "a", "x")


def test_graph_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="cannot assign"):
        graph(relu("a", "x")).output = "x"  # type: ignore[misc]


def test_sorting_follows_the_data_and_leaves_out_what_is_not_needed() -> None:
    nodes = {node.name: node for node in (relu("d", "b", "c"), relu("c", "a"), relu("b", "a"), relu("a", "x"))}
    nodes["unused"] = relu("unused", "gone")
    assert [node.name for node in sort_nodes(nodes, "d", "x")] == ["a", "b", "c", "d"]
    assert sort_nodes(nodes, "x", "x") == ()


def test_sorting_keeps_an_order_that_is_one() -> None:
    reads = {"a": [], "b": ["a"], "c": [], "d": ["a", "c"], "e": ["b", "b", "d"]}
    assert topological(reads, reads.__getitem__) == list("abcde")


def test_long_chains_and_dense_graphs_are_sorted_in_time() -> None:
    start = time.process_time()
    chain = topological(["19999"], lambda name: [str(int(name) - 1)] if name != "0" else [])
    assert chain == [str(index) for index in range(20_000)]
    # every node reads all before it: 2^200 paths, but only 20,000 edges
    dense = topological(["199"], lambda name: [str(index) for index in range(int(name))])
    assert dense == [str(index) for index in range(200)]
    assert time.process_time() - start < 5


def test_shapes_and_readers_of_every_value() -> None:
    net = graph(relu("a", "x"), Node("b", Reshape((2, 2)), ("a",)), relu("c", "a", "a"), output="c")
    assert net.shapes == {"x": (4,), "a": (4,), "b": (2, 2), "c": (4,)}
    assert [node.name for node in net.consumers["a"]] == ["b", "c", "c"]
    assert net.sole_consumer("x") is net.by_name["a"]
    assert net.sole_consumer("a") is None
    assert net.sole_consumer("c") is None
    assert net.input_shapes(net.by_name["c"]) == [(4,), (4,)]
    assert [node.name for node in net.activations] == ["a"]


def test_output_has_no_sole_consumer() -> None:
    net = graph(relu("a", "x"), relu("b", "a"), output="a")
    assert net.sole_consumer("a") is None


def test_run_computes_and_shows_every_node_and_keeps_no_value_longer_than_needed() -> None:
    net = graph(
        Node("double", Affine(torch.tensor([2.0]), torch.zeros(1)), ("x",)),
        relu("rect", "double"),
        relu("sum", "rect", "x", "rect"),
    )
    x = torch.tensor([[1.0, -1.0, 2.0, -2.0]])
    seen = []
    output = net.run(x, lambda node, value: seen.append((node.name, value.tolist())))
    assert output.tolist() == [[5, -1, 10, -2]]
    assert seen == [
        ("double", [[2, -2, 4, -4]]),
        ("rect", [[2, 0, 4, 0]]),
        ("sum", [[5, -1, 10, -2]]),
    ]


def test_input_may_be_the_output() -> None:
    x = torch.ones(2, 4)
    assert Graph("net", "x", (4,), (), "x").run(x) is x
    assert torch.equal(graph(Node("i", Identity(), ("x",)), output="x").run(x), x)


def test_with_nodes_drops_what_the_output_no_longer_needs() -> None:
    net = graph(relu("a", "x"), relu("b", "a"), relu("c", "b"))
    assert [node.name for node in net.with_nodes(net.nodes, "b").nodes] == ["a", "b"]
    assert net.with_nodes(net.nodes, "x").nodes == ()


def test_mapped_reaches_every_parameter() -> None:
    net = graph(Node("a", Linear(torch.ones(2, 4), torch.ones(2)), ("x",)), relu("b", "a"))
    assert net.mapped(lambda tensor: tensor.double()).run(torch.ones(1, 4).double()).dtype == torch.float64
