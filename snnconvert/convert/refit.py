"""Weights fitted anew to the spikes that they really get: one least-squares problem a layer, solved in closed form.

With x the rates that arrive at a weighted operator, y the mean current that the whole layer makes of them, and z the
current of the ANN on the same samples, the change ``(dW, db)`` minimises

    sum over samples and places of |z - y - dW x - db|^2  +  ridge |dW|^2

Rates are rounded and clipped activations: the best weights for them are a little smaller than those for the activations
(a Wiener filter), and lean on the inputs that are told well. Only means over places and samples enter, no label and no
gradient; a layer whose samples and places are fewer than 4 times its inputs stays as it is.
"""

import torch
from torch import Tensor

from snnconvert.graph import Node
from snnconvert.simulate import Layerwise

RIDGE = 1e-3  # times the mean square of the inputs
ENOUGH = 4  # equations an unknown


def refit(run: Layerwise, value: str, target: Tensor) -> list[str]:
    """Exchange the weights whose outputs sum up to a value, so that its mean comes near ``target (N, ...)``.

    Returns the names of the nodes that were changed.
    """
    changed = []
    for node in run.refittable(value):
        solution = _solution(run, node, value, target)
        if solution is not None:
            run.operators[node.name] = run.operator(node.name).shifted(*solution)
            changed.append(node.name)
    return changed


def _solution(run: Layerwise, node: Node, value: str, target: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the changes of weights ``(groups, outputs, inputs)`` and bias, or None where there is too little to go by.

    The bias is free in each group: a column of ones stands beside the inputs.
    """
    operator = run.operator(node.name)
    gram = product = None
    rows = 0
    for chunk in run.chunks:
        told = operator.regression(run.mean(node.inputs[0], chunk), target[chunk] - run.mean(value, chunk))
        if told is None:
            return None
        inputs, missing = (each.flatten(0, 1).transpose(0, 1) for each in told)  # (groups, rows, ...)
        left = torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)
        squares, products = (left.mT @ left).double(), (left.mT @ missing).double()
        gram = squares if gram is None else gram + squares
        product = products if product is None else product + products
        rows += left.shape[1]
    if gram is None or product is None or rows < ENOUGH * gram.shape[-1]:
        return None
    size = gram.shape[-1] - 1
    ridge = RIDGE * gram.diagonal(dim1=1, dim2=2)[:, :size].mean(1) + 1e-12 * rows
    penalty = torch.cat([ridge[:, None].expand(-1, size), torch.full_like(ridge[:, None], 1e-12 * rows)], 1)
    found = torch.linalg.solve(gram + torch.diag_embed(penalty), product).mT.float()  # (groups, outputs, inputs + 1)
    return found[..., :size].contiguous(), found[..., size].reshape(-1)
