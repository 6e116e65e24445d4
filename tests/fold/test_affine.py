from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from snnconvert.fold import FoldAffine
from snnconvert.fold.affine import folded_at_once
from snnconvert.graph import Graph, Node, Operator, Pass, relative_error
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import AveragePool, Mean
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.reshape import Concat, Reshape, Transpose
from snnconvert.operators.selection import Pad, Slice
from snnconvert.operators.sum import Sum
from snnconvert.operators.window import Window

MAKE = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=MAKE)


def conv(pad: int = 0, bias: bool = True, groups: int = 1, channels: int = 4) -> Convolution:
    window = Window((3, 3), (1, 1), (1, 1), (pad, pad), (pad, pad))
    return Convolution(random(4, channels // groups, 3, 3), random(4) if bias else None, window, groups)


def norm(*shape: int) -> Affine:
    """Return a batch norm; some of its scales are negative."""
    shape = shape or (4, 1, 1)
    return Affine(random(*shape), random(*shape))


def net(*nodes: tuple[str, Operator, str], shape: tuple[int, ...] = (4, 8, 8), output: str | None = None) -> Graph:
    made = tuple(Node(name, operator, tuple(inputs.split()), (name,)) for name, operator, inputs in nodes)
    return Graph("net", "x", shape, made, output or made[-1].name)


def kinds(graph: Graph) -> list[str]:
    return [type(node.operator).__name__ for node in graph.nodes]


@pytest.fixture
def fold() -> Callable[[Graph], Graph]:
    """Fold, and require that the function is the same to float32 rounding."""

    def run(graph: Graph, each: Pass | None = None) -> Graph:
        folded = (each or FoldAffine()).run(graph)
        probe = torch.randn((3, *graph.input_shape), generator=MAKE)
        assert relative_error(folded.run(probe), graph.run(probe)) < 1e-5
        return folded

    return run


Fold = Callable[[Graph], Graph]


def test_producer_read_twice_is_not_folded(fold: Fold) -> None:
    graph = net(("c", conv(1), "x"), ("n", norm(), "c"), ("y", Sum(), "n c"))
    assert kinds(fold(graph)) == ["Convolution", "Affine", "Sum"]
    assert FoldAffine().run(graph) is graph


def test_producer_read_twice_by_one_reader_is_not_folded(fold: Fold) -> None:
    graph = net(("c", conv(1), "x"), ("n", norm(), "c"), ("m", norm(), "c"), ("y", Sum(), "n m"))
    assert fold(graph) is graph


def test_producer_that_is_the_output_is_not_folded() -> None:
    graph = net(("c", conv(), "x"), ("n", norm(), "c"), output="c")
    assert FoldAffine().run(graph) is graph


def test_shift_through_the_border_of_a_padded_convolution_is_a_bias_for_each_place(fold: Fold) -> None:
    graph = fold(net(("r", ReLU(), "x"), ("n", norm(), "r"), ("c", conv(1), "n")))
    assert kinds(graph) == ["ReLU", "Convolution"]
    bias = graph.nodes[1].operator.bias
    assert bias.shape == (4, 8, 8)
    torch.testing.assert_close(bias[:, 1:-1, 1:-1], bias[:, 1:2, 1:2].expand(4, 6, 6))  # it differs at the border only
    assert not torch.allclose(bias[:, 0, 0], bias[:, 1, 1])


def test_scale_without_shift_is_folded_through_the_border(fold: Fold) -> None:
    scale = Affine(random(4, 1, 1), torch.zeros(1, 1, 1))
    assert kinds(fold(net(("r", ReLU(), "x"), ("n", scale, "r"), ("c", conv(1), "n")))) == ["ReLU", "Convolution"]


def test_batch_norm_is_folded_into_an_unpadded_convolution_behind_it(fold: Fold) -> None:
    graph = fold(net(("r", ReLU(), "x"), ("n", norm(), "r"), ("c", conv(0), "n")))
    assert kinds(graph) == ["ReLU", "Convolution"]
    assert graph.nodes[1].origins == ("n", "c")


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_is_folded_into_the_convolution_before_it(fold: Fold, bias: bool, groups: int) -> None:
    graph = fold(net(("c", conv(1, bias, groups), "x"), ("n", norm(), "c"), ("r", ReLU(), "n")))
    assert [node.name for node in graph.nodes] == ["c", "r"]
    assert graph.nodes[0].origins == ("c", "n")


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_batch_norm_is_folded_into_a_grouped_convolution_behind_it(fold: Fold, groups: int) -> None:
    assert kinds(fold(net(("n", norm(), "x"), ("c", conv(0, False, groups), "n")))) == ["Convolution"]


def test_batch_norm_is_folded_into_the_layer_before_or_behind_it(fold: Fold) -> None:
    layer = Linear(random(4, 5), None)
    assert kinds(fold(net(("l", layer, "x"), ("n", norm(4), "l"), shape=(5,)))) == ["Linear"]
    assert kinds(fold(net(("n", norm(5), "x"), ("l", layer, "n"), shape=(5,)))) == ["Linear"]


def test_batch_norms_before_and_behind_a_padded_convolution_all_go(fold: Fold) -> None:
    graph = net(
        ("c1", conv(1), "x"),
        ("n1", norm(), "c1"),
        ("r", ReLU(), "n1"),
        ("n2", norm(), "r"),
        ("c2", conv(1), "n2"),
        ("n3", norm(), "c2"),
    )
    assert [node.name for node in fold(graph).nodes] == ["c1", "r", "c2"]


def test_batch_norm_behind_a_sum_moves_into_its_terms(fold: Fold) -> None:
    graph = net(("c", conv(1), "x"), ("s", Sum(), "c x"), ("n", norm(), "s"), ("r", ReLU(), "n"))
    assert kinds(fold(graph)) == ["Convolution", "Affine", "Sum", "ReLU"]


def test_batch_norm_behind_a_sum_that_a_sum_reads_too_stays(fold: Fold) -> None:
    steps = [("c", conv(1), "x"), ("s", Sum(), "c x"), ("n", norm(), "s"), ("r", ReLU(), "n"), ("y", Sum(), "r s")]
    graph = net(*steps)
    assert fold(graph) is graph


def test_weights_in_front_of_two_neurons_are_copied_for_the_one_behind_a_batch_norm(fold: Fold) -> None:
    graph = net(("c", conv(1), "x"), ("n", norm(), "c"), ("r", ReLU(), "n"), ("q", ReLU(), "c"), ("y", Sum(), "r q"))
    assert sorted(kinds(fold(graph))) == ["Convolution", "Convolution", "ReLU", "ReLU", "Sum"]


def test_definition_order_does_not_matter(fold: Fold) -> None:
    graph = net(("c", conv(1), "x"), ("n", norm(), "c"), ("m", norm(), "n"), ("r", ReLU(), "m"))
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        shuffled = graph.with_nodes([graph.nodes[index] for index in order])
        assert kinds(fold(shuffled)) == ["Convolution", "ReLU"]


def test_affine_maps_in_a_row_become_one(fold: Fold) -> None:
    graph = net(("r", ReLU(), "x"), *((f"n{i}", norm(), f"n{i - 1}" if i else "r") for i in range(5)))
    assert kinds(fold(graph)) == ["ReLU", "Affine"]


def test_batch_norm_moves_past_linear_operators_into_the_weights_behind_them(fold: Fold) -> None:
    pool = AveragePool(Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0)), False, (0, 0))
    graph = fold(
        net(
            ("r", ReLU(), "x"),
            ("n", norm(), "r"),
            ("p", pool, "n"),
            ("m", Mean((1, 2)), "p"),
            ("f", Reshape((4,)), "m"),
            ("l", Linear(random(3, 4), random(3)), "f"),
        )
    )
    assert kinds(graph) == ["ReLU", "AveragePool", "Mean", "Reshape", "Linear"]


