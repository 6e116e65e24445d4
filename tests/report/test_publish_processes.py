"""A bundle is there whole or not at all, when processes are killed, limited or in each other's way."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import snnconvert
from snnconvert.report.manifest import verify_bundle
from snnconvert.report.publish import publish

LOOP = """
import sys
from pathlib import Path
from snnconvert.errors import OutputError
from snnconvert.report.publish import publish
mark = sys.argv[2].encode()
print("ready", flush=True)
for k in range(int(sys.argv[3])):
    body = mark + str(k).encode()
    publish(Path(sys.argv[1]), {f"file{n}": body * 2000 for n in range(6)}, b"{}", force=True)
print("done", flush=True)
"""
DYING = """
import os
rename = os.rename
def once(source, target):
    rename(source, target)
    os.kill(os.getpid(), 9)
os.rename = once
"""
LIMITED = """
import resource, sys
from pathlib import Path
from snnconvert.errors import OutputError
from snnconvert.report.publish import publish
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    publish(Path(sys.argv[1]), {"metrics.json": b"{}", "snn.onnx": bytes(10_000)}, b"{}", force=True)
except OutputError as error:
    print(error)
    sys.exit(error.exit_status)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(snnconvert.__file__).parents[1])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def assert_not_mixed(bundle: Path) -> None:
    verify_bundle(bundle)
    assert len({path.read_bytes() for path in bundle.glob("file*")}) == 1


def test_killed_at_any_moment_leaves_a_whole_bundle(tmp_path: Path) -> None:
    destination = tmp_path / "a_snn"
    generator = random.Random(0)
    publish(destination, {"file0": b"first"}, b"{}", force=False)
    stale = 0
    for kill in range(20):
        with start(LOOP, destination, f"k{kill}-", 100_000) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(generator.uniform(0.0, 0.03))
            child.send_signal(signal.SIGKILL)
        left = [path for path in tmp_path.iterdir() if path != destination]
        assert len(left) <= 1  # each run clears away what the one before had left
        stale += len(left)
        if destination.exists():
            assert_not_mixed(destination)
        else:
            assert list(left[0].glob("old-*"))  # killed while the two changed places
    publish(destination, {"file0": b"last"}, b"{}", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a_snn"]
    assert stale  # else the test has killed nobody at work


def test_killed_while_changing_places_is_restored(tmp_path: Path) -> None:
    destination = tmp_path / "a_snn"
    publish(destination, {"file0": b"first"}, b"{}", force=False)
    with start(DYING + LOOP, destination, "x", 1) as child:
        assert child.wait(60) == -signal.SIGKILL
    assert not destination.exists()
    publish(tmp_path / "other", {"file0": b"unrelated"}, b"{}", force=False)
    assert not destination.exists()  # another name's run does not meddle
    with pytest.raises(Exception, match=r"E401.*exists already"):
        publish(destination, {"file0": b"second"}, b"{}", force=False)
    assert (destination / "file0").read_bytes() == b"first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_snn", "other"]


def test_two_processes_with_one_name(tmp_path: Path) -> None:
    destination = tmp_path / "a_snn"
    with start(LOOP, destination, "A", 60) as one, start(LOOP, destination, "B", 60) as two:
        deadline = time.monotonic() + 60
        while one.poll() is None and two.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        for child in (one, two):
            out, err = child.communicate(timeout=60)
            assert (out, err) == (b"ready\ndone\n", b"")
    assert_not_mixed(destination)
    assert [path.name for path in tmp_path.iterdir()] == ["a_snn"]


def test_file_size_limit_is_one_line(tmp_path: Path) -> None:
    destination = tmp_path / "a_snn"
    publish(destination, {"file0": b"old"}, b"{}", force=False)
    with start(LIMITED, destination) as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 5
    assert err == b""
    assert out.startswith(b"error[E402]: ")
    assert b"File too large" in out
    assert out.count(b"\n") == 1
    assert (destination / "file0").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a_snn"]


FULL = """
import sys
from pathlib import Path
from snnconvert.errors import OutputError
from snnconvert.report import publish as module
destination = Path(sys.argv[1]) / "a_snn"
module.publish(destination, {"file0": b"old"}, b"{}", force=False)
module._check_space = lambda *arguments: None  # as if another program took the space meanwhile
try:
    module.publish(destination, {"file0": bytes(30_000), "file1": bytes(60_000)}, b"{}", force=True)
except OutputError as error:
    print(error)
module.verify_bundle(destination)
print([path.name for path in Path(sys.argv[1]).iterdir()], (destination / "file0").read_bytes())
"""


def test_full_disk_keeps_the_old_bundle(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=64k full "{tmp_path}"'
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("no mounts of one's own here")
    environment = {**os.environ, "PYTHONPATH": str(Path(snnconvert.__file__).parents[1])}
    command = ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.stderr == ""
    told, left = done.stdout.splitlines()
    assert told.startswith("error[E402]: ")
    assert "No space left on device (needed 102.40 kB, free " in told
    assert left == "['a_snn'] b'old'"
