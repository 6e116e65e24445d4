"""How much memory a run may take: sizes as users write them, limits that hold, and what is said of too small ones."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from snnconvert import memory
from snnconvert.config import build_job
from snnconvert.errors import UsageError

FREE = resource.RLIM_INFINITY


def limit() -> int:
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


@pytest.mark.parametrize(("text", "octets"), [("4G", 4 * 10**9), ("1.5G", 1_500_000_000), (2**31, 2**31), (None, None)])
def test_sizes_are_read(text: str | int | None, octets: int | None) -> None:
    job = build_job({"model": "m", "calib": {"path": "c"}, "max_memory": text}, "test")
    assert job.max_memory == octets


@pytest.mark.parametrize("text", ["4 gigabytes", "G", "-1G", "512M", True, [1]])
def test_other_sizes_are_refused(text: object) -> None:
    with pytest.raises(UsageError, match=r"E301.*max_memory: expected a "):
        build_job({"model": "m", "calib": {"path": "c"}, "max_memory": text}, "test")


def test_a_limit_holds_as_long_as_it_should() -> None:
    before, most = limit(), memory.allowed()
    with memory.confined(2 * 10**9):
        assert limit() == 2 * 10**9
        assert memory.allowed() == min(most, 2 * 10**9)
        with memory.confined(10**12):
            assert limit() == 2 * 10**9  # a larger one changes nothing
        with pytest.raises(MemoryError):
            np.ones(3 * 10**8)
    assert limit() == before


def test_the_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CONTAINERS", (tmp_path / "none", file))
    for text, expected in (("123456\n", 123456), ("max\n", None)):
        file.write_text(text)
        assert (memory.allowed() == 123456) == (expected is not None)


def test_what_libraries_say_is_understood_whatever_was_made_of_it() -> None:
    problem = ValueError("something else")
    problem.__context__ = RuntimeError("std::bad_alloc")
    assert memory.ran_out(problem)
    assert not memory.ran_out(ValueError("something else"))
    assert memory.ran_out(ValueError("something else"), 1)  # all of it is taken


def test_a_run_keeps_to_its_limit_or_says_so_and_leaves_nothing(
    shell: Callable, save_onnx: Callable, work: Path
) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "b"], ["y"], transB=1),
    ]
    make = np.random.default_rng(0)
    weights = {"a": make.standard_normal((64, 3, 3, 3)) / 5, "b": make.standard_normal((10, 64))}
    model = save_onnx(nodes, {name: value.astype(np.float32) for name, value in weights.items()}, (3, 64, 64))
    np.save(work / "x.npy", make.random((1200, 3, 64, 64), np.float32))
    job = (model, "--calib", "x.npy", "--calib-samples", "16", "--steps", "2", "--max-memory", "1G", "--out", "o_snn")
    result = shell(*job, "--batch-size", "600")
    assert (result.status, result.complaint[0][:27]) == (7, "error[E501]: out of memory ")
    assert result.complaint[1].startswith("hint: a larger --max-memory gives more")
    assert [each.name for each in work.iterdir()] == ["x.npy"]
    assert shell(*job, "--eval-samples", "16").status == 0