def test_flattened_channels_fold_into_the_layer_behind_them(fold: Fold) -> None:
    nodes = [("n", norm(), "x"), ("f", Reshape((256,)), "n"), ("l", Linear(random(3, 256), None), "f")]
    assert kinds(fold(net(*nodes))) == ["Reshape", "Linear"]


def test_shift_is_carried_past_slices_and_pads(fold: Fold) -> None:
    graph = net(
        ("r", ReLU(), "x"),
        ("n", norm(), "r"),
        ("s", Slice((0, 0, 0), (4, 8, 8), (1, 2, 2)), "n"),
        ("p", Pad((2, 0, 0), (2, 0, 0)), "s"),
        ("c", conv(0, channels=8), "p"),
    )
    assert kinds(fold(graph)) == ["ReLU", "Slice", "Pad", "Convolution"]


def test_shift_before_spatial_padding_is_a_bias_for_each_place(fold: Fold) -> None:
    graph = net(("r", ReLU(), "x"), ("n", norm(), "r"), ("p", Pad((0, 1, 1), (0, 1, 1)), "n"), ("c", conv(0), "p"))
    assert kinds(fold(graph)) == ["ReLU", "Pad", "Convolution"]


@pytest.mark.parametrize("operator", [MaxPool(Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0))), ReLU()])
def test_batch_norm_does_not_move_past_what_is_not_linear(fold: Fold, operator: Operator) -> None:
    graph = net(("r", ReLU(), "x"), ("n", norm(), "r"), ("o", operator, "n"), ("c", conv(), "o"))
    assert fold(graph) is graph


