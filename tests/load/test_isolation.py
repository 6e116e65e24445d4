"""What a file makes torch do ends in time, takes bounded memory, writes nothing, and takes nobody with it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from snnconvert.errors import LimitError, ModelError
from snnconvert.load import isolation, torch_model
from snnconvert.load.asked import Asked
from snnconvert.load.isolation import Limits, isolated
from snnconvert.load.torch_model import read_torch

pytestmark = pytest.mark.skipif(not isolation.POSSIBLE, reason="only Linux isolates")
LIMITS = Limits(20, 2**28)


class Doubling(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = [1, 2, 3, 4]
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        a = a + a + a + a + a + a + a + a + a + a + a + a + a + a + a + a
        return torch.relu(x) * len(a)


def test_script_that_doubles_a_list_for_ever_runs_into_the_limit(
    to_script: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_model, "ROOM", 2**28)
    with pytest.raises(LimitError, match=r"E501.*net\.pt: torch runs out of memory") as refusal:
        read_torch(Path("net.pt"), to_script(Doubling()), Asked((3,))).to_onnx()
    assert refusal.value.exit_status == 7
    assert "--trust-model" in refusal.value.hint


class Endless(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.ones([4096, 4096])
        for _ in range(64):
            y = torch.matmul(y, y)
        return x + y[0, 0]


def test_script_that_computes_for_ever_runs_into_the_limit(
    to_script: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_model, "SECONDS", 0.5)
    with pytest.raises(LimitError, match=r"E501.*net\.pt: torch takes more than \d s"):
        read_torch(Path("net.pt"), to_script(Endless()), Asked((3,))).to_onnx()


def test_limits_grow_with_code_weights_and_images(
    scripted: bytes, exported: bytes, to_script: Callable[..., bytes]
) -> None:
    def limits(content: bytes, size: int = 8) -> Limits:
        network = read_torch(Path("net"), content, Asked((2, size, size)))
        network.handover.close()
        assert network.limits is not None
        return network.limits

    wide, deep = nn.Linear(1024, 4096), nn.Sequential(*(nn.ReLU() for _ in range(100)))
    for content in (scripted, exported, to_script(nn.ReLU())):
        assert limits(content).seconds < 30
        assert limits(content).memory < 2 * 2**30
    least = limits(to_script(nn.ReLU()))
    assert limits(to_script(deep)).seconds > 1.1 * least.seconds
    assert limits(to_script(wide)).seconds > 1.1 * least.seconds
    assert limits(to_script(wide)).memory > least.memory + 4 * 4 * 2**22
    assert limits(to_script(wide), 500).seconds > 2 * limits(to_script(wide), 8).seconds
    assert limits(to_script(wide), 5000).seconds < 180  # a file may say any size


def test_file_that_is_trusted_has_no_limits(scripted: bytes) -> None:
    network = read_torch(Path("net.pt"), scripted, Asked((2, 8, 8), trust=True))
    network.handover.close()
    assert network.limits is None


def crash() -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def allocate() -> bytes:
    return bytes(torch.zeros(2**30).numel())


def fail() -> bytes:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (crash, r"torch crashes on the model \(SIGKILL\)"),
        (allocate, r"torch crashes on the model \(an error of its own\)"),  # the exporters tell of memory
        (lambda: bytes(2**30), "torch runs out of memory on the model"),
        (fail, r"torch crashes on the model \(an error of its own\)"),
        (lambda: os._exit(3), "torch crashes on the model"),
    ],
)
def test_end_of_the_child_is_told_in_one_line(work: Callable[[], bytes], words: str) -> None:
    with pytest.raises(LimitError, match=rf"E501.*net\.pt: {words}"):
        isolated("net.pt", work, LIMITS)


def sleep() -> bytes:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
    return b""


def compute() -> bytes:
    while True:
        pass


def children() -> set[str]:
    """Return the processes that this one has started, dead ones that nobody waited for among them."""
    lists = list(Path("/proc/self/task").glob("*/children"))
    assert lists
    return {pid for path in lists for pid in path.read_text().split()}


@pytest.mark.parametrize(("work", "seconds"), [(sleep, 4), (compute, 1)])
def test_child_that_takes_too_long_is_ended(work: Callable[[], bytes], seconds: int) -> None:
    before = children()
    with pytest.raises(LimitError, match=rf"torch takes more than {seconds} s"):
        isolated("net.pt", work, Limits(0.9, 2**28))
    assert children() == before


def test_child_that_waits_for_the_processor_is_waited_for() -> None:
    def wait() -> bytes:
        time.sleep(1.5)
        return b"done"

    assert isolated("net.pt", wait, Limits(0.9, 2**28)) == b"done"


def test_interrupt_ends_the_child_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(isolation, "_received", interrupted)
    before = children()
    with pytest.raises(KeyboardInterrupt):
        isolated("net.pt", lambda: time.sleep(60), LIMITS)
    assert children() == before


def test_answers_and_refusals_come_back_whole() -> None:
    content = os.urandom(3_000_000)
    assert isolated("net.pt", lambda: content, LIMITS) == content
    assert isolated("net.pt", lambda: b"", LIMITS) == b""

    def refuse() -> bytes:
        raise ModelError("E116", "net.pt: \u00e9\n", "try")

    with pytest.raises(ModelError) as refusal:
        isolated("net.pt", refuse, LIMITS)
    assert (refusal.value.code, refusal.value.message, refusal.value.hint) == ("E116", "net.pt: \u00e9\n", "try")


def test_child_writes_neither_files_nor_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def write() -> bytes:
        os.write(1, b"words")
        os.write(2, b"more words")
        (tmp_path / "file").write_bytes(b"content")
        return b""

    with pytest.raises(LimitError):
        isolated("net.pt", write, LIMITS)
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size == 0
    assert capfd.readouterr() == ("", "")


def test_child_ends_with_a_parent_that_is_killed() -> None:
    parent = os.fork()
    if parent == 0:
        isolated("net.pt", lambda: time.sleep(60) or b"", LIMITS)
        os._exit(0)
    children = Path(f"/proc/{parent}/task/{parent}/children")
    deadline = time.monotonic() + 20
    while not (found := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)  # it has set its limits by then
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    child = Path(f"/proc/{found[0]}/stat")
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z"
