"""torch's own exporters, kept quiet and in memory: a network that torch can run becomes an ONNX model.

What they write is run in ONNX Runtime against the network itself, so an exporter that changes the function is found
out here.
"""

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.export.pt2_archive._package import load_pt2

from snnconvert.errors import LimitError, ModelError, SnnError
from snnconvert.graph import Shape, relative_error
from snnconvert.load.ends import require_size
from snnconvert.load.handover import Handover
from snnconvert.load.torch_sizes import SizeLimit
from snnconvert.load.torch_weights import program_with_weights, weights_apart, weights_as_inputs, with_weights
from snnconvert.load.torchscript_sizes import with_known_sizes
from snnconvert.memory import ran_out

OPSET = 17  # of the exporter for TorchScript, which is not developed any more
LIMIT = 1e-4  # of the largest output: float32 rounding, in another order
FITTING = "is the shape of the samples right (--input-shape)? does the network run in torch after it is loaded?"
INSTEAD = "replace it by operators that torch.onnx can export"
YOURSELF = "export it with torch.onnx.export, and convert that file"
# how to export, one after the other: batch, whether the model takes any other, whether sizes are computed beforehand
OTHER_BATCH = 3
ATTEMPTS = ((2, True, False), (2, True, True), (1, False, False))
_ADDRESS = re.compile(r"(?: at)? ?\b0x[0-9a-fA-F]+")  # of an object in memory: it tells nobody anything
_OPERATOR = re.compile(
    r"the operator '([\w:]+)'|export of operator (\w+)|No ONNX function found for <OpOverload\(op='([\w.]+)'"
)


def script_to_onnx(path: Path, handover: Handover, shape: Shape) -> bytes:
    """Return a TorchScript network as an ONNX model, with large weights in ``handover``.

    Its batch is free where the exporter manages that.

    Raises:
        ModelError: torch or its exporter cannot take it (E116, E120, E122).
        LimitError: it takes too much memory (E501).
    """
    problem = None
    with _quietly():
        for batch, free, sizes_first in ATTEMPTS:
            inputs = [_noise((count, *shape)) for count in ((batch, OTHER_BATCH) if free else (batch,))]
            handover.clear()
            try:
                with _told(path):
                    network = torch.jit.load(handover.source(), map_location="cpu").eval()  # type: ignore[no-untyped-call]
                    expected = [_outputs(path, network, x) for x in inputs]
            except ModelError as refusal:
                problem = problem or refusal
                continue
            try:
                with _told(path), _limited(path):  # it runs the network again, and computes what is constant
                    if sizes_first:
                        network = with_known_sizes(network, shape)
                    with weights_apart() as apart:
                        content = _exported(network, inputs[0], len(expected[0]), free)
                    del network  # a large one needs not be there twice
                    model = with_weights(content, apart, handover)
                    _require_plain(path, model)
                    _require_same(path, model, handover, inputs, expected)
                    return bytes(model.SerializeToString())
            except ModelError as refusal:
                problem = refusal
    raise problem or ModelError("E116", f"{path.name}: torch runs it with no batch", FITTING)


def _exported(network: torch.nn.Module, x: torch.Tensor, outputs: int, free: bool) -> bytes:
    """Run torch's exporter for TorchScript."""
    names = [f"output{index}" for index in range(outputs)]
    buffer = io.BytesIO()
    torch.onnx.export(
        network,
        (x.clone(),),  # an activation in place would change it
        buffer,  # type: ignore[arg-type]
        dynamo=False,
        opset_version=OPSET,
        input_names=["input"],
        output_names=names,
        dynamic_axes={name: {0: "N"} for name in ("input", *names)} if free else None,
    )
    return buffer.getvalue()


def _require_plain(path: Path, model: onnx.ModelProto) -> None:
    """Refuse a model with control flow or lists, which another way to export it may do without."""
    for node in model.graph.node:
        if node.op_type in ("If", "Loop") or "Sequence" in node.op_type:
            raise ModelError(
                "E120",
                f"{path.name}: torch's exporter writes {node.op_type} for node '{node.name}'",
                "trace the network (torch.jit.trace), so that its branches and loops are settled",
            )


def program_to_onnx(path: Path, handover: Handover) -> bytes:
    """Return an exported program as an ONNX model, with large weights in ``handover``.

    Its batch is free where the program's is.

    Raises:
        ModelError: torch or its exporter cannot take it (E116, E120, E122, E124).
        LimitError: it takes too much memory (E501).
    """
    with _quietly(), _told(path):
        # not torch.export.load, which tells no reason
        program = load_pt2(handover.source()).exported_programs["model"]
        shapes = [
            node.meta["val"].shape for node in program.graph.nodes if node.name in program.graph_signature.user_inputs
        ]
        if len(shapes) != 1:
            raise ModelError(
                "E124", f"{path.name}: one input expected, got {len(shapes)}", "export the network with one input"
            )
        shape = [size if isinstance(size, int) else _allowed(program, size) for size in shapes[0]]
        require_size(f"{path.name}: the input", shape[1:], next(iter(shape), None))
        x = _noise(shape)
        expected = _outputs(path, program.module(), x)
        written = torch.onnx.export(program, dynamo=True, verbose=False)
        if written is None:
            raise ModelError("E116", f"{path.name}: torch's exporter returns nothing", YOURSELF)
        del program
        model = program_with_weights(written, handover)
        del written
        _require_same(path, model, handover, [x], [expected])
        return bytes(model.SerializeToString())


