"""What a batch costs beyond its jobs, and what kill -9 does to it."""

import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.report import HERE, Section, machine
from snnconvert.errors import SnnError
from snnconvert.report.manifest import verify_bundle

MODELS = HERE.parent / "models"
JOBS = 1000
BATCH_KILLS, CONVERSION_KILLS = 200, 100
TEXT = """\
version: 1
output: runs
defaults: {{calib: {{path: calib.npz}}, eval: {{path: eval.npz}}, preprocess: scale=1/16, convert: {{steps: [1, 4]}}}}
matrix: {{seed: {seeds}}}
jobs: [{{name: mlp, model: {model}}}]
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def prepare(folder: Path, jobs: int) -> list[str]:
    """Write a batch of tiny jobs; return the command that runs it."""
    for name, source in (("calib", "digits_calib"), ("eval", "digits_test")):
        with np.load(MODELS / f"{source}.npz") as data:
            np.savez(folder / f"{name}.npz", images=data["images"][:24], labels=data["labels"][:24])
    text = TEXT.format(seeds=[*range(jobs)], model=MODELS / "digits_mlp.onnx")
    (folder / "batch.yaml").write_text(text)
    return [sys.executable, "-m", "snnconvert", "-q", "batch", str(folder / "batch.yaml")]


def memory_of(process: int, name: str) -> int:
    """Return a size in kB from the status of a process, 0 where it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0


def measured(command: list[str]) -> tuple[float, int, list[int]]:
    """Run a command; return its seconds, its peak memory in kB, and that of what it started, every half second."""
    started, own, below = time.perf_counter(), 0, [0]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        ended = threading.Event()

        def watch() -> None:
            nonlocal own
            while not ended.wait(0.5):
                own = max(own, memory_of(process.pid, "VmHWM"))
                with suppress(OSError):
                    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                    below.append(max((memory_of(int(child), "VmRSS") for child in children), default=0))

        watcher = threading.Thread(target=watch)
        watcher.start()
        status = process.wait()
        ended.set()
        watcher.join()
    assert status == 0, status
    return time.perf_counter() - started, own, below


def overhead() -> Section:
    """Measure a batch of tiny jobs: all of them, none of them, and one in a new interpreter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = prepare(folder, JOBS)
        first, own, below = measured(command)
        again, own_again, _ = measured(command)
        records = [json.loads(path.read_bytes()) for path in folder.glob("runs/.snnconvert/*/record.json")]
        inside = sum(record["seconds"] for record in records) / len(records)
        (config,) = sorted(folder.glob("runs/*/config.yaml"))[:1]
        alone = [
            measured(
                [sys.executable, "-m", "snnconvert", "-q", "--config", str(config), "--out", str(folder / f"{index}")]
            )
            for index in range(5)
        ]
    fresh = sorted(each[0] for each in alone)[2]
    early, late = max(below[: len(below) // 5]), max(below[-len(below) // 5 :])
    rows = [
        ["run, a job (wall, two at once)", f"{1000 * first / JOBS:.0f} ms"],
        ["of it in the child, a job", f"{1000 * inside:.0f} ms"],
        ["the same job by `snnconvert convert`, a new interpreter", f"{1000 * fresh:.0f} ms"],
        ["run again, all cached, a job", f"{1000 * again / JOBS:.1f} ms"],
        ["peak memory of the command, running and cached", f"{own / 1024:.0f} and {own_again / 1024:.0f} MiB"],
        [
            "memory of the process that forks, first and last fifth of the run",
            f"{early / 1024:.0f}, {late / 1024:.0f} MiB",
        ],
    ]
    goal = "met" if again / JOBS < 0.05 else "missed"
    verdict = f"Goal (under 50 ms a cached job, of {JOBS}): **{goal}**."
    return Section("batch", f"A batch of {JOBS} tiny jobs", ["what", "measured"], rows, verdict, machine())


def kills() -> Section:
    """Kill a batch of six jobs."""
    with tempfile.TemporaryDirectory() as name:
        return killed(
            "kills", "kill -9 in the middle of a batch", prepare(Path(name), 6), Path(name, "runs"), 1, BATCH_KILLS
        )


def conversion_kills() -> Section:
    """Kill a conversion that replaces a bundle half of the time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, 1)
        output, words = folder / "out", ["--calib", "calib.npz", "--eval", "eval.npz", "--preprocess", "scale=1/16"]
        files = [str(folder / word) if word.endswith(".npz") else word for word in words]
        command = [sys.executable, "-m", "snnconvert", "-q", str(MODELS / "digits_mlp.onnx"), *files, "--force"]
        command += ["--out", str(output / "mlp-snn")]
        return killed("conversion_kills", "kill -9 in the middle of a conversion", command, output, 2, CONVERSION_KILLS)


def killed(name: str, title: str, command: list[str], output: Path, anew: int, kills: int) -> Section:
    """Kill a command at random moments, look for halves, and compare what a rerun ends with to an undisturbed run.

    After one of ``anew`` reruns nothing is there again.
    """
    random_moments = random.Random(0)
    done = halves = reruns = different = left = 0
    longest = math.inf
    for _ in range(3):
        longest = min(longest, measured(command)[0])
        expected = contents(output)
        shutil.rmtree(output)
    while done < kills:
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
            time.sleep(random_moments.uniform(0.3, longest))
            process.kill()
        done += process.returncode == -9
        halves += sum(not is_whole(path) for path in output.glob("mlp-*"))
        ended = process.returncode == 0
        if ended or not random_moments.randrange(4):  # let it end, and begin again
            if not ended:
                measured(command)
            reruns += 1
            different += contents(output) != expected
            left += sum(".tmp" in path.name or ".old" in path.name for path in output.rglob("*"))
            if not random_moments.randrange(anew):
                shutil.rmtree(output)
    rows = [[str(done), str(halves), str(reruns), str(different), str(left)]]
    header = ["kills", "half-written bundles", "reruns to the end", "that end differently", "temporary files then left"]
    goal = "met" if halves + different + left == 0 else "missed"
    verdict = f"Goal (none half-written, all reruns alike to the byte, run.json apart): **{goal}**."
    return Section(name, title, header, rows, verdict, machine())


def is_whole(bundle: Path) -> bool:
    """Tell whether the manifest of a bundle holds."""
    try:
        verify_bundle(bundle)
    except SnnError:
        return False
    return True


def contents(output: Path) -> dict[str, bytes]:
    """Return everything that equal batches have in common."""
    files = [path for path in output.rglob("*") if path.is_file() and ".snnconvert" not in path.parts]
    return {str(path.relative_to(output)): path.read_bytes() for path in files if path.name != "run.json"}
