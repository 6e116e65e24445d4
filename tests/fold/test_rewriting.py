"""The passes that move, merge and remove nodes."""

import pytest
import torch

from snnconvert.fold import PASSES, FoldShortcut, MergeReshapes, MovePoolBehindActivation, RemoveIdentity
from snnconvert.fold.rewire import rewired
from snnconvert.graph import Graph, Node, Operator, Pass, apply_passes, relative_error
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.linear import Linear
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.reshape import Concat, Identity, Reshape, Transpose
from snnconvert.operators.selection import Pad, Selection, Slice
from snnconvert.operators.sum import Sum
from snnconvert.operators.window import Window

MAKE = torch.Generator().manual_seed(0)
POOL = MaxPool(Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0)))
ALL = Slice((0, 0, 0), (4, 8, 8), (1, 1, 1))
HALF = Slice((0, 0, 0), (4, 8, 8), (1, 2, 2))
WIDER = Pad((2, 0, 0), (2, 0, 0))


def net(*nodes: tuple[str, Operator, str], shape: tuple[int, ...] = (4, 8, 8), output: str | None = None) -> Graph:
    made = tuple(Node(name, operator, tuple(inputs.split()), (name,)) for name, operator, inputs in nodes)
    return Graph("net", "x", shape, made, output or made[-1].name)


def kinds(graph: Graph) -> list[str]:
    return [type(node.operator).__name__ for node in graph.nodes]


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def kept(each: Pass, graph: Graph) -> Graph:
    """Run a pass, and require that the function is the same to the bit."""
    changed = each.run(graph)
    probe = torch.randn((3, *graph.input_shape), generator=MAKE)
    assert relative_error(changed.run(probe), graph.run(probe)) == 0
    return changed


def test_pool_with_two_readers_stays() -> None:
    graph = net(("p", POOL, "x"), ("r", ReLU(), "p"), ("y", Sum(), "r p"))
    assert kept(MovePoolBehindActivation(), graph) is graph


def test_pool_that_is_the_output_stays() -> None:
    graph = net(("p", POOL, "x"), ("r", ReLU(), "p"), output="p")
    assert kept(MovePoolBehindActivation(), graph) is graph


def test_pool_behind_an_activation_stays() -> None:
    graph = net(("r", ReLU(), "x"), ("p", POOL, "r"))
    assert kept(MovePoolBehindActivation(), graph) is graph


@pytest.mark.parametrize("ceiling", [None, torch.full((1, 1, 1), 0.5), torch.rand(4, 1, 1) + 0.1])
def test_pool_before_an_activation_moves_behind_it(ceiling: torch.Tensor | None) -> None:
    graph = kept(MovePoolBehindActivation(), net(("p", POOL, "x"), ("r", ReLU(ceiling), "p")))
    assert names(graph) == ["r", "p"]
    assert graph.output == "p"


def test_readers_of_the_activation_read_the_pool_now() -> None:
    graph = net(("p", POOL, "x"), ("r", ReLU(), "p"), ("i", Identity(), "r"), ("y", Sum(), "i r r"))
    moved = kept(MovePoolBehindActivation(), graph)
    assert names(moved) == ["r", "p", "i", "y"]
    assert moved.by_name["y"].inputs == ("i", "p", "p")


def test_pools_and_activations_in_a_row_are_sorted() -> None:
    graph = net(("p", POOL, "x"), ("q", POOL, "p"), ("r", ReLU(), "q"), ("s", ReLU(), "r"), ("o", POOL, "s"))
    assert kinds(kept(MovePoolBehindActivation(), graph)) == ["ReLU", "ReLU", "MaxPool", "MaxPool", "MaxPool"]


def test_every_one_of_many_pools_is_moved() -> None:
    one = MaxPool(Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0)))
    nodes = []
    for index in range(150):
        value = f"r{index - 1}" if index else "x"
        branch = [(f"p{index}", one, value), (f"q{index}", ReLU(), f"p{index}")]
        nodes += [*branch, (f"r{index}", Sum(), f"q{index} {value}")]
    moved = MovePoolBehindActivation().run(net(*nodes, shape=(1, 1, 1)))
    assert kinds(moved) == ["ReLU", "MaxPool", "Sum"] * 150


IDLE = {
    "identity": Identity(),
    "reshape": Reshape((4, 8, 8)),
    "transpose": Transpose((0, 1, 2)),
    "slice": ALL,
    "pad": Pad((0, 0, 0), (0, 0, 0)),
    "concat": Concat(0),
    "times one": Affine(torch.ones(4, 1, 1), torch.zeros(1, 1, 1)),
}
BUSY = {
    "reshape": Reshape((8, 4, 8)),
    "transpose": Transpose((0, 2, 1)),
    "slice": HALF,
    "pad": WIDER,
    "plus one": Affine(torch.ones(4, 1, 1), torch.ones(1, 1, 1)),
    "times two": Affine(torch.full((4, 1, 1), 2.0), torch.zeros(1, 1, 1)),
}


@pytest.mark.parametrize("name", BUSY)
def test_operator_that_does_something_stays(name: str) -> None:
    graph = net(("o", BUSY[name], "x"), ("r", ReLU(), "o"))
    assert kept(RemoveIdentity(), graph) is graph


@pytest.mark.parametrize("name", IDLE)
def test_operator_that_does_nothing_is_removed(name: str) -> None:
    operator = IDLE[name]
    assert names(kept(RemoveIdentity(), net(("o", operator, "x"), ("r", ReLU(), "o")))) == ["r"]
    end = kept(RemoveIdentity(), net(("r", ReLU(), "x"), ("o", operator, "r"), ("p", operator, "o")))
    assert (names(end), end.output) == (["r"], "r")


