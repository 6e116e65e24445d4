"""Full disks, limits of file sizes, read-only disks: exit status 5, old or new, and the next run goes on."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snnconvert.report.manifest import verify_bundle

LIMITED = """
import resource, sys
from snnconvert.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(sys.argv[1:]))
"""


SWEEP = """\
version: 1
output: {output}
defaults: {{calib: {{path: {calib}}}, eval: {{path: {eval}}}, preprocess: scale=1/16, convert: {{steps: [1, 4]}}}}
matrix: {{convert.percentile: [99.0, 99.9]}}
jobs: [{{name: net, model: {model}}}]
execution: {{jobs: 1, retries: 0}}
"""
# one run on each disk, from one that holds nothing to one that holds all; then another one, with room
GROWING = """
import glob, subprocess, sys
from pathlib import Path
from snnconvert.batch import executors
from snnconvert.batch.child import attempt
from snnconvert.cli import main
from snnconvert.report.manifest import verify_bundle
class Inline:  # no server to start for each size; that of a real one is used below
    slots = 1
    def submit(self, task):
        self.ended = [(task.name, attempt(task))]
    def wait(self, timeout):
        return self.ended
    def close(self):
        pass
executors.executor_of = lambda execution, on_gpu: Inline()
for kilobytes in map(int, sys.argv[1].split(",")):
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", "disk"], check=True)
    status = main(["-q", "batch", "sweep.yaml"])
    bundles = glob.glob("disk/runs/net-*")
    for bundle in bundles:
        verify_bundle(Path(bundle))
    left = glob.glob("disk/runs/**/*.tmp*", recursive=True, include_hidden=True)
    print("disk", kilobytes, status, len(bundles), len(left), file=sys.stderr)
