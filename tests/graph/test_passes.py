import math

import pytest
import torch

from snnconvert.errors import InternalError
from snnconvert.graph import Equivalence, Graph, Node, Pass, apply_passes, relative_error
from snnconvert.operators.affine import Affine
from snnconvert.operators.reshape import Reshape

NET = Graph("net", "x", (4,), (Node("a", Affine(torch.tensor([2.0]), torch.zeros(1)), ("x",)),), "a")
PROBE = torch.linspace(-1, 1, 12).reshape(3, 4)


class Scale(Pass):
    """Multiplies every parameter."""

    name = "scaled"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def run(self, graph: Graph) -> Graph:
        return graph if self.factor == 1 else graph.mapped(lambda tensor: tensor * self.factor)


@pytest.mark.parametrize("factor", [1.001, -1, 0, math.nan, math.inf])
def test_pass_that_changes_the_function_is_caught(factor: float) -> None:
    with pytest.raises(InternalError, match="scaled differs from loaded network by") as bug:
        apply_passes(NET, [Scale(factor)], PROBE)
    assert bug.value.code == "E910"
    assert bug.value.hint == "this is a bug in snnconvert: please report it with the model"


def test_errors_of_several_passes_add_up_to_a_failure() -> None:
    with pytest.raises(InternalError, match="scaled differs"):
        apply_passes(NET, [Scale(1 + 4e-5)] * 3, PROBE)


def test_pass_that_changes_the_shape_is_caught() -> None:
    class Turn(Pass):
        """Gives the output another shape."""

        name = "turned"

        def run(self, graph: Graph) -> Graph:
            return graph.with_nodes([*graph.nodes, Node("r", Reshape((2, 2)), (graph.output,))], "r")

    with pytest.raises(InternalError, match="turned differs from loaded network by inf"):
        apply_passes(NET, [Turn()], PROBE)


def test_passes_that_keep_the_function_are_measured_and_idle_ones_are_not() -> None:
    class Once(Scale):
        """Changes the first graph that it sees."""

        def run(self, graph: Graph) -> Graph:
            changed, self.factor = super().run(graph), 1
            return changed

    graph, checks = apply_passes(NET, [Scale(1), Once(1 + 1e-6), Scale(1)], PROBE)
    assert graph is not NET
    assert [check.stage for check in checks] == ["scaled"]
    assert 0 < checks[0].max_error < 1e-4


def test_passes_that_never_end_are_caught() -> None:
    with pytest.raises(InternalError, match="do not come to rest") as bug:
        apply_passes(NET, [Scale(-1), Scale(-1)], PROBE, limit=3)
    assert bug.value.code == "E912"


def test_equivalence_of_nothing_but_nan_does_not_hold() -> None:
    assert not Equivalence("a", "b", math.nan, 1).holds
    assert Equivalence("a", "b", 0.5, 1).require().holds


def test_relative_error() -> None:
    assert relative_error(torch.tensor([1.0, 4.5]), torch.tensor([1.0, -5.0])) == pytest.approx(9.5 / 5)
    assert relative_error(torch.tensor([0.25]), torch.tensor([0.0])) == 0.25
    assert relative_error(torch.zeros(2), torch.zeros(3)) == math.inf
    assert math.isnan(relative_error(torch.tensor([math.nan]), torch.tensor([1.0])))
    assert math.isnan(relative_error(torch.tensor([1.0]), torch.tensor([math.nan])))