def _allowed(program: torch.export.ExportedProgram, size: torch.SymInt) -> int:
    """Return a number of samples that the program takes."""
    limits = program.range_constraints.get(size.node.expr)
    return 2 if limits is None else max(2, int(limits.lower))


def _noise(shape: Sequence[int]) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _outputs(path: Path, network: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Run the network under a limit on its values; return its outputs."""
    with torch.no_grad(), _limited(path):
        result = network(x.clone())
    found = result if isinstance(result, tuple | list) else [result]
    outputs = [each for each in found if each is not None]  # of a branch that only training takes
    if not outputs or not all(isinstance(each, torch.Tensor) for each in outputs):
        raise ModelError("E124", f"{path.name}: the network returns no tensor", "export it with one tensor as output")
    for each in outputs:
        if each.ndim == 0 or each.shape[0] != len(x):
            raise ModelError(
                "E124",
                f"{path.name}: an output of shape {tuple(each.shape)} for {len(x)} samples",
                "one row a sample expected",
            )
    return outputs


def _require_same(
    path: Path,
    model: onnx.ModelProto,
    handover: Handover,
    inputs: Sequence[torch.Tensor],
    expected: Sequence[Sequence[torch.Tensor]],
) -> None:
    """Refuse an ONNX model that does not compute what the network computes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it runs once or twice
    options.intra_op_num_threads = 1  # threads that wait take time of the processor, which has a limit here
    try:
        asking, weights = weights_as_inputs(model, handover)
        session = onnxruntime.InferenceSession(asking.SerializeToString(), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        ran = [[each for each in session.run(None, {name: x.numpy(), **weights}) if each is not None] for x in inputs]
    except Exception:  # noqa: BLE001 - ONNX Runtime's exceptions have no common base
        return  # whoever reads the model tells why
    for mine, theirs in zip(ran, expected, strict=True):
        _require_close(path, mine, theirs)


def _require_close(path: Path, got: Sequence[NDArray[np.generic]], expected: Sequence[torch.Tensor]) -> None:
    if [each.shape for each in got] != [tuple(each.shape) for each in expected]:
        shapes = ", ".join(str(each.shape) for each in got) or "nothing"
        raise ModelError("E116", f"{path.name}: torch's exporter makes outputs of other shapes ({shapes})", YOURSELF)
    for mine, theirs in zip(got, expected, strict=True):
        finite = theirs.isfinite()  # what the network itself makes of noise is not judged here
        error = relative_error(torch.from_numpy(mine)[finite], theirs[finite]) if finite.any() else 0.0
        if not error <= LIMIT:
            raise ModelError(
                "E116",
                f"{path.name}: torch's exporter changes an output by {error:.2g} of its largest value",
                "call model.eval() before tracing or exporting; dropout must not be active",
            )


@contextlib.contextmanager
def _limited(path: Path) -> Iterator[None]:
    """Let torch compute under a limit on its values."""
    limit = SizeLimit()
    try:
        with limit:
            yield
    except Exception:
        if limit.finding:
            raise ModelError(
                "E122", f"{path.name}: {limit.finding}", "is the shape of the samples right? see --input-shape"
            ) from None
        raise


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn whatever torch raises into one line."""
    try:
        yield
    except SnnError:
        raise
    except Exception as problem:  # noqa: BLE001 - torch's exceptions have no common base
        if ran_out(problem):
            raise LimitError("E501", f"{path.name}: torch runs out of memory on the model") from None
        found = _OPERATOR.search(str(problem))
        if found:
            name = next(filter(None, found.groups()))
            raise ModelError("E120", f"{path.name}: torch's exporter has no ONNX form of {name}", INSTEAD) from None
        raise ModelError("E116", f"{path.name}: torch refuses the model ({_reason(problem)})", FITTING) from None


def _reason(problem: Exception) -> str:
    """Return the line of a message that says most; TorchScript puts it last, behind a traceback."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()] or [type(problem).__name__]
    last = [line for line in lines if re.match(r"[\w.]+: ", line)] if "Traceback" in str(problem) else []
    return _ADDRESS.sub("", (last or lines)[-1 if last else 0])[:160]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep torch's prints, warnings and log lines from the user, here and nowhere else."""
    level, write = logging.root.manager.disable, torch._C._jit_onnx_log
    logging.disable(logging.CRITICAL)
    torch._C._jit_onnx_log = lambda *_: None  # it prints the graph of every failure
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        torch._C._jit_onnx_log = write
