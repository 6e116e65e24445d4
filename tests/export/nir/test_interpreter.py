"""The interpreter, on graphs that are written here by hand: NIR's own rules where the metadata say nothing."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from snnconvert.errors import ModelError
from snnconvert.export.nir.interpreter import run_nir

nir = pytest.importorskip("nir")


def graph(*nodes: Any, edges: list[tuple[str, str]] | None = None) -> Any:
    """One neuron behind the nodes, in a row."""
    named = {"input": nir.Input(input_type={"input": np.array([1])})}
    named |= {f"n{index}": node for index, node in enumerate(nodes)}
    named["output"] = nir.Output(output_type={"output": np.array([1])})
    names = list(named)
    return nir.NIRGraph(named, edges or list(itertools.pairwise(names)), type_check=False)


def neuron(threshold: float = 1.0, r: float = 1.0, reset: float = 0.0, **told: Any) -> Any:
    one = np.ones(1, np.float32)
    return nir.IF(r=one * r, v_threshold=one * threshold, v_reset=one * reset, metadata=told)


def spikes(node: Any, current: float, steps: int) -> int:
    _, counts, _ = run_nir(graph(node), torch.full((1, 1), current), steps)
    return int(counts["n0"].item())


def test_an_if_resets_to_zero_and_fires_above_its_threshold_unless_told_otherwise() -> None:
    assert spikes(neuron(), 0.75, 8) == 4  # 0.75, 1.5 -> 0, ...
    assert spikes(neuron(), 1.0, 8) == 4  # 1 is not above 1, 2 is
    assert spikes(neuron(reset=-1.0), 1.0, 9) == 3
    assert spikes(neuron(r=2.0), 0.75, 8) == 8
    assert spikes(neuron(threshold=3.0), 1.0, 8) == 2


def test_the_metadata_say_what_an_if_does_not() -> None:
    subtract = neuron()
    subtract.metadata = {"reset": "subtract", "fires": "v >= v_threshold"}
    assert spikes(subtract, 0.75, 8) == 6
    subtract.metadata |= {"v0": 0.5}
    assert spikes(subtract, 0.5, 1) == 1


def test_edges_that_meet_are_summed() -> None:
    edges = [("input", "n0"), ("input", "n1"), ("n0", "n2"), ("n1", "n2"), ("input", "n2"), ("n2", "output")]
    weights = [nir.Affine(np.full((1, 1), w, np.float32), np.zeros(1, np.float32)) for w in (2, 3)]
    total, _, _ = run_nir(graph(*weights, neuron(100.0, reset=0.0), edges=edges), torch.ones(1, 1), 1)
    assert total.item() == 0
    last = nir.Affine(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    total, _, _ = run_nir(graph(*weights, last, edges=edges), torch.ones(1, 1), 2)
    assert total.item() == 12


def test_a_sum_pool_sums_exactly() -> None:
    pool = nir.SumPool2d(kernel_size=np.array([3, 3]), stride=np.array([3, 3]), padding=np.array([0, 0]))
    total, _, _ = run_nir(graph(pool), torch.ones(1, 2, 6, 6), 1)
    assert torch.equal(total, torch.full((1, 2, 2, 2), 9.0))


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ModelError, match="kind Threshold"):
        run_nir(graph(nir.Threshold(np.ones(1))), torch.ones(1, 1), 1)
    looped = graph(neuron(), neuron(), edges=[("input", "n0"), ("n0", "n1"), ("n1", "n0"), ("n1", "output")])
    with pytest.raises(ModelError, match="a loop"):
        run_nir(looped, torch.ones(1, 1), 1)
    two = graph(nir.Input(input_type={"input": np.array([1])}))
    with pytest.raises(ModelError, match="not one input"):
        run_nir(two, torch.ones(1, 1), 1)
