"""Operators as lines of torch: what an exported module computes of each value in one time step."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from snnconvert.graph import Operator, Role, Shape
from snnconvert.operators.affine import Affine
from snnconvert.operators.average_pooling import AveragePool, Mean
from snnconvert.operators.convolution import Convolution
from snnconvert.operators.linear import Linear
from snnconvert.operators.max_pooling import MaxPool
from snnconvert.operators.reshape import Concat, Reshape, Transpose
from snnconvert.operators.selection import Pad, Selection, Slice
from snnconvert.operators.take import Take
from snnconvert.operators.window import Window, torch_pads

Keep = Callable[[str, Tensor], str]  # stores a tensor under a name and returns how the module reads it


def code_of(operator: Operator, inputs: Sequence[str], shapes: Sequence[Shape], keep: Keep) -> str | None:
    """Return an expression for a batch; None where there is none."""
    if operator.role is Role.SUM:
        return " + ".join(inputs)
    if operator.role is Role.IDENTITY:
        return inputs[0]
    if isinstance(operator, Concat):
        return f"torch.cat([{', '.join(inputs)}], {operator.axis + 1})"
    for kind, write in _WRITTEN.items():
        if isinstance(operator, kind):
            return write(operator, inputs[0], shapes[0], keep)
    return None


def maximum(operator: MaxPool, x: str) -> str:
    """Return the maximum over windows of ``x``."""
    window, function = operator.window, "max_pool1d" if len(operator.window.kernel) == 1 else "max_pool2d"
    pads = torch_pads(window.before, window.after)
    padded = f"F.pad({x}, {pads}, value=-math.inf)" if any(pads) else x
    return f"F.{function}({padded}, {window.kernel}, {window.stride}, 0, {window.dilation})"


def _padded(window: Window, x: str) -> tuple[str, tuple[int, ...]]:
    if window.symmetric:
        return x, window.before
    return f"F.pad({x}, {torch_pads(window.before, window.after)})", (0,) * len(window.kernel)


def _convolution(operator: Convolution, x: str, shape: Shape, keep: Keep) -> str:
    padded, padding = _padded(operator.window, x)
    function = "conv1d" if operator.weight.ndim == 3 else "conv2d"
    plain = operator.bias is not None and operator.bias.ndim == 1
    bias = keep("bias", operator.bias) if plain and operator.bias is not None else "None"
    window = operator.window
    settings = f"{window.stride}, {padding}, {window.dilation}, {operator.groups}"
    code = f"F.{function}({padded}, {keep('weight', operator.weight)}, {bias}, {settings})"
    return code if plain or operator.bias is None else f"{code} + {keep('bias', operator.bias)}"


def _linear(operator: Linear, x: str, shape: Shape, keep: Keep) -> str:
    bias = "None" if operator.bias is None else keep("bias", operator.bias)
    return f"F.linear({x}, {keep('weight', operator.weight)}, {bias})"


def _affine(operator: Affine, x: str, shape: Shape, keep: Keep) -> str:
    return f"{x} * {keep('scale', operator.scale)} + {keep('shift', operator.shift)}"


def _average(operator: AveragePool, x: str, shape: Shape, keep: Keep) -> str | None:
    window, rank = operator.window, len(operator.window.kernel)
    simple = not any(operator.extension) and window.symmetric and window.dilation == (1,) * rank
    if not simple or any(2 * b > k for b, k in zip(window.before, window.kernel, strict=True)):
        return None
    counted = f"count_include_pad={operator.count_padding}"
    return f"F.avg_pool{rank}d({x}, {window.kernel}, {window.stride}, {window.before}, {counted})"


def _mean(operator: Mean, x: str, shape: Shape, keep: Keep) -> str:
    return f"{x}.mean({[axis + 1 for axis in operator.axes]}, keepdim={operator.keep})"


def _reshape(operator: Reshape, x: str, shape: Shape, keep: Keep) -> str:
    return f"{x}.reshape({', '.join(map(str, (-1, *operator.shape)))})"


def _transpose(operator: Transpose, x: str, shape: Shape, keep: Keep) -> str:
    return f"{x}.permute({', '.join(map(str, (0, *(axis + 1 for axis in operator.order))))})"


def _slice(operator: Slice, x: str, shape: Shape, keep: Keep) -> str:
    bounds = zip(operator.start, operator.stop, operator.step, strict=True)
    return f"{x}[:, {', '.join(f'{a}:{b}:{s}' for a, b, s in bounds)}]"


def _pad(operator: Pad, x: str, shape: Shape, keep: Keep) -> str:
    return f"F.pad({x}, {torch_pads(operator.before, operator.after)})"


def _selection(operator: Selection, x: str, shape: Shape, keep: Keep) -> str:
    moved = _pad(operator.pad, _slice(operator.slice, x, shape, keep), shape, keep)
    return f"{moved} * {keep('weight', operator.weight)} + {keep('bias', operator.bias)}"


def _take(operator: Take, x: str, shape: Shape, keep: Keep) -> str:
    return f"{x}.index_select({operator.axis + 1}, torch.tensor({list(operator.index)}, device={x}.device))"


def _maximum(operator: MaxPool, x: str, shape: Shape, keep: Keep) -> str:
    return maximum(operator, x)


_WRITTEN: Mapping[type[Operator], Callable[..., str | None]] = {
    Convolution: _convolution,
    Linear: _linear,
    Affine: _affine,
    AveragePool: _average,
    Mean: _mean,
    Reshape: _reshape,
    Transpose: _transpose,
    Slice: _slice,
    Pad: _pad,
    Selection: _selection,
    Take: _take,
    MaxPool: _maximum,
}