def test_joining_two_values_is_no_identity() -> None:
    graph = net(("o", Concat(0), "x x"))
    assert kept(RemoveIdentity(), graph) is graph


def test_network_of_identities_is_its_input() -> None:
    graph = kept(RemoveIdentity(), net(("a", Identity(), "x"), ("b", Identity(), "a")))
    assert (graph.nodes, graph.output) == ((), "x")


def test_reshape_alone_stays() -> None:
    graph = net(("u", Reshape((4, 64)), "x"), ("r", ReLU(), "u"))
    assert kept(MergeReshapes(), graph) is graph


def test_pair_that_gives_the_shape_back_vanishes() -> None:
    graph = net(("u", Reshape((4, 1, 8, 8)), "x"), ("s", Reshape((4, 8, 8)), "u"), ("r", ReLU(), "s"))
    assert names(kept(MergeReshapes(), graph)) == ["r"]


def test_of_reshapes_in_a_row_the_last_one_stays() -> None:
    nodes = [
        (f"u{i}", Reshape(shape), f"u{i - 1}" if i else "x") for i, shape in enumerate([(256,), (4, 64), (2, 128)])
    ]
    merged = kept(MergeReshapes(), net(*nodes, ("r", ReLU(), "u2")))
    assert names(merged) == ["u2", "r"]
    assert merged.by_name["u2"].inputs == ("x",)


def test_reshape_that_others_read_stays_for_them() -> None:
    graph = net(
        ("u", Reshape((256,)), "x"), ("s", Reshape((4, 64)), "u"), ("f", Reshape((256,)), "s"), ("y", Sum(), "f u")
    )
    merged = kept(MergeReshapes(), graph)
    assert sorted(names(merged)) == ["f", "u", "y"]
    assert merged.by_name["f"].inputs == ("x",)


def test_squeezed_batch_norm_leaves_one_layer() -> None:
    graph = net(
        ("l", Linear(torch.randn(4, 5, generator=MAKE), None), "x"),
        ("u", Reshape((4, 1)), "l"),
        ("n", Affine(torch.rand(4, 1), torch.rand(4, 1)), "u"),
        ("s", Reshape((4,)), "n"),
        ("r", ReLU(), "s"),
        shape=(5,),
    )
    folded, checks = apply_passes(graph, PASSES, torch.randn(3, 5, generator=MAKE))
    assert names(folded) == ["l", "r"]
    assert [check.stage for check in checks] == ["batch norm and constants folded", "reshapes merged"]


def shortcut(*steps: tuple[str, Operator], source: str = "r") -> Graph:
    nodes = []
    for name, operator in steps:
        nodes.append((name, operator, source))
        source = name
    wide = [("c", Concat(0), "h h"), ("y", Sum(), f"c {source}")]
    return net(("r", ReLU(), "x"), *nodes, ("h", HALF, "x"), *wide)


def test_slices_and_pads_before_a_sum_become_one_selection() -> None:
    halves = (Slice((0, 0, 0), (4, 8, 8), (1, 2, 1)), Slice((0, 0, 0), (4, 4, 8), (1, 1, 2)))
    graph = kept(FoldShortcut(), shortcut(("s", halves[0]), ("t", halves[1]), ("p", WIDER)))
    assert isinstance(graph.by_name["p"].operator, Selection)
    assert graph.by_name["p"].inputs == ("r",)
    assert graph.by_name["p"].origins == ("s", "t", "p")
    assert kinds(graph).count("Slice") == 1


def test_both_branches_of_a_sum_are_folded() -> None:
    graph = net(("r", ReLU(), "x"), ("a", HALF, "r"), ("b", HALF, "r"), ("y", Sum(), "a b"))
    assert kinds(kept(FoldShortcut(), graph)) == ["ReLU", "Selection", "Selection", "Sum"]


def test_slice_that_others_read_is_not_folded_into_the_shortcut() -> None:
    graph = net(("r", ReLU(), "x"), ("s", HALF, "r"), ("p", WIDER, "s"), ("c", Concat(0), "s s"), ("y", Sum(), "p c"))
    folded = kept(FoldShortcut(), graph)
    assert isinstance(folded.by_name["p"].operator, Selection)
    assert folded.by_name["p"].inputs == ("s",)


def test_slice_into_padding_is_left_alone() -> None:
    cut = Slice((1, 0, 0), (8, 4, 4), (1, 1, 1))
    graph = net(
        ("s", HALF, "x"),
        ("p", WIDER, "s"),
        ("t", cut, "p"),
        ("q", Pad((1, 0, 0), (0, 0, 0)), "t"),
        ("y", Sum(), "q p"),
    )
    assert (
        kinds(kept(FoldShortcut(), graph)).count("Selection") == 1
    )  # the first slice, up to the pad that is read twice


def test_slices_that_meet_no_sum_stay() -> None:
    graph = net(("s", HALF, "x"), ("p", WIDER, "s"), ("r", ReLU(), "p"))
    assert kept(FoldShortcut(), graph) is graph


def test_rewiring_follows_chains_of_names() -> None:
    graph = net(("a", Identity(), "x"), ("b", Identity(), "a"), ("c", Identity(), "b"), ("r", ReLU(), "c"))
    changed = rewired(graph, {"a": None, "b": None, "c": None}, {"c": "b", "b": "a", "a": "x"})
    assert changed.by_name["r"].inputs == ("x",)


@pytest.mark.parametrize("each", PASSES, ids=lambda each: type(each).__name__)
def test_every_pass_says_what_it_does_and_leaves_an_empty_network_alone(each: Pass) -> None:
    graph = Graph("net", "x", (4,), (), "x")
    assert each.run(graph) is graph
    assert each.name
    assert (type(each).__doc__ or "").strip()
