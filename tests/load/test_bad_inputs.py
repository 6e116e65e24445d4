"""Every bad model through the command line: one line and a hint, the exit status, soon, and nothing left behind.

The names of the cases begin with their numbers in the list of bad inputs that the tool promises to refuse.
"""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from onnx import helper

from snnconvert.cli import main
from snnconvert.cli.messages import MESSAGE_LIMIT

make = helper.make_node
CALIB = Path(__file__).parents[2] / "models" / "digits_calib.npz"
SOON = 2.0  # seconds of this process; 10 are promised, on a machine that is not this fast
GIB = 2**30


SPEC = importlib.util.spec_from_file_location("bad_models", Path(__file__).parents[1] / "bad_models.py")
assert SPEC is not None
assert SPEC.loader is not None
bad_models = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bad_models)
CASES, SIZES, Case, chain, external = (
    bad_models.CASES,
    bad_models.SIZES,
    bad_models.Case,
    bad_models.chain,
    bad_models.external,
)


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working folder, no settings from outside, and the signals as they were."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in [*os.environ]:
        if name.startswith("SNNCONVERT_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


Refuse = Callable[..., str]


@pytest.fixture
def refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Convert what is to be refused; return what was told."""

    def call(path: Path, code: str, status: int = 3) -> str:
        before = sorted(tmp_path.rglob("*"))
        start = time.process_time()
        assert main(["-q", str(path), "--calib", str(CALIB), "--out", "out"]) == status
        assert time.process_time() - start < SOON
        assert sorted(tmp_path.rglob("*")) == before
        out, err = capsys.readouterr()
        assert out == ""
        require_told(err, code)
        assert status != 3 or "\nhint: " in err
        return err

    return call


def require_told(err: str, code: str) -> None:
    """Check for one line and a hint, of which both can be printed."""
    error, *hints = err.splitlines()
    assert error.startswith(f"error[{code}]: ")
    assert [hint[:6] for hint in hints] in ([], ["hint: "])
    for line in (error, *hints):
        assert line.isprintable()
        assert len(line) < MESSAGE_LIMIT + 20


# no file at all


def test_1_to_4_what_is_no_file_is_refused_without_waiting(refuse: Refuse, tmp_path: Path) -> None:
    assert "no such file" in refuse(tmp_path / "gone.onnx", "E001", 2)
    assert "no such file" in refuse(tmp_path / "gone" / "net.onnx", "E001", 2)
    assert "not a file" in refuse(tmp_path, "E001", 2)
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "not a file" in refuse(tmp_path / "pipe.onnx", "E001", 2)
    assert "not a file" in refuse(Path("/dev/zero"), "E001", 2)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert "cannot be read" in refuse(Path("socket"), "E001", 2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_3_unreadable_file_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    path = Case("", "").build(tmp_path)
    path.chmod(0)
    assert "cannot be read" in refuse(path, "E001", 2)


@pytest.mark.parametrize("name", ["a\0b.onnx", "a" * 300 + ".onnx"])
def test_1_impossible_path_is_refused(refuse: Refuse, tmp_path: Path, name: str) -> None:
    assert "cannot be read" in refuse(tmp_path / name, "E001", 2)


def test_10_file_over_2_gib_is_refused_unread(refuse: Refuse, tmp_path: Path) -> None:
    with (tmp_path / "net.onnx").open("wb") as file:
        file.truncate(2**31)
    assert "2147483648 bytes, more than protobuf's 2 GiB" in refuse(tmp_path / "net.onnx", "E102")


@pytest.mark.parametrize("name", CASES)
def test_bad_model_is_refused_in_one_line(refuse: Refuse, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    (tmp_path / "model").mkdir()
    assert case.reason in refuse(case.build(tmp_path / "model"), case.code)


# what is accepted


def inspected(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["inspect", str(path)]) == 0
    page = capsys.readouterr().out
    assert all(line.isprintable() for line in page.splitlines())
    assert max(map(len, page.splitlines())) < 600
    assert main(["inspect", "--json", str(path)]) == 0
    told = capsys.readouterr().out
    assert told.isascii()
    assert len(json.loads(told)["nodes"]) == 3
    return page


def test_34_unsorted_nodes_are_sorted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def reverse(model: onnx.ModelProto) -> None:
        nodes = list(model.graph.node)
        model.graph.ClearField("node")
        model.graph.node.extend(reversed(nodes))

    page = inspected(Case("", "", reverse).build(tmp_path), capsys)
    assert [line.split()[0] for line in page.splitlines()[:3]] == ["conv", "relu", "flatten"]


STRANGE = ["\x1b[31mred", "two\nlines", "../../x", "<script>", "a" * 2**20, "é漢", " ", "\u202etfel"]


@pytest.mark.parametrize("name", STRANGE)
def test_45_strange_names_are_accepted_and_printed_harmlessly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    def rename(model: onnx.ModelProto) -> None:
        model.graph.node[0].name = name
        model.graph.node[0].output[0] = model.graph.node[1].input[0] = f"{name}'"
        model.graph.initializer[0].name = model.graph.node[0].input[1] = f"{name}w"

    page = inspected(Case("", "", rename).build(tmp_path), capsys)
    assert "\x1b" not in page
    assert name not in page or name.isprintable()


@pytest.mark.parametrize("name", STRANGE)
def test_45_strange_names_are_told_harmlessly(refuse: Refuse, tmp_path: Path, name: str) -> None:
    refuse(Case("", "", nodes=[make("Tanh", ["x"], ["y"], name=name)]).build(tmp_path), "E120")
    refuse(Case("", "", nodes=[make(name, ["x"], ["y"], name="n")]).build(tmp_path), "E120")
    inside = name.isprintable() and ".." not in name
    refuse(Case("", "", external(location=name)).build(tmp_path), "E111" if inside else "E110")
    refuse(Case("", "", external(**{name: "w"})).build(tmp_path), "E111")
    refuse(Case("", "", lambda model: model.graph.initializer[0].__setattr__("name", name)).build(tmp_path), "E114")


# in a process of its own

NASTY = [
    "22 unknown key",
    "23 longer",
    "24 product over int64",
    "40 function bomb",
    *(n for n in SIZES if n[:2] == "42"),
]
SEVERAL = """
import resource, sys
from snnconvert.cli import main
for path in sys.argv[2:]:
    print(main(["-q", path, "--calib", sys.argv[1]]), flush=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_10_and_22_to_42_take_little_memory(tmp_path: Path) -> None:
    paths = []
    for name in NASTY:
        (tmp_path / name).mkdir()
        (tmp_path / name / "model").mkdir()
        paths.append(CASES[name].build(tmp_path / name / "model"))
    (tmp_path / "chain.onnx").write_bytes(chain(200_000)(b""))
    with (tmp_path / "giant.onnx").open("wb") as file:
        file.truncate(2**40)
    start = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", SEVERAL, CALIB, *paths, tmp_path / "chain.onnx", tmp_path / "giant.onnx"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *statuses, peak = told.stdout.split()
    assert statuses == ["3"] * (len(NASTY) + 2)
    assert "error[E121]: chain.onnx: 200000 nodes, more than 50000" in told.stderr
    assert "error[E102]: giant.onnx: 1099511627776 bytes" in told.stderr
    assert int(peak) < 2 * GIB
    assert time.perf_counter() - start < 30  # most of it is the start of Python, on a machine that is shared


def test_refusal_is_the_same_from_a_shell(tmp_path: Path) -> None:
    path = CASES["11 parent"]
    (tmp_path / "model").mkdir()
    command = [sys.executable, "-m", "snnconvert", path.build(tmp_path / "model"), "--calib", CALIB]
    before = sorted(tmp_path.rglob("*"))
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout) == (3, "")
    require_told(told.stderr, "E110")
    assert sorted(tmp_path.rglob("*")) == before
