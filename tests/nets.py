"""Small networks for tests, built node by node, and from recipes of blocks."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from snnconvert.fold import PASSES
from snnconvert.graph import Graph, Node, Operator, Shape, apply_passes
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


def window(kernel: int | tuple[int, ...], stride: int = 1, pad: int = 0, dilation: int = 1, rank: int = 2) -> Window:
    size = (kernel,) * rank if isinstance(kernel, int) else kernel
    pads = (pad,) * len(size)
    return Window(size, (stride,) * len(size), (dilation,) * len(size), pads, pads)


class Net:
    """A graph on samples of ``shape``; each method adds a node and returns its name.

    ``dyadic`` weights are multiples of 1/16 and small: over inputs that are multiples of 1/4 all sums are exact.
    """

    def __init__(self, *shape: int, dyadic: bool = False, seed: int = 0) -> None:
        self.shapes: dict[str, Shape] = {"x": shape}
        self.nodes: list[Node] = []
        self.dyadic = dyadic
        self.make = torch.Generator().manual_seed(seed)

    def draw(self, *shape: int) -> Tensor:
        if self.dyadic:
            return torch.randint(-6, 9, shape, generator=self.make) / 16
        return torch.randn(shape, generator=self.make) / math.prod(shape[1:]) ** 0.5

    def add(self, operator: Operator, *inputs: str, name: str = "") -> str:
        name = name or f"{type(operator).__name__.lower()}{len(self.nodes)}"
        self.shapes[name] = operator.infer_shape([self.shapes[value] for value in inputs])
        self.nodes.append(Node(name, operator, inputs))
        return name

    def graph(self, output: str) -> Graph:
        return Graph("net", "x", self.shapes["x"], tuple(self.nodes), output)

    def conv(self, x: str, outputs: int, where: Window | None = None, groups: int = 1, name: str = "") -> str:
        where = where or window(3, pad=1)
        weight = self.draw(outputs, self.shapes[x][0] // groups, *where.kernel)
        return self.add(Convolution(weight, self.draw(outputs), where, groups), x, name=name)

    def linear(self, x: str, outputs: int, name: str = "") -> str:
        return self.add(Linear(self.draw(outputs, self.shapes[x][-1]), self.draw(outputs)), x, name=name)

    def norm(self, x: str, name: str = "") -> str:
        per_channel = (self.shapes[x][0], *(1 for _ in self.shapes[x][1:]))
        return self.add(Affine(self.draw(*per_channel) + 1, self.draw(*per_channel)), x, name=name)

    def relu(self, x: str, ceiling: float | None = None, name: str = "") -> str:
        rank = len(self.shapes[x])
        return self.add(ReLU(None if ceiling is None else torch.full((1,) * rank, ceiling)), x, name=name)

    def sum(self, *values: str, name: str = "") -> str:
        return self.add(Sum(), *values, name=name)

    def concat(self, *values: str, axis: int = 0, name: str = "") -> str:
        return self.add(Concat(axis), *values, name=name)

    def average(self, x: str, where: Window | None = None, name: str = "") -> str:
        return self.add(AveragePool(where or window(2, 2)), x, name=name)

    def maximum(self, x: str, where: Window | None = None, name: str = "") -> str:
        return self.add(MaxPool(where or window(2, 2)), x, name=name)

    def mean(self, x: str) -> str:
        return self.add(Mean(tuple(range(1, len(self.shapes[x]))), keep=False), x)

    def reshape(self, x: str, *shape: int) -> str:
        return self.add(Reshape(shape), x)

    def flatten(self, x: str) -> str:
        return self.reshape(x, math.prod(self.shapes[x]))

    def transpose(self, x: str, *order: int) -> str:
        return self.add(Transpose(order), x)

    def subsample(self, x: str, more: int, name: str = "") -> str:
        """Every second row and column, then ``more`` channels of zeros on both sides (option A)."""
        channels, height, width = self.shapes[x]
        cut = self.add(Slice((0, 0, 0), (channels, height, width), (1, 2, 2)), x)
        return self.add(Pad((more, 0, 0), (more, 0, 0)), cut, name=name)


def chain(net: Net, x: str) -> str:
    return net.relu(net.conv(x, 4))


def clipped(net: Net, x: str) -> str:
    return net.relu(net.conv(x, 3), ceiling=0.75)


def residual(net: Net, x: str) -> str:
    branch = net.conv(net.relu(net.conv(x, 5)), net.shapes[x][0])
    return net.relu(net.sum(branch, x))


def projection(net: Net, x: str) -> str:
    branch = net.conv(net.relu(net.conv(x, 3)), 4)
    return net.relu(net.sum(branch, net.conv(x, 4, window(1))))


def option_a(net: Net, x: str) -> str:
    channels = net.shapes[x][0]
    branch = net.conv(net.relu(net.conv(x, 3, window(3, 2, 1))), channels + 2)
    return net.relu(net.sum(branch, net.subsample(x, 1)))


def inception(net: Net, x: str) -> str:
    return net.concat(net.relu(net.conv(x, 2)), net.relu(net.conv(x, 3, window(1))), x)


def average(net: Net, x: str) -> str:
    return net.relu(net.conv(net.average(x, window(2, 1)), 4))


def maximum(net: Net, x: str) -> str:
    return net.maximum(net.relu(net.conv(x, 3)), window(3, 1, 1))


def joined_maximum(net: Net, x: str) -> str:
    """A pool over layers that begin to fire at different times."""
    deeper = net.relu(net.conv(net.relu(net.conv(x, 2)), 2))
    return net.maximum(net.concat(net.relu(net.conv(x, 2)), deeper), window(3, 1, 1))


def shared_current(net: Net, x: str) -> str:
    """A current of layers that begin to fire at different times; neurons take it as it is, and it goes past them."""
    current = net.sum(net.conv(net.relu(net.conv(x, 3)), 3), net.conv(x, 3))
    return net.relu(net.sum(net.conv(net.relu(current), 3), current))


def bottleneck(net: Net, x: str) -> str:
    """Two linear layers without a neuron between them: signed values."""
    return net.relu(net.conv(net.conv(x, 2, window(1)), 4, groups=2))


def preactivation(net: Net, x: str) -> str:
    """The sum is read by a norm and by the next sum."""
    first = net.conv(x, 3)
    second = net.sum(net.conv(net.relu(net.norm(first)), 3), first)
    return net.relu(net.sum(net.conv(net.relu(net.norm(second)), 3), second))


def shuffle(net: Net, x: str) -> str:
    x = net.relu(net.conv(x, 6, groups=1))
    _, height, width = net.shapes[x]
    grouped = net.transpose(net.reshape(x, 2, 3, height, width), 1, 0, 2, 3)
    return net.relu(net.conv(net.reshape(grouped, 6, height, width), 4, groups=2))


def per_pixel(net: Net, x: str) -> str:
    """A fully connected layer on each pixel, with the channels last, as TensorFlow has them."""
    last = net.transpose(x, 1, 2, 0)
    return net.transpose(net.relu(net.linear(net.relu(net.linear(last, 4)), 3)), 2, 0, 1)


def read_twice(net: Net, x: str) -> str:
    """Two ReLUs on one value, which keep scales of their own."""
    current = net.conv(x, 3)
    return net.concat(net.relu(current), net.relu(current, ceiling=0.5))


def neurons_on_spikes(net: Net, x: str) -> str:
    """Neurons that read the spikes of others, with a pool between them."""
    return net.relu(net.maximum(net.relu(net.conv(x, 3)), window(3, 1, 1)), ceiling=0.5)


BLOCKS: dict[str, Callable[[Net, str], str]] = {
    "chain": chain,
    "clipped": clipped,
    "residual": residual,
    "projection": projection,
    "option A": option_a,
    "inception": inception,
    "average": average,
    "maximum": maximum,
    "joined maximum": joined_maximum,
    "shared current": shared_current,
    "bottleneck": bottleneck,
    "preactivation": preactivation,
    "shuffle": shuffle,
    "per pixel": per_pixel,
    "read twice": read_twice,
    "neurons on spikes": neurons_on_spikes,
}


def recipe(blocks: Sequence[str], dyadic: bool = False, seed: int = 0, size: int = 9) -> Graph:
    """Return the folded network of these blocks in a row over square images, with a pool and a linear layer behind."""
    net = Net(2, size, size, dyadic=dyadic, seed=seed)
    x = "x"
    for block in blocks:
        x = BLOCKS[block](net, x)
    graph = net.graph(net.linear(net.flatten(net.average(x)), 3))
    probe = torch.randn((2, *graph.input_shape), generator=net.make)
    return apply_passes(graph, PASSES, probe)[0]
