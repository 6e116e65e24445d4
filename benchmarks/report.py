"""Sections of a results page, and the machine that they were measured on."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from snnconvert.simulate.vectors import has_wide_vectors

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("SNNCONVERT_DATA", HERE.parent.parent / "shared" / "data"))
DEVICE = os.environ.get("SNNCONVERT_DEVICE", "cpu")  # of the benchmarks of accuracy; times are those of the processor
BATCH = 16 if DEVICE == "cpu" else 500  # samples at once; what comes out is the same
PACKAGES = ("snnconvert", "torch", "onnx", "onnxruntime", "numpy", "numba")


class Skipped(Exception):  # noqa: N818 - an answer, not a failure
    """A benchmark that cannot run here, and why; its results stay as they are."""


@dataclass(frozen=True)
class Section:
    """One measurement: what it is, the command, its table, and the judgement against the goal."""

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    verdict: str
    machine: str


def machine(*others: str) -> str:
    """Describe the processor and the versions, those of other packages too."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = ", ".join(f"{name} {version(name)}" for name in (*PACKAGES, *others))
    if DEVICE != "cpu":
        model = f"{torch.cuda.get_device_name(DEVICE)} beside {model}"
    return f"{model}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, {versions}"


NARROW = "_avx2"


def by_vectors(name: str, title: str) -> tuple[str, str]:
    """Return name and title of times: without AVX-512 they are a section of their own, beside those with it."""
    return (name, title) if has_wide_vectors() else (f"{name}{NARROW}", f"{title}, without AVX-512")


def save(section: Section) -> None:
    """Keep a section as JSON and write the page of all sections again."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{section.name}.json").write_text(json.dumps(asdict(section), indent=1) + "\n")
    parts = [
        "# Results",
        "Written by `python -m benchmarks` (`make bench`); every table has its command, its machine and its versions.",
    ]
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text())
        lines = [f"## {found['title']}", "", f"    python -m benchmarks {found['name'].removesuffix(NARROW)}", ""]
        lines += ["| " + " | ".join(found["header"]) + " |", "|" + "---|" * len(found["header"])]
        lines += ["| " + " | ".join(row) + " |" for row in found["rows"]]
        lines += ["", found["verdict"], "", f"Machine: {found['machine']}."]
        parts.append("\n".join(lines))
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")