subprocess.run(["cp", "-r", "disk/runs", "found"], check=True)
"""


@pytest.fixture
def config(digits: dict[str, Path], work: Path) -> Path:
    """A batch of two jobs that writes to the disk."""
    (work / "sweep.yaml").write_text(SWEEP.format(output="disk/runs", **digits))
    return work / "sweep.yaml"


def contents(output: Path) -> dict[str, bytes]:
    """Everything that equal batches have in common."""
    files = [path for path in output.rglob("*") if path.is_file() and ".snnconvert" not in path.parts]
    return {str(path.relative_to(output)): path.read_bytes() for path in files if path.name != "run.json"}


def test_file_size_limit_keeps_the_old_bundle(shell: Callable, job: list[str], work: Path, bundle: Path) -> None:
    shutil.copytree(bundle, work / "net_snn")
    result = shell("-q", *job, "--force", prefix=[sys.executable, "-c", LIMITED])
    error, hint = result.err.splitlines()
    assert (result.status, result.out) == (5, "")
    assert error.startswith("error[E402]: ")
    assert "File too large (needed " in error
    assert "raise the quota or file size limit" in hint
    assert [path.name for path in work.iterdir()] == ["net_snn"]
    verify_bundle(work / "net_snn")


def test_full_disk_keeps_the_old_bundle(in_a_mount: Callable, job: list[str], bundle: Path) -> None:
    size = sum(-(-path.stat().st_size // 4096) * 4 for path in bundle.iterdir())
    code = (
        "import sys; from snnconvert.cli import main; status = main(sys.argv[1:]);"
        "print(main(['verify', sys.argv[-1]])); sys.exit(status)"
    )
    done = in_a_mount(
        f"size={size * 3 // 2}k",
        f'cp -r "{bundle}" disk/net_snn',
        *[sys.executable, "-c", code, "-q", *job, "--force", "--out", "disk/net_snn"],
    )
    error, hint = done.stderr.splitlines()
    assert done.returncode == 5
    assert error.startswith("error[E402]: ")
    assert "No space left on device (needed " in error
    assert "free some space" in hint
    assert done.stdout.splitlines() == ["disk/net_snn: whole, 9 files", "0", "net_snn"]


def test_read_only_disk_is_refused_before_any_work(in_a_mount: Callable, job: list[str], work: Path) -> None:
    done = in_a_mount("size=64k,ro", "true", *[sys.executable, "-m", "snnconvert", *job, "--out", "disk/net_snn"])
    assert (done.returncode, done.stdout) == (5, "")
    error, hint = done.stderr.splitlines()
    assert error == f"error[E401]: {work}/disk/net_snn: '{work}/disk' is not writable"
    assert hint == "hint: --out DIR writes elsewhere"


def test_batch_on_a_full_disk_goes_on_when_there_is_room(in_a_mount: Callable, cli: Callable, config: Path) -> None:
    work = config.parent
    done = in_a_mount("size=64m", "true", sys.executable, "-c", GROWING, "8,64,128,192,256,320,384,65536")
    assert done.returncode == 0, done.stderr
    told = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("disk ")]
    statuses, bundles = [int(line[1]) for line in told], [int(line[2]) for line in told]
    assert set(statuses[:-1]) == {5}
    assert statuses[-1] == 0
    assert bundles == sorted(bundles)
    assert {0, 1, 2} >= {*bundles} >= {0, 2}
    assert {line[3] for line in told} == {"0"}, "something unfinished was left"
    assert "Traceback" not in done.stderr
    config.write_text(config.read_text().replace("disk/runs", "undisturbed"))
    assert cli("-q", "batch", config).status == 0
    assert contents(work / "found") == contents(work / "undisturbed")


def test_batch_under_a_file_size_limit_goes_on_without(shell: Callable, cli: Callable, config: Path) -> None:
    work = config.parent
    (work / "disk").mkdir()
    limited = shell("-q", "batch", "sweep.yaml", prefix=[sys.executable, "-c", LIMITED])
    assert limited.status == 5
    assert "net-percentile=99.0 | " in limited.out
    assert [*(work / "disk" / "runs").glob("net-*")] == []
    assert [*(work / "disk").rglob("*.tmp*")] == []
    assert cli("-q", "batch", config).status == 0
    config.write_text(config.read_text().replace("disk/runs", "undisturbed"))
    assert cli("-q", "batch", config).status == 0
    assert contents(work / "disk" / "runs") == contents(work / "undisturbed")


def test_batch_on_a_read_only_disk_is_refused(in_a_mount: Callable, config: Path) -> None:
    done = in_a_mount("size=64k,ro", "true", *[sys.executable, "-m", "snnconvert", "batch", "sweep.yaml"])
    assert (done.returncode, done.stdout) == (5, "")
    error, hint = done.stderr.splitlines()
    assert error == "error[E401]: disk/runs: cannot be used (Read-only file system)"
    assert hint == "hint: output: names another folder"


@pytest.fixture
def baseline(cli: Callable, bundle: Path, inputs: Path) -> Path:
    """A baseline of the bundle, and its predictions."""
    place = inputs / "snn-baseline.json"
    assert cli("check", bundle, "--baseline", place, "--update", "--reason", "first").status == 1
    return place


@pytest.mark.parametrize(("free", "written"), [(0, False), (4, False), (12, True)])
def test_baseline_on_a_full_disk_stays_as_it_was(
    in_a_mount: Callable, baseline: Path, bundle: Path, free: int, written: bool
) -> None:
    command = ["-q", "check", str(bundle), "--baseline", "disk/snn-baseline.json", "--name", "second"]
    copied = f'cp -r "{baseline.parent}"/snn-baseline* disk/'
    fill = f"head -c {1024 * (32 - 4 - 4 - free)} /dev/zero >disk/filling"
    code = (
        "import sys; from snnconvert.cli import main; status = main(sys.argv[1:]);"
        "print(main(['-q', 'check', sys.argv[3], '--baseline', sys.argv[5]])); sys.exit(status)"
    )
    words = [sys.executable, "-c", code, *command, "--update", "--reason", "x"]
    done = in_a_mount("size=32k", f"{copied} && {fill}", *words)
    assert done.returncode == (1 if written else 5)
    assert done.stderr.startswith("" if written else "error[E402]: disk/")
    assert "PASS" in done.stdout.splitlines()
    assert ".snnconvert-" not in done.stdout


def test_baseline_under_a_file_size_limit_stays_as_it_was(shell: Callable, baseline: Path, bundle: Path) -> None:
    document = json.loads(baseline.read_text())
    document["models"] = [document["models"][0] | {"name": f"net{index}"} for index in range(20)]
    baseline.write_text(json.dumps(document, indent=1))
    files = {path: path.read_bytes() for path in baseline.parent.rglob("*") if path.is_file()}
    update = ("check", bundle, "--baseline", baseline, "--update", "--reason", "x")
    limited = shell("-q", *update, prefix=[sys.executable, "-c", LIMITED])
    assert (limited.status, limited.out) == (5, "")
    assert limited.err.startswith(f"error[E402]: {baseline}: cannot be written (File too large)\nhint: ")
    assert {path: path.read_bytes() for path in baseline.parent.rglob("*") if path.is_file()} == files


def test_results_of_a_check_on_a_read_only_disk_are_refused(in_a_mount: Callable, baseline: Path, bundle: Path) -> None:
    command = ["check", str(bundle), "--baseline", str(baseline), "--junit", "disk/j.xml"]
    done = in_a_mount("size=64k,ro", "true", sys.executable, "-m", "snnconvert", *command)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.splitlines()[0].startswith("error[E401]: disk/j.xml: the folder 'disk' is not writable")


def test_check_and_batch_in_a_closed_pipe(shell: Callable, baseline: Path, bundle: Path, config: Path) -> None:
    (config.parent / "disk").mkdir()
    for arguments in (["check", bundle, "--baseline", baseline], ["-q", "batch", "sweep.yaml"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            result = shell(*arguments, stdout=writing)
        finally:
            os.close(writing)
        assert (result.status, result.err) == (141, "")
    assert len([verify_bundle(path) for path in (config.parent / "disk" / "runs").glob("net-*")]) == 2
