"""What our checks add to the loading of a 100 MB network: time and peak memory, against its own library."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Section, machine

ROUNDS = 3
SHAPE = (3, 32, 32)
SIDES = ("loaded", "exported", "ours")
MOST_SECONDS, MOST_SIZES = 2.0, 3.0
# both sides import all that they need first, then load in a process of their own
MEASURE = """
import json, resource, sys, time
kind, path, side = sys.argv[1:4]
import onnx, onnxruntime, torch
from pathlib import Path
from snnconvert.load import Asked, load_model
if kind != "ONNX":
    import onnxscript, snnconvert.load.torch_exporters
def peak():  # ru_maxrss of a process starts with that of whoever started it
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
started, before = time.perf_counter(), peak()
shape = tuple(json.loads(sys.argv[4]))
if side == "ours":
    load_model(Path(path), Asked(shape))
elif kind == "ONNX":
    onnx.load(path)
elif kind == "TorchScript":
    network = torch.jit.load(path)
    if side == "exported":
        import io
        buffer = io.BytesIO()
        torch.onnx.export(network, (torch.zeros(2, *shape),), buffer, dynamo=False)
        onnx.load_from_string(buffer.getvalue())
else:
    program = torch.export.load(path)
    if side == "exported":
        onnx.load_from_string(torch.onnx.export(program, dynamo=True, verbose=False).model_proto.SerializeToString())
taken = time.perf_counter() - started
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # with the pages that it shares
child = max(child - before, 0)
print(json.dumps([taken, peak() - before + child]))
"""


def networks(folder: Path) -> dict[str, Path]:
    """Write one network of 25 million weights in the three formats."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(3072, 4096), nn.ReLU(), nn.Linear(4096, 3072), nn.ReLU(), nn.Linear(3072, 10)
    ).eval()
    x = torch.zeros(2, *SHAPE)
    paths = {"ONNX": folder / "net.onnx", "TorchScript": folder / "net.pt", "torch.export": folder / "net.pt2"}
    torch.onnx.export(net, (x,), paths["ONNX"], dynamo=False, verbose=False)
    torch.jit.save(torch.jit.trace(net, x), paths["TorchScript"])
    torch.export.save(torch.export.export(net, (x,)), paths["torch.export"])
    return paths


def measured(kind: str, path: Path, side: str) -> tuple[float, float]:
    """Return seconds and MiB of loading once, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, kind, str(path), side, json.dumps(SHAPE)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    taken, memory = json.loads(found.splitlines()[-1])
    return taken, memory


def run() -> Section:
    """Load each format by its own library and by ours, turn by turn."""
    rows, missed, beyond = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in networks(Path(folder)).items():
            size = path.stat().st_size / 2**20
            turns = [{side: measured(kind, path, side) for side in SIDES} for _ in range(ROUNDS)]
            time, memory = (
                {side: statistics.median(turn[side][which] for turn in turns) for side in SIDES} for which in (0, 1)
            )
            for side, found in (("loaded", missed), ("exported", beyond)):
                slow = time["ours"] - time[side] > MOST_SECONDS
                if slow or memory["ours"] - memory[side] > MOST_SIZES * size:
                    found.append(kind)
            cells = [cell for side in SIDES for cell in (f"{time[side]:.2f} s", f"{memory[side]:.0f} MiB")]
            rows.append([kind, f"{size:.0f} MiB", *cells])
    told = [f"**missed by {', '.join(found)}**" if found else "**met**" for found in (missed, beyond)]
    verdict = (
        f"Goal (at most {MOST_SECONDS:g} s and {MOST_SIZES:g} x the file's size more than its library takes): "
        f"{told[0]}; against its loading and exporting to ONNX, which torch's formats need here: {told[1]}. "
        f"Medians of {ROUNDS}; imports not counted. Ours ends with a checked graph and a session of ONNX Runtime; "
        "the peak of the child in which torch works is added, with the pages that it shares."
    )
    header = ["format", "file", "loaded by its library", "peak", "and exported", "peak", "ours", "peak"]
    return Section("reading", "Cost of reading a model file safely", header, rows, verdict, machine())
