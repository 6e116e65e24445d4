"""A graph as a list of Keras layers, which another process makes a model of; nothing here needs Keras."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from benchmarks.modules import one_pixel
from snnconvert.graph import Graph, Node
from snnconvert.operators.activation import ReLU
from snnconvert.operators.average_pooling import AveragePool
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.reshape import Reshape
from snnconvert.operators.selection import Selection
from snnconvert.operators.sum import Sum
from snnconvert.operators.window import Window


@dataclass
class KerasLayers:
    """A network as Keras layers, channels last; ``merged`` makes one convolution of each sum and what it adds up.

    snn_toolbox takes the activation behind a sum for that of the convolution before it, too: its authors ask for
    residual networks that are trained with a ReLU there. A merged network needs none, and is the same function.
    """

    graph: Graph
    merged: bool
    layers: list[dict] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Translate node by node."""
        self.nodes = {node.name: node for node in self.graph.nodes}
        self.names = {self.graph.input: self.add("Input", [], shape=self.last(self.graph.input_shape))}
        for node in self.graph.nodes:
            if not self.is_merged_later(node):
                self.names[node.name] = self.translate(node)
        self.add("Activation", [self.names[self.graph.output]], activation="softmax")

    @staticmethod
    def last(shape: tuple[int, ...]) -> list[int]:
        """Return a shape with its channels last."""
        return [*shape[1:], shape[0]]

    def add(self, kind: str, inputs: list[str], parameters: tuple[Tensor, ...] = (), **settings: object) -> str:
        """Append a layer; return its name."""
        name = f"{kind.lower()}{len(self.layers)}"
        keys = [f"{name}.{index}" for index in range(len(parameters))]
        self.arrays |= {key: value.numpy() for key, value in zip(keys, parameters, strict=True)}
        self.layers.append({"kind": kind, "name": name, "inputs": inputs, "parameters": keys, "settings": settings})
        return name

    def is_merged_later(self, node: Node) -> bool:
        """Return whether a sum takes this convolution into its own."""
        readers = [each for each in self.graph.nodes if node.name in each.inputs]
        sums = [each for each in readers if isinstance(each.operator, Sum)]
        return self.merged and isinstance(node.operator, Convolution) and readers == sums != []

    def translate(self, node: Node) -> str:
        """Append what computes a node."""
        operator, inputs = node.operator, [self.names.get(name, "") for name in node.inputs]
        match operator:
            case Sum() if self.merged:
                (branch,) = (name for name in node.inputs if name not in self.names)
                (other,) = (name for name in node.inputs if name in self.names)
                read = self.nodes[branch]
                weight, bias, window = read.operator.weight, read.operator.bias, read.operator.window
                same = torch.zeros(len(weight), len(weight), *window.kernel)
                same[range(len(weight)), range(len(weight)), window.before[0], window.before[1]] = 1
                both = self.add("Concatenate", [self.names[read.inputs[0]], self.names[other]])
                return self.convolution(both, torch.cat([weight, same], 1), bias, window)
            case Sum():
                return self.add("Add", inputs)
            case Convolution(weight, bias, window, 1):
                return self.convolution(inputs[0], weight, bias, window)
            case Linear(weight, bias):
                read = self.nodes[node.inputs[0]]
                if isinstance(read.operator, Reshape):  # of channels first
                    (shape,) = self.graph.input_shapes(read)
                    weight = weight.unflatten(1, shape).permute(0, 2, 3, 1).flatten(1)
                bias = torch.zeros(len(weight)) if bias is None else bias
                return self.add("Dense", inputs, (weight.T, bias), units=len(weight))
            case Selection():
                return self.selection(node, inputs[0])
            case AveragePool(window) | MaxPool(window) if not any((*window.before, *window.after)):
                kind = type(operator).__name__.replace("Pool", "Pooling2D")
                return self.add(kind, inputs, pool_size=window.kernel, strides=window.stride)
            case ReLU(None):
                return self.add("Activation", inputs, activation="relu")
            case Reshape((_,)):
                return self.add("Flatten", inputs)
        raise NotImplementedError(f"no Keras layer for {operator}")

    def convolution(self, source: str, weight: Tensor, bias: Tensor | None, window: Window) -> str:
        """Append a convolution, behind the zeros that it pads with."""
        if any((*window.before, *window.after)):
            source = self.add("ZeroPadding2D", [source], padding=[*zip(window.before, window.after, strict=True)])
        bias = torch.zeros(len(weight)) if bias is None else bias
        parameters = (weight.permute(2, 3, 1, 0), bias)
        settings = {"filters": len(weight), "kernel_size": window.kernel, "strides": window.stride}
        return self.add("Conv2D", [source], parameters, **settings)

    def selection(self, node: Node, source: str) -> str:
        """Append a subsampling shortcut as a convolution of one pixel; what it reads and gives is never negative."""
        weight = one_pixel(node.operator, *self.graph.input_shapes(node))
        window = Window((1, 1), node.operator.slice.step[1:], (1, 1), (0, 0), (0, 0))
        name = self.convolution(source, weight, None, window)
        return self.add("Activation", [name], activation="relu")
