"""Sizes that a TorchScript network computes, replaced by their values: a pooling window as large as the image, say.

torch's exporter must know such a size, and loses the shapes on the way. So the network is asked: all whole numbers that
it computes are read out at two batches, and those that are the same at both become constants. Loops that run so many
times are written out.
"""

from typing import Any

import torch

from snnconvert.graph import Shape
from snnconvert.load.torch_sizes import SizeLimit
from snnconvert.load.torchscript_lists import resolve_lists

BATCHES = (2, 5)
OF_SHAPE = {
    f"aten::{name}" for name in ("size", "dim", "len", "numel", "stride", "__is__", "__isnot__", "is_floating_point")
}
ROUNDS = 3  # a size may depend on how long a list is, which a loop fills


def with_known_sizes(network: torch.jit.ScriptModule, shape: Shape) -> torch.jit.ScriptModule:
    """Return the network, frozen, with every size that does not depend on the batch as a constant.

    Raises:
        RuntimeError: torch cannot freeze it or run it.
    """
    frozen: torch.jit.ScriptModule = torch.jit.freeze(network, optimize_numerics=False)
    graph: Any = frozen.graph
    passes: Any = torch._C
    passes._jit_pass_inline(graph)
    for _ in range(ROUNDS):
        _set_known(graph, shape)
        passes._jit_pass_constant_propagation(graph)
        passes._jit_pass_constant_loop_unrolling(graph)
        passes._jit_pass_constant_propagation(graph)
        resolve_lists(graph)
        passes._jit_pass_dce(graph)
        if not any(graph.findAllNodes(kind) for kind in ("prim::Loop", "aten::append", "aten::pop")):
            break
    return frozen


def _set_known(graph: Any, shape: Shape) -> None:
    """Make constants of the numbers that are the same at both batches."""
    first, second = (_numbers_at((batch, *shape), graph) for batch in BATCHES)
    for value, here, there in zip(_numbers(graph), first, second, strict=True):
        if here == there:
            constant = graph.create("prim::Constant")
            constant.i_("value", here)
            constant.output().setType(torch._C.IntType.get())
            constant.insertBefore(value.node())
            value.replaceAllUsesWith(constant.output())


def _numbers(graph: Any) -> list[Any]:
    """Return the whole numbers that a graph computes from sizes alone, outside of its branches.

    A number that is read from a tensor's content is none of them: it would be that of zeros for all samples.
    """
    known: dict[str, bool] = {}
    found = []
    for node in graph.nodes():
        of_content = _reads_content(node) or any(known.get(value.debugName(), False) for value in node.inputs())
        for value in node.outputs():
            known[value.debugName()] = of_content  # a tensor too: its shape may be such a number
        countable = node.outputsSize() == 1 and node.kind() != "prim::Constant"
        if countable and str(node.output().type()) == "int" and not of_content:
            found.append(node.output())
    return found


def _reads_content(node: Any) -> bool:
    """Tell whether a node, or one in its branches, makes something else than a tensor of what a tensor holds."""
    if node.kind() in OF_SHAPE:
        return False
    makes = any(not _is_tensor(value) for value in node.outputs())
    if makes and node.kind().startswith("aten::") and any(_is_tensor(value) for value in node.inputs()):
        return True
    return any(_reads_content(inner) for block in node.blocks() for inner in block.nodes())


def _is_tensor(value: Any) -> bool:
    return "Tensor" in str(value.type())


def _numbers_at(shape: Shape, graph: Any) -> tuple[int, ...]:
    """Run a copy of the graph that returns its numbers instead of its outputs."""
    probe = graph.copy()
    for _ in list(probe.outputs()):
        probe.eraseOutput(0)
    for value in _numbers(probe):
        probe.registerOutput(value)
    probe.makeMultiOutputIntoTuple()
    torch._C._jit_pass_dce(probe)
    probe.eraseInput(0)  # the network itself, whose weights are constants
    with torch.no_grad(), SizeLimit():
        numbers: tuple[int, ...] = torch._C._create_function_from_graph("sizes", probe)(torch.zeros(shape))
    return numbers
