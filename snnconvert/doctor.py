"""Looks at what a machine has and lacks: versions, devices, the compiled loops, a place to write."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from snnconvert import __version__
from snnconvert.errors import first_line
from snnconvert.processes import processors

SCHEMA = "snnconvert/doctor/1"
ROOM = 2**28  # bytes that a bundle of a large network may take
State = Literal["ok", "note", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and in words."""

    what: str
    state: State
    told: str


def examine(folder: Path) -> dict[str, Any]:
    """Return the ``snnconvert/doctor/1`` document; bundles would be written to ``folder``."""
    found = [_python(), *_packages(), _terminal()]
    checks: dict[str, Callable[[], Finding]] = {
        "torch": _torch,
        "ONNX Runtime": _onnxruntime,
        "compiled loops": _loops,
        "writing": lambda: _writing(folder),
    }
    for what, check in checks.items():
        try:
            found.append(check())
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is what was looked for
            found.append(Finding(what, "FAIL", f"{type(problem).__name__}: {first_line(problem)}"))
    return {
        "schema": SCHEMA,
        "version": __version__,
        "healthy": all(each.state != "FAIL" for each in found),
        "findings": [vars(each) for each in found],
    }


def _python() -> Finding:
    told = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {processors()} cores"
    return Finding("Python", "ok" if sys.version_info >= (3, 11) else "FAIL", told)


def _packages() -> list[Finding]:
    """Return what is installed of the packages that snnconvert asks for, and of its extras."""
    needed: list[str] = []
    extras: dict[str, list[str]] = {}
    try:
        lines = importlib.metadata.requires("snnconvert") or []
    except importlib.metadata.PackageNotFoundError:
        return [Finding("packages", "note", "snnconvert is not installed: what it asks for is not known")]
    for line in lines:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([^'\"]+)", line)
        if extra is None:
            needed.append(name)
        elif extra[1] not in ("dev", "train"):
            extras.setdefault(extra[1], []).append(name)
    versions = {name: _version(name) for name in needed}
    missing = [name for name, version in versions.items() if version is None]
    told = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    found = [Finding("packages", "FAIL" if missing else "ok", f"missing: {', '.join(missing)}" if missing else told)]
    for name, packages in sorted(extras.items()):
        absent = [each for each in packages if _version(each) is None]
        told = ", ".join(f"{each} {_version(each)}" for each in packages)
        lacks = f"{', '.join(absent)} is not installed: pip install 'snnconvert[{name}]'"
        found.append(Finding(f"extra {name}", "note" if absent else "ok", lacks if absent else told))
    return found


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _terminal() -> Finding:
    encoding = getattr(sys.stdout, "encoding", None) or "unknown"
    plain = "utf" not in encoding.lower()
    told = f"{encoding}: other characters are written as escapes" if plain else encoding
    return Finding("terminal", "note" if plain else "ok", f"{told}; {shutil.get_terminal_size().columns} columns")


def _torch() -> Finding:
    import torch

    from snnconvert.simulate import on_gpu

    gpus = []
    for index in range(torch.cuda.device_count()):
        trouble = on_gpu.trouble(torch.device("cuda", index))
        told = "blocks of steps in one kernel" if trouble is None else f"steps by torch, more slowly: {trouble}"
        gpus.append(f"{torch.cuda.get_device_name(index)}, {told}")
    return Finding("torch", "ok", f"{torch.get_num_threads()} threads; {'; '.join(gpus) or 'no GPU'}")


def _onnxruntime() -> Finding:
    """Run a model of one node."""
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "doctor", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (said,) = session.run(None, {"x": np.array([-1, 2], np.float32)})
    if said.tolist() != [0, 2]:
        return Finding("ONNX Runtime", "FAIL", f"Relu of -1 and 2 is {said.tolist()}")
    return Finding("ONNX Runtime", "ok", f"{onnxruntime.__version__} runs a model")


def _loops() -> Finding:
    """Compare the compiled loops with the plain steps, on a network of spikes with weights that are exact."""
    import torch

    from snnconvert.compiled import place_of_loops
    from snnconvert.graph import Graph, Node
    from snnconvert.network import NormalForm, Schedule, spiking_network
    from snnconvert.neurons import make_neuron
    from snnconvert.operators.activation import ReLU
    from snnconvert.operators.convolution import Convolution
    from snnconvert.operators.window import Window
    from snnconvert.simulate import Simulator

    make = torch.Generator().manual_seed(0)
    window = Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    weights = [torch.randint(-4, 7, (8, 8, 3, 3), generator=make) / 32 for _ in range(2)]
    nodes = []
    for number, weight in enumerate(weights):
        before = f"relu{number - 1}" if number else "x"
        nodes += [Node(f"conv{number}", Convolution(weight, None, window), (before,))]
        nodes += [Node(f"relu{number}", ReLU(None), (f"conv{number}",))]
    graph = Graph("doctor", "x", (8, 6, 6), tuple(nodes), "relu1")
    network = spiking_network(NormalForm(graph, {}), make_neuron("if", {}), schedule=Schedule(8))
    x = torch.randint(0, 5, (2, 8, 6, 6), generator=make) / 4
    (fast,), (plain,) = (list(Simulator(network, fused=fused).run(x, [8])) for fused in (True, False))
    spikes = sum(int(count.sum()) for count in plain.counts.values())
    same = all(torch.equal(fast.counts[name], count) for name, count in plain.counts.items())
    if not same or not spikes:
        return Finding("compiled loops", "FAIL", f"they count other spikes than the plain steps ({spikes:,} in all)")
    place, kept = place_of_loops()
    return Finding(
        "compiled loops",
        "ok" if kept else "note",
        f"{spikes:,} spikes as in plain steps; " + (f"kept in {place}" if kept else f"compiled at each start: {place}"),
    )


def _writing(folder: Path) -> Finding:
    """Write a file, sync it, and give it another name, as a bundle is written."""
    with tempfile.TemporaryDirectory(prefix=".snnconvert-doctor-", dir=folder) as place:
        first = Path(place) / "first"
        with first.open("wb") as file:
            file.write(b"doctor")
            file.flush()
            os.fsync(file.fileno())
        first.rename(Path(place) / "second")
    free = shutil.disk_usage(folder).free
    told = f"{folder.resolve()}: {free / 2**30:.1f} GiB free"
    return Finding("writing", "ok" if free >= ROOM else "note", told)