def test_batch_norm_does_not_move_into_one_branch_of_many(fold: Fold) -> None:
    graph = net(("r", ReLU(), "x"), ("n", norm(), "r"), ("y", Concat(0), "n r"))
    assert fold(graph) is graph


def test_batch_norm_moves_into_all_the_weights_that_read_it(fold: Fold) -> None:
    graph = net(("r", ReLU(), "x"), ("n", norm(), "r"), ("c", conv(), "n"), ("d", conv(), "n"), ("y", Sum(), "c d"))
    assert kinds(fold(graph)) == ["ReLU", "Convolution", "Convolution", "Sum"]


def test_scale_that_varies_within_a_channel_is_not_folded_backwards(fold: Fold) -> None:
    graph = net(("c", conv(1), "x"), ("n", norm(4, 8, 8), "c"), ("r", ReLU(), "n"))
    assert fold(graph) is graph


@pytest.mark.parametrize("middle", [norm(4, 1), norm(1, 1)])
def test_batch_norm_between_unsqueeze_and_squeeze_is_folded(fold: Fold, middle: Affine) -> None:
    graph = net(
        ("l", Linear(random(4, 5), None), "x"),
        ("u", Reshape((4, 1)), "l"),
        ("n", middle, "u"),
        ("s", Reshape((4,)), "n"),
        ("r", ReLU(), "s"),
        shape=(5,),
    )
    assert [node.name for node in fold(graph).nodes] == ["l", "u", "s", "r"]


def test_batch_norm_is_folded_backwards_past_a_transpose(fold: Fold) -> None:
    graph = net(("c", conv(1), "x"), ("t", Transpose((1, 2, 0)), "c"), ("n", norm(1, 1, 4), "t"), ("r", ReLU(), "n"))
    assert kinds(fold(graph)) == ["Convolution", "Transpose", "ReLU"]


def test_reshape_read_twice_is_not_passed(fold: Fold) -> None:
    graph = net(
        ("l", Linear(random(4, 5), None), "x"),
        ("u", Reshape((4, 1)), "l"),
        ("n", norm(4, 1), "u"),
        ("y", Sum(), "n u"),
        shape=(5,),
    )
    assert fold(graph) is graph


def test_output_may_be_the_affine_map(fold: Fold) -> None:
    graph = fold(net(("c", conv(1), "x"), ("n", norm(), "c")))
    assert graph.output == "c"


def test_long_chain_folds_into_one(fold: Fold) -> None:
    nodes = [(f"n{i}", norm(1), f"n{i - 1}" if i else "x") for i in range(300)]
    small = [(name, Affine(operator.scale * 0 + 1, operator.shift * 0.01), value) for name, operator, value in nodes]
    assert kinds(fold(net(*small, shape=(3,)))) == ["Affine"]


def test_weights_in_a_row_with_a_batch_norm_each_fold_in_one_go(fold: Fold) -> None:
    nodes = [(f"c{i}", conv(1), f"n{i - 1}" if i else "x") for i in range(4)]
    norms = [(f"n{i}", norm(), f"c{i}") for i in range(4)]
    graph = net(*(node for pair in zip(nodes, norms, strict=True) for node in pair), output="n3")
    assert kinds(folded_at_once(graph)) == ["Convolution"] * 4
    assert kinds(fold(graph)) == ["Convolution"] * 4


def test_scales_that_overflow_together_stay_apart(fold: Fold) -> None:
    large, small = (Affine(torch.full((1,), scale), torch.zeros(1)) for scale in (1e30, 1e-30))
    parts = (("s", small, "x"), ("r", ReLU(), "s"), ("a", large, "r"), ("b", large, "a"), ("z", small, "b"))
    assert kinds(fold(net(*parts, shape=(3,)))) == ["Affine", "ReLU", "Affine"]
