"""Random networks, from the file to the folded graph: the function stays, no batch norm is left behind a synapse."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from snnconvert.fold import PASSES
from snnconvert.graph import Graph, apply_passes
from snnconvert.load import load_model
from snnconvert.operators.affine import Affine
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.reshape import Identity, Reshape

make = helper.make_node
STEPS = ("conv", "narrow", "depthwise", "bn", "relu", "relu6", "pool", "mean", "add", "branch", "affine", "lift")
STEPS += ("identity", "option A")


class Builder:
    """Appends layers to an ONNX graph; every value is ``(4 or 8 channels, size, size)``."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self.shapes: dict[str, tuple[int, int]] = {"x": (4, 8)}
        self.value = "x"

    def weight(self, *shape: int, low: float = -1, high: float = 1) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = self.rng.uniform(low, high, shape).astype(np.float32)
        return name

    def integers(self, *values: int) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.array(values, np.int64)
        return name

    def node(self, op_type: str, *inputs: str, channels: int = 0, size: int = 0, **settings: object) -> str:
        old_channels, old_size = self.shapes[inputs[0]]
        name = f"v{len(self.nodes)}"
        self.nodes.append(make(op_type, inputs, [name], **settings))
        self.shapes[name] = (channels or old_channels, size or old_size)
        return name

    def conv(self, value: str, pad: int = 1, groups: int = 1, bias: bool = True, stride: int = 1) -> str:
        channels, size = self.shapes[value]
        weights = [self.weight(channels, channels // groups, 3, 3)] + [self.weight(channels)] * bias
        new = (size + 2 * pad - 3) // stride + 1
        return self.node("Conv", value, *weights, pads=[pad] * 4, group=groups, strides=[stride] * 2, size=new)

    def step(self, kind: str, draw: random.Random) -> None:
        value = self.value
        channels, size = self.shapes[value]
        if kind == "conv":
            self.value = self.conv(value, 1, 1, draw.random() < 0.5)
        elif kind == "narrow" and size >= 3:
            self.value = self.conv(value, 0, 2, draw.random() < 0.5)
        elif kind == "depthwise":
            self.value = self.conv(value, 1, channels, False)
        elif kind == "bn":
            parameters = [self.weight(channels) for _ in range(3)] + [self.weight(channels, low=0.5, high=2)]
            self.value = self.node("BatchNormalization", value, *parameters)
        elif kind == "relu":
            self.value = self.node("Relu", value)
        elif kind == "relu6":
            self.value = self.node("Clip", value, "zero", "six")
        elif kind == "pool" and size >= 2:
            self.value = self.node("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2], size=size // 2)
        elif kind == "mean" and size >= 2:
            self.value = self.node("AveragePool", value, kernel_shape=[2, 2], strides=[2, 2], size=size // 2)
        elif kind == "add":
            same = [name for name, shape in self.shapes.items() if shape == (channels, size)]
            self.value = self.node("Add", value, draw.choice(same))
        elif kind == "branch":
            left = self.node(
                "BatchNormalization", self.conv(value), *[self.weight(channels, low=0.5) for _ in range(4)]
            )
            self.value = self.node("Add", left, value)
        elif kind == "affine":
            scaled = self.node("Mul", value, self.weight(channels, 1, 1))
            self.value = self.node(draw.choice(["Add", "Sub"]), scaled, self.weight(1, channels, 1, 1))
        elif kind == "lift":
            lifted = self.node("Unsqueeze", value, self.integers(2), size=-1)  # none that an Add could read
            inner = self.node("Mul", lifted, self.weight(channels, 1, 1, 1)) if draw.random() < 0.5 else lifted
            self.value = self.node("Squeeze", inner, self.integers(2), size=size)
        elif kind == "identity":
            self.value = self.node(draw.choice(["Identity", "Dropout"]), value)
        elif kind == "option A" and channels == 4 and size >= 4:
            cut = self.node("Slice", value, *(self.integers(*n) for n in ((0, 0), (99, 99), (2, 3), (2, 2))))
            half = -(-size // 2)
            wide = self.node("Pad", cut, self.integers(0, 2, 0, 0, 0, 2, 0, 0), channels=8, size=half)
            double = self.node("Concat", value, value, axis=1, channels=8, size=size)
            self.value = self.node("Add", self.conv(double, 1, 1, stride=2), wide)

    def finish(self) -> None:
        self.weights |= {"zero": np.float32(0), "six": np.float32(1.5)}
        self.nodes.append(make("Flatten", [self.value], ["flat"]))
        channels, size = self.shapes[self.value]
        self.nodes.append(make("Gemm", ["flat", self.weight(3, channels * size * size)], ["y"], transB=1))


def left_behind(graph: Graph) -> list[str]:
    """Name the affine maps directly behind a convolution that nobody else reads."""
    found = []
    for node in graph.nodes:
        before = graph.by_name.get(node.inputs[0])
        if isinstance(node.operator, Affine) and before is not None and isinstance(before.operator, Convolution):
            found += [node.name] * (graph.sole_consumer(before.name) is node)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=12), st.integers(0, 2**16))
def test_passes_keep_the_function_and_fold_every_batch_norm(
    save_onnx: Callable[..., Path], steps: list[str], seed: int
) -> None:
    draw = random.Random(seed)
    builder = Builder(seed)
    for kind in steps:
        builder.step(kind, draw)
    builder.finish()
    shuffled = draw.sample(builder.nodes, len(builder.nodes))
    loaded = load_model(save_onnx(shuffled, builder.weights, (4, 8, 8), output="y"))
    x = builder.rng.normal(size=(3, 4, 8, 8)).astype(np.float32)
    loaded.compare(x)
    folded, _ = apply_passes(loaded.graph, PASSES, torch.from_numpy(x), limit=1e-4)
    assert left_behind(folded) == []
    assert not any(isinstance(node.operator, Identity) for node in folded.nodes)
    assert not any(
        isinstance(node.operator, Reshape) and isinstance(folded.by_name[node.inputs[0]].operator, Reshape)
        for node in folded.nodes
        if node.inputs[0] in folded.by_name
    )
    again, _ = apply_passes(folded, PASSES, torch.from_numpy(x))
    assert [node.name for node in again.nodes] == [node.name for node in folded.nodes]


@pytest.mark.parametrize(("name", "nodes"), [("cifar10_akamaster_resnet20_bn", 52), ("mnist_ccoltong_lenetreg", 12)])
def test_real_network_is_folded(shared_data: Path, name: str, nodes: int) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    loaded = load_model(path)
    probe = torch.randn((2, *loaded.graph.input_shape), generator=torch.Generator().manual_seed(0))
    folded, _ = apply_passes(loaded.graph, PASSES, probe)
    assert len(folded.nodes) == nodes
    assert not any(isinstance(node.operator, Affine) for node in folded.nodes)
