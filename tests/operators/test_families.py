"""What is particular to one family of operators."""

import itertools

import numpy as np
import pytest
import torch

from snnconvert.graph import IncompatibleScale, OnnxWriter, ones
from snnconvert.operators import OnnxNode, Unsupported
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import AveragePool, Mean
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.reshape import Concat, Identity, Reshape, Transpose
from snnconvert.operators.selection import Pad, Selection, Slice, selection_of
from snnconvert.operators.sum import Sum
from snnconvert.operators.window import Window, ceil_extension

ONE = ((1, 1), (1, 1), (0, 0), (0, 0))


def node(*inputs: str, constants: dict[str, np.ndarray] | None = None, **attributes: object) -> OnnxNode:
    found = tuple((constants or {}).get(name) for name in inputs)
    shapes = tuple((4, 5) if name and value is None else None for name, value in zip(inputs, found, strict=True))
    return OnnxNode("n", "Op", 18, attributes, inputs, found, shapes, 2)


@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        (Convolution(torch.ones(8, 4, 3, 3), None, Window((3, 3), *ONE)), (4, 9)),
        (Convolution(torch.ones(8, 4, 3, 3), None, Window((3, 3), *ONE)), (3, 9, 9)),
        (Convolution(torch.ones(8, 4, 3, 3), None, Window((3, 3), *ONE)), (4, 2, 9)),
        (Linear(torch.ones(3, 4), None), (5,)),
        (Affine(torch.ones(4, 1, 1), torch.ones(1, 1, 1)), (5, 2, 2)),
        (Affine(torch.ones(4), torch.ones(4)), (4, 4)),
        (MaxPool(Window((3, 3), *ONE)), (4, 9)),
        (MaxPool(Window((3, 3), *ONE)), (4, 2, 2)),
        (AveragePool(Window((3, 3), *ONE)), (4, 9)),
        (Mean((2,)), (3, 4)),
        (Mean(()), (3, 4)),
        (Reshape((5, 2)), (3, 4)),
        (Transpose((1, 0)), (3, 4, 5)),
        (Slice((0,), (5,), (1,)), (4,)),
        (Slice((0,), (5,), (1,)), (4, 5)),
        (Pad((1,), (1,)), (4, 5)),
    ],
)
def test_value_that_does_not_fit_is_refused(operator: Convolution, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(\d+, .*\)|does not fit|expects|cannot|slice|pads|no axes|order"):
        operator.infer_shape([shape])


def test_values_of_different_shapes_are_neither_added_nor_joined() -> None:
    with pytest.raises(ValueError, match="different shapes are added"):
        Sum().infer_shape([(3, 4), (3, 1)])
    with pytest.raises(ValueError, match="cannot join"):
        Concat(0).infer_shape([(3, 4), (3, 5)])
    with pytest.raises(ValueError, match="cannot join"):
        Concat(0).infer_shape([(3, 4), (3, 4, 1)])
    assert Concat(0).infer_shape([(3, 4), (2, 4)]) == (5, 4)


def test_scale_that_varies_within_a_channel_does_not_fit_into_a_convolution_or_pool() -> None:
    varying = torch.rand((4, 9, 9), dtype=torch.float64) + 0.5
    convolution = Convolution(torch.ones(4, 4, 3, 3), None, Window((3, 3), *ONE))
    with pytest.raises(IncompatibleScale):
        convolution.rescaled(varying, ones(3), ones(3))
    with pytest.raises(IncompatibleScale):
        convolution.rescaled(ones(3), varying, ones(3))
    for operator in (MaxPool(Window((3, 3), *ONE)), AveragePool(Window((3, 3), *ONE)), Mean((1, 2))):
        with pytest.raises(IncompatibleScale):
            operator.carry_scale([varying], [(4, 9, 9)])
    with pytest.raises(IncompatibleScale):
        Linear(torch.ones(5, 9), None).rescaled(varying, ones(3), ones(3))


def test_multiply_accumulates_of_known_layers() -> None:
    padded = Window((3, 3), (2, 2), (1, 1), (1, 1), (1, 1))
    assert Convolution(torch.ones(16, 8, 3, 3), None, padded).macs([(8, 32, 32)]) == 16 * 8 * 9 * 16 * 16
    assert Convolution(torch.ones(16, 1, 3, 3), None, padded, 16).macs([(16, 32, 32)]) == 16 * 9 * 16 * 16
    assert Linear(torch.ones(10, 84), None).macs([(84,)]) == 840
    assert Linear(torch.ones(10, 84), None).macs([(5, 84)]) == 4200
    assert Affine(torch.full((3, 1), 2.0), torch.zeros(1, 1)).macs([(3, 4)]) == 12
    assert Affine(torch.ones(3, 1), torch.ones(1, 1)).macs([(3, 4)]) == 0
    kept = selection_of([Slice((0, 0), (3, 4), (1, 2)), Pad((1, 0), (1, 0))], (3, 4))
    assert kept.macs([(3, 4)]) == 0
    assert kept.rescaled(ones(2), 2 * ones(2), 0 * ones(2)).macs([(3, 4)]) == 6


@pytest.mark.parametrize("ceiling", [None, torch.full((1, 1), 0.7)])
def test_rectifier_moves_past_a_positive_factor(ceiling: torch.Tensor | None) -> None:
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    factor = torch.tensor([0.5, 2.0, 3.0, 1.5], dtype=torch.float64).reshape(4, 1)
    relu = ReLU(ceiling)
    moved = relu.scaled_by(factor).evaluate([factor.float() * x])
    torch.testing.assert_close(moved, factor.float() * relu.evaluate([x]))


def test_convolution_without_shift_gets_no_bias() -> None:
    plain = Convolution(torch.ones(4, 4, 3, 3), None, Window((3, 3), *ONE))
    assert plain.rescaled(ones(3), 2 * ones(3), 0 * ones(3)).bias is None
    assert plain.rescaled(ones(3), 2 * ones(3), ones(3)).bias is not None


def test_ceil_mode_drops_a_window_that_starts_in_the_padding() -> None:
    assert ceil_extension(Window((2, 2), (2, 2), (1, 1), (0, 0), (0, 0)), (5, 4)) == (1, 0)
    assert ceil_extension(Window((1,), (3,), (1,), (0,), (0,)), (8,)) == (0,)
    assert ceil_extension(Window((2,), (2,), (1,), (1,), (1,)), (3,)) == (0,)


def test_positions_count_the_elements_under_them() -> None:
    window = Window((3,), (1,), (1,), (1,), (1,))
    assert window.elements(0, 4).tolist() == [2, 3, 3, 2]
    assert window.elements(0, 4, 1, 1).tolist() == [3, 3, 3, 3]
    assert Window((2,), (1,), (3,), (1,), (1,)).elements(0, 2).tolist() == [0]


def test_average_over_padding_is_counted_only_where_it_is_asked_for() -> None:
    window = Window((2,), (2,), (1,), (1,), (1,))
    x = torch.tensor([[[2.0, 4.0, 6.0, 8.0]]])
    assert AveragePool(window, False, (0,)).evaluate([x]).tolist() == [[[2, 5, 8]]]
    assert AveragePool(window, True, (0,)).evaluate([x]).tolist() == [[[1, 5, 4]]]


def test_padding_never_wins_a_maximum() -> None:
    pool = MaxPool(Window((2,), (2,), (1,), (1,), (1,)))
    assert pool.evaluate([torch.tensor([[[-2.0, -4.0, -6.0, -8.0]]])]).tolist() == [[[-2, -4, -8]]]


def test_slice_into_padding_is_no_selection() -> None:
    with pytest.raises(IncompatibleScale):
        selection_of([Pad((1,), (1,)), Slice((0,), (4,), (1,))], (4,))
    with pytest.raises(IncompatibleScale):
        selection_of([Identity()], (4,))


def test_slices_and_pads_compose_to_one_selection() -> None:
    x = torch.arange(1.0, 21).reshape(1, 20)
    for first, second in itertools.product(
        [(0, 20, 1), (1, 19, 2), (3, 4, 1)], [(0, None, 1), (0, None, 3), (1, 5, 2)]
    ):
        one = Slice(*((bound,) for bound in first))
        size = one.infer_shape([(20,)])[0]
        bounds = slice(*second).indices(size)
        if not range(*bounds):
            continue
        steps = [one, Slice(*((bound,) for bound in bounds)), Pad((2,), (0,)), Pad((0,), (3,))]
        expected = x
        for step in steps:
            expected = step.evaluate([expected])
        selected = selection_of(steps, (20,))
        assert isinstance(selected, Selection)
        assert torch.equal(selected.evaluate([x]), expected)


def test_transpose_and_reshape_are_undone() -> None:
    x = torch.randn(2, 3, 4, 5)
    for operator in (Transpose((2, 0, 1)), Reshape((12, 5))):
        moved = operator.evaluate([x])
        assert torch.equal(operator.undone((3, 4, 5)).evaluate([moved]), x)


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda: node("w", constants={"w": np.ones(3)}).data(), "must be a value that is computed from the sample"),
        (lambda: node("x").constant(1), "input 1 is missing"),
        (lambda: node("x", "").constant(1), "input 1 is missing"),
        (lambda: node("x", "z").constant(1), r"input 1 \('z'\) is computed from the sample"),
        (lambda: node("x", "w", constants={"w": np.ones(3, np.int64)}).weight(1), "has type int64, not a float"),
        (lambda: node("x", group=b"1").integer("group", 1), "'group' is no integer"),
        (lambda: node("x", alpha=b"1").number("alpha", 1), "'alpha' is no number"),
        (lambda: node("x", pads=1).integers("pads"), "'pads' is no list of integers"),
        (lambda: node("x").integers("pads"), "'pads' is missing"),
        (lambda: node("x", "w", constants={"w": np.ones(2000)}).integers("a", index=1), "'a' has 2000 entries"),
        (lambda: node("x").sample_axis(0, 2), "works across the batch"),
        (lambda: node("x").sample_axis(-3, 2), "works across the batch"),
        (lambda: node("x").sample_axis(3, 2), "axis 3 of a tensor with 3 axes"),
    ],
)
def test_malformed_node_is_refused_with_its_reason(ask: object, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        ask()  # type: ignore[operator]


def test_node_is_read_by_attribute_or_input() -> None:
    view = node("x", "axes", "", constants={"axes": np.array([1, -1])}, mode=b"edge", alpha=2.0, group=3)
    assert view.integers("axes", index=1) == (1, -1)
    assert view.integers("axes", (7,), index=2) == (7,)
    assert (view.text("mode", ""), view.text("other", "no")) == ("edge", "no")
    assert (view.number("alpha", 1), view.integer("group", 1), view.number("beta", 1)) == (2.0, 3, 1.0)
    assert [view.sample_axis(axis, 2) for axis in (1, 2, -1, -2)] == [0, 1, 1, 0]
    assert view.data() == ("x", (4, 5))


def test_writer_gives_each_name_once() -> None:
    writer = OnnxWriter()
    assert [writer.fresh("a"), writer.fresh("a"), writer.fresh("a.2")] == ["a", "a.2", "a.2.2"]
    assert writer.constant("a", [1, 2]) == "a.3"
    assert writer.initializers[0].data_type == 7
    assert writer.constant("scalar", torch.tensor(2.0)) == "scalar"
    assert list(writer.initializers[1].dims) == []
    assert writer.node("Relu", ["a"], "b") == "b"
    assert writer.nodes[0].name == "b"
