"""A graph as a torch module of nn.Conv2d, nn.ReLU and their like, which is what other converters take."""

import operator as python
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, fx, nn

from snnconvert.graph import Graph, Operator, Shape
from snnconvert.operators.activation import ReLU
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import AveragePool
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.reshape import Reshape
from snnconvert.operators.selection import Selection
from snnconvert.operators.sum import Sum


class Scale(nn.Module):
    """``scale * x``, for the branches that a sum reads."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def as_module(graph: Graph) -> fx.GraphModule:
    """Return a module with the graph's function: of images, with symmetric padding and one bias a channel.

    Raises:
        NotImplementedError: the graph has an operator that none of the networks here has.
    """
    root, traced = nn.Module(), fx.Graph()
    values = {graph.input: traced.placeholder("x")}
    for index, node in enumerate(graph.nodes):
        inputs = [values[name] for name in node.inputs]
        if isinstance(node.operator, Sum):
            values[node.name] = reduce(lambda a, b: traced.call_function(python.add, (a, b)), inputs)
            continue
        name = f"{type(node.operator).__name__.lower()}{index}"
        root.add_module(name, _layer(node.operator, graph.input_shapes(node)))
        values[node.name] = traced.call_module(name, tuple(inputs))
    traced.output(values[graph.output])
    return fx.GraphModule(root, traced).eval()


def _layer(operator: Operator, shapes: Sequence[Shape]) -> nn.Module:
    match operator:
        case Convolution(weight, bias, window, groups) if window.before == window.after:
            space = (window.kernel, window.stride, window.before, window.dilation)
            return _with(nn.Conv2d(weight.shape[1] * groups, weight.shape[0], *space, groups), weight, bias)
        case Linear(weight, bias):
            return _with(nn.Linear(weight.shape[1], weight.shape[0]), weight, bias)
        case Affine(scale, shift) if not bool(shift.any()):
            return Scale(scale)
        case Selection(slice, pad, _, bias) if pad.before[1:] == pad.after[1:] == (0, 0) and not bool(bias.any()):
            weight = one_pixel(operator, shapes[0])
            return _with(nn.Conv2d(weight.shape[1], weight.shape[0], 1, slice.step[1:]), weight, None)
        case AveragePool(window) if window.before == window.after and not any(operator.extension):
            return nn.AvgPool2d(window.kernel, window.stride, window.before, count_include_pad=operator.count_padding)
        case ReLU(None):
            return nn.ReLU()
        case Reshape((_,)):
            return nn.Flatten()
    raise NotImplementedError(f"no torch module for {operator}")


def one_pixel(shortcut: Selection, shape: Shape) -> Tensor:
    """Return a subsampling shortcut as a convolution of one pixel ``(O, I, 1, 1)``, with the stride of its slice."""
    alone = torch.eye(shape[0])[:, :, None, None].expand(-1, -1, *shape[1:])  # each channel alone
    return shortcut.evaluate([alone])[:, :, :1, :1].transpose(0, 1)


def _with(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Give a layer its parameters; a bias that is not there is left out, not added as zeros."""
    layer.weight = nn.Parameter(weight.clone(), requires_grad=False)
    layer.bias = None if bias is None else nn.Parameter(bias.clone(), requires_grad=False)
    return layer
