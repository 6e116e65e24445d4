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
MOST_SECONDS, MOST_SIZES = 2.0, 3.0
# both sides import all that they need first, then load in a process of their own
MEASURE = """
import json, resource, sys, time
kind, path, ours = sys.argv[1], sys.argv[2], sys.argv[3] == "ours"
import onnx, onnxruntime, torch
from pathlib import Path
from snnconvert.load import Asked, load_model
import snnconvert.load.torch_model
if kind != "ONNX":
    import torch.onnx, onnxscript
    torch.onnx.export(torch.nn.ReLU(), (torch.zeros(1, 3),), dynamo=kind == "torch.export", verbose=False)
def peak(who=resource.RUSAGE_SELF):
    return resource.getrusage(who).ru_maxrss / 1024
started, before = time.perf_counter(), peak()
if ours:
    load_model(Path(path), Asked(tuple(json.loads(sys.argv[4]))))
elif kind == "ONNX":
    onnx.load(path)
elif kind == "TorchScript":
    torch.jit.load(path)
else:
    torch.export.load(path)
taken = time.perf_counter() - started
child = max(peak(resource.RUSAGE_CHILDREN) - before, 0)  # it shares pages with its parent: more than it takes
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
    rows, missed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in networks(Path(folder)).items():
            size = path.stat().st_size / 2**20
            turns = [{side: measured(kind, path, side) for side in ("its own", "ours")} for _ in range(ROUNDS)]
            time, memory = (
                {side: statistics.median(turn[side][which] for turn in turns) for side in ("its own", "ours")}
                for which in (0, 1)
            )
            more, sizes = time["ours"] - time["its own"], (memory["ours"] - memory["its own"]) / size
            if more > MOST_SECONDS or sizes > MOST_SIZES:
                missed.append(kind)
            rows.append(
                [
                    kind,
                    f"{size:.0f} MiB",
                    f"{time['its own']:.2f} s",
                    f"{time['ours']:.2f} s",
                    f"{more:+.2f} s",
                    f"{memory['its own']:.0f} MiB",
                    f"{memory['ours']:.0f} MiB",
                    f"{sizes:+.2f} x",
                ]
            )
    verdict = (
        f"Goal (at most {MOST_SECONDS:g} s and {MOST_SIZES:g} x the file's size more than the format's own library): "
        f"**{'missed by ' + ', '.join(missed) if missed else 'met'}**; medians of {ROUNDS} turns, imports not counted. "
        "Ours ends with a checked graph and a session of ONNX Runtime; torch's formats become ONNX on the way, in a "
        "child of the process, whose peak is added."
    )
    header = ["format", "file", "its own loading", "ours", "more", "its own peak", "our peak", "more / file"]
    return Section("reading", "Cost of reading a model file safely", header, rows, verdict, machine())
