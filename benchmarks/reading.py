"""What our checks add to the loading of a 100 MB network: time and peak memory, against its own library."""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Section, machine

ROUNDS = 3
SHAPE = (3, 32, 32)
SIDES = ("loaded", "exported", "ours")
MOST_SECONDS, MOST_SIZES = 2.0, 3.0
PAUSE = 0.003  # seconds between two looks at the memory, which take longer themselves
# every side imports all that it needs first, then loads in a process of its own
MEASURE = """
import json, sys, time
kind, path, side = sys.argv[1:4]
import onnx, onnxruntime, torch
from pathlib import Path
from snnconvert.load import Asked, load_model
if kind != "ONNX":
    import onnxscript, snnconvert.load.torch_exporters
shape = tuple(json.loads(sys.argv[4]))
print("ready", flush=True)
input()
started = time.perf_counter()
if side == "ours":
    kept = load_model(Path(path), Asked(shape))
elif kind == "ONNX":
    kept = onnx.load(path)
elif kind == "TorchScript":
    kept = torch.jit.load(path)
    if side == "exported":
        import io
        buffer = io.BytesIO()
        torch.onnx.export(kept, (torch.zeros(2, *shape),), buffer, dynamo=False)
        kept = onnx.load_from_string(buffer.getvalue())
else:
    kept = torch.export.load(path)
    if side == "exported":
        written = torch.onnx.export(kept, dynamo=True, verbose=False)
        kept = onnx.load_from_string(written.model_proto.SerializeToString())
print(json.dumps(time.perf_counter() - started), flush=True)
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
    """Return the seconds of loading once, and the MiB of loading once more; each in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, kind, str(path), side, json.dumps(SHAPE)]
    found = []
    for watching in (False, True):  # a look at the memory halts the process
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # by which its children are found
        ) as loading:
            if loading.stdin is None or loading.stdout is None or loading.stdout.readline() != "ready\n":
                raise RuntimeError(f"{kind}, {side}: the process ends before it loads")
            before = peak = memory(loading.pid)
            loading.stdin.write("\n")
            loading.stdin.flush()
            while watching and loading.poll() is None:
                peak = max(peak, memory(loading.pid))
                time.sleep(PAUSE)
            found.append((peak - before) / 2**20 if watching else json.loads(loading.stdout.readline()))
    taken, most = found
    return taken, most


def memory(session: int) -> int:
    """Return the bytes of memory that the processes of a session hold; a page that several share counts once.

    Memory that can be shared counts whole, as the system counts it: what nobody has mapped is held as well.
    """
    kilobytes = _told("meminfo", "Shmem")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                kilobytes += sum(_told(f"{process.name}/smaps_rollup", f"Pss_{kind}") for kind in ("Anon", "File"))
    return 1024 * kilobytes


def _told(file: str, key: str) -> int:
    return int(Path("/proc", file).read_text(encoding="ascii").partition(f"\n{key}:")[2].split()[0])


def run() -> Section:
    """Load each format by its own library and by ours, turn by turn."""
    rows, missed, beyond = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in networks(Path(folder)).items():
            size = path.stat().st_size / 2**20
            turns = [{side: measured(kind, path, side) for side in SIDES} for _ in range(ROUNDS)]
            taken, most = (
                {side: statistics.median(turn[side][which] for turn in turns) for side in SIDES} for which in (0, 1)
            )
            for side, found in (("loaded", missed), ("exported", beyond)):
                slow = taken["ours"] - taken[side] > MOST_SECONDS
                if slow or most["ours"] - most[side] > MOST_SIZES * size:
                    found.append(kind)
            cells = [cell for side in SIDES for cell in (f"{taken[side]:.2f} s", f"{most[side]:.0f} MiB")]
            rows.append([kind, f"{size:.0f} MiB", *cells])
    told = [f"**missed by {', '.join(found)}**" if found else "**met**" for found in (missed, beyond)]
    verdict = (
        f"Goal (at most {MOST_SECONDS:g} s and {MOST_SIZES:g} x the file's size more than its library takes): "
        f"{told[0]}; against its loading and exporting to ONNX, which torch's formats need here: {told[1]}. "
        f"Medians of {ROUNDS}; imports not counted. Ours ends with a checked graph and a session of ONNX Runtime. "
        "Peaks are the sum of Pss (/proc/*/smaps_rollup: a page that processes share counts once) of the process and "
        "its children, with all shared memory of the system (Shmem, mapped or not), "
        "looked at again and again (which takes 10 to 50 ms) in a run of its own, less what it was before loading."
    )
    header = ["format", "file", "loaded by its library", "peak", "and exported", "peak", "ours", "peak"]
    return Section("reading", "Cost of reading a model file safely", header, rows, verdict, machine())
