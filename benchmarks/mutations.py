"""Thousands of broken model and data files through the command line: each ends with an exit status, none with a crash.

Every mutation is told by its kind and a seed: ``python -m benchmarks.mutations KIND SEED 1`` runs one again.
"""

import contextlib
import io
import json
import math
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from benchmarks.report import HERE, Section, machine

COUNTS = {"ONNX": 800, "TorchScript": 400, "torch.export": 300, "data": 800}
ALLOWED = {0, 3, 4, 7}
ROOT = HERE.parent


def archive_mutated(content: bytes, rng: random.Random) -> bytes:
    """Break the archive itself, or one member of it that is wrapped soundly again."""
    from tests.data_mutations import flipped, spliced, truncated

    change = rng.choice((flipped, truncated, spliced))
    if rng.random() < 0.2:
        return change(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    texts = [name for name in members if name.endswith((".py", ".pkl", ".json", "version", "byteorder"))]
    name = rng.choice(texts or [*members])
    members[name] = change(members[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for each, value in members.items():
            archive.writestr(each, value)
    return out.getvalue()


def small_network(shape: tuple[int, ...]) -> bytes:
    """Return a linear layer and a rectifier on samples of a shape, as ONNX."""
    weight = np.random.default_rng(0).normal(size=(5, math.prod(shape))).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["z"], transB=1),
        helper.make_node("Relu", ["z"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sizes])
        for name, sizes in (("x", shape), ("y", (5,)))
    ]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def torch_files() -> dict[str, bytes]:
    """Return one small network as TorchScript and as an exported program."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 5)
    ).eval()
    x = torch.zeros(2, 1, 8, 8)
    script, program = io.BytesIO(), io.BytesIO()
    torch.jit.save(torch.jit.script(net), script)
    torch.export.save(torch.export.export(net, (x,)), program)
    return {"TorchScript": script.getvalue(), "torch.export": program.getvalue()}


def broken(kind: str) -> Callable[[int, Path], list[str]]:
    """Return what writes the mutation of a seed into a folder and tells the arguments of the command."""
    from tests import data_mutations, mutations

    if kind == "ONNX":
        models = {name: make().SerializeToString() for name, make in mutations.MODELS.items()}

        def onnx_file(seed: int, folder: Path) -> list[str]:
            rng = random.Random(seed)
            (folder / mutations.DATA).write_bytes(mutations.external_data())
            (folder / "net.onnx").write_bytes(mutations.mutated_onnx(models[rng.choice([*models])], rng))
            return ["inspect", str(folder / "net.onnx")]

        return onnx_file
    if kind == "data":
        files = data_mutations.sound_files()

        def data_file(seed: int, folder: Path) -> list[str]:
            name = random.Random(seed).choice([*files])
            place = folder / "data"
            place.mkdir()
            if name.endswith((".png", ".jpg", ".bmp", ".webp", ".csv")):  # a folder of images, one of them broken
                for each in ("a.png", "a.jpg", "labels.csv"):
                    (place / each).write_bytes(files[each])
            (place / name).write_bytes(data_mutations.mutated(name, files[name], seed))
            pictures = name.endswith((".png", ".jpg", ".bmp", ".webp", ".csv"))
            shape = (3, 10, 10) if pictures else (3, 32, 32) if name.endswith(".bin") else (3, 4)
            (folder / "net.onnx").write_bytes(small_network(shape))
            path = place if pictures else place / name
            return [
                "convert",
                str(folder / "net.onnx"),
                "--calib",
                str(path),
                "--steps",
                "1",
                "--out",
                str(folder / "out"),
            ]

        return data_file
    content = torch_files()[kind]

    def torch_file(seed: int, folder: Path) -> list[str]:
        (folder / "net.pt").write_bytes(archive_mutated(content, random.Random(seed)))
        return ["inspect", str(folder / "net.pt"), "--input-shape", "1,8,8"]

    return torch_file


def work(kind: str, first: int, count: int) -> None:
    """Run mutations one after the other in this process; print a line of JSON for each, the seed before it begins."""
    import snnconvert.load.torch_exporters  # noqa: F401 - once, and not in every child that converts a file
    from snnconvert.cli import main

    write = broken(kind)
    for seed in range(first, first + count):
        print(json.dumps({"seed": seed}), flush=True)
        with tempfile.TemporaryDirectory() as folder:
            command = write(seed, Path(folder))
            out, err, started = io.StringIO(), io.StringIO(), time.perf_counter()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(command)
            told = err.getvalue() + out.getvalue()
            left = [each.name for each in Path(folder).iterdir() if each.name.startswith((".", "out"))]
        row = {"status": status, "seconds": time.perf_counter() - started, "left": left if status else []}
        print(json.dumps({**row, "traceback": "Traceback" in told}), flush=True)


def run() -> Section:
    """Run all kinds, in processes that go on behind a crash."""
    rows, bad = [], []
    for kind, count in COUNTS.items():
        statuses: Counter[str] = Counter()
        slowest, seed = 0.0, 0
        while seed < count:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.mutations", kind, str(seed), str(count - seed)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            for row in found:
                if "seed" in row:
                    seed = row["seed"] + 1
                    continue
                statuses[str(row["status"])] += 1
                slowest = max(slowest, row["seconds"])
                if row["status"] not in ALLOWED or row["traceback"] or row["left"] or row["seconds"] > 10:
                    bad.append(f"{kind} {seed - 1}")
            if done.returncode != 0:
                statuses["crash"] += 1
                bad.append(f"{kind} {seed - 1}")
        rows.append(
            [
                kind,
                str(count),
                *(str(statuses.pop(status, 0)) for status in ("0", "3", "4", "7")),
                str(sum(statuses.values())),
                f"{slowest:.1f} s",
            ]
        )
    verdict = (
        "Goal (only exit status 0, 3, 4 or 7, no traceback, nothing left behind, under 10 s): "
        f"**{'met' if not bad else 'missed by ' + ', '.join(bad[:20])}**; {sum(COUNTS.values()):,} mutations."
    )
    header = ["files", "mutations", "0 accepted", "3 model", "4 data", "7 limit", "anything else", "slowest"]
    return Section("mutations", "Broken files", header, rows, verdict, machine())


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
