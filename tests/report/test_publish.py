"""A bundle is there whole or not at all, whatever fails, in one process."""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from snnconvert.errors import OutputError
from snnconvert.report import staging
from snnconvert.report.manifest import verify_bundle
from snnconvert.report.publish import publish

OLD = {"metrics.json": b'{"old": 1}\n', "snn.onnx": b"old" * 400}
NEW = {"metrics.json": b'{"new": 1}\n', "snn.onnx": b"new!" * 500, "curve.csv": b"t\n1\n"}
CALLS = ("open", "write", "fsync", "rename", "mkdir", "rmdir", "unlink")


class Faults:
    """Let call number ``at`` of the patched system calls fail, and from then on those that need space if ``full``."""

    def __init__(self, at: int, code: int, full: bool = False) -> None:
        self.at, self.code, self.full = at, code, full
        self.calls = 0
        self.fired = False

    def install(self, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...] = CALLS) -> None:
        for name in names:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def patched(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            takes_space = name in ("write", "fsync", "mkdir") or (name == "open" and arguments[1] & os.O_CREAT)
            if self.calls == self.at or (self.full and self.calls > self.at and takes_space):
                self.fired = True
                raise OSError(self.code, os.strerror(self.code))
            return call(*arguments, **options)

        return patched


def error_of(destination: Path, force: bool) -> OutputError | None:
    try:
        publish(destination, NEW, b"{}", force)
    except OutputError as error:
        return error
    return None


def contents(bundle: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bundle.iterdir() if path.name not in ("manifest.json", "run.json")}


def test_short_of_space_is_told_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 100))
    with pytest.raises(OutputError, match=r"E402.*No space left.*needed 20\.48 kB, free 100 B") as caught:
        publish(tmp_path / "a_snn", NEW, b"{}", force=False)
    assert "free some space" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("old", [False, True])
def test_every_failing_call_leaves_old_or_new(tmp_path: Path, old: bool, code: int, full: bool) -> None:
    late = 0
    for at in range(1, 200):
        parent = tmp_path / f"{at}"
        destination = parent / "deep" / "a_snn"
        if old:
            publish(destination, OLD, b"{}", force=False)
        else:
            parent.mkdir()
        faults = Faults(at, code, full)
        with pytest.MonkeyPatch.context() as patch:
            faults.install(patch)
            error = error_of(destination, force=old)
        failed = error is not None
        if error is not None:
            assert error.code == "E402"
            assert os.strerror(code) in str(error)
        if not faults.fired:
            assert at > 25
            break
        if destination.exists():
            verify_bundle(destination)
            assert contents(destination) in ((NEW, OLD) if old and failed else (NEW,)), at
            assert [path.name for path in destination.parent.iterdir()] == ["a_snn"], at
            late += contents(destination) == NEW
        else:
            assert failed, at
            assert not old, at
            assert not list(parent.iterdir()), at
    else:
        pytest.fail("the loop never came to its end")
    assert late < 15  # failing calls after the new bundle had moved in: sync and cleaning up


@pytest.mark.parametrize("at", range(1, 40, 3))
@pytest.mark.parametrize("old", [False, True])
def test_interrupt_cleans_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool, at: int) -> None:
    if old:
        publish(tmp_path / "a_snn", OLD, b"{}", force=False)
    calls = 0

    def interrupted(call: Callable[..., Any]) -> Callable[..., Any]:
        def patched(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            return call(*arguments, **options)

        return patched

    with monkeypatch.context() as patch:
        for name in ("write", "fsync", "rename", "mkdir"):
            patch.setattr(os, name, interrupted(getattr(os, name)))
        if at < 15:
            with pytest.raises(KeyboardInterrupt):
                publish(tmp_path / "a_snn", NEW, b"{}", force=True)
        else:
            with suppress(KeyboardInterrupt):
                publish(tmp_path / "a_snn", NEW, b"{}", force=True)
    names = [path.name for path in tmp_path.iterdir()]
    assert names in (["a_snn"], [] if not old else ["a_snn"])
    if names:
        verify_bundle(tmp_path / "a_snn")
        assert contents(tmp_path / "a_snn") in ((OLD, NEW) if old else (NEW,))


def test_old_bundle_that_cannot_go_back_is_restored_by_the_next_run(tmp_path: Path) -> None:
    destination = tmp_path / "a_snn"
    publish(destination, OLD, b"{}", force=False)
    renames = 0
    rename = os.rename

    def only_once(*arguments: Any) -> None:
        nonlocal renames
        renames += 1
        if renames > 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", only_once)
        with pytest.raises(OutputError, match="E402") as caught:
            publish(destination, NEW, b"{}", force=True)
    assert "is kept in" in str(caught.value.hint)
    assert not destination.exists()
    staging.reap(destination)
    verify_bundle(destination)
    assert contents(destination) == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["a_snn"]


def test_half_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: max(1, len(data) // 2)]))
    publish(tmp_path / "a_snn", NEW, b"{}", force=False)
    verify_bundle(tmp_path / "a_snn")


def test_write_that_writes_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda fd, data: 0)
    with pytest.raises(OutputError, match=r"E402.*nothing was written"):
        publish(tmp_path / "a_snn", NEW, b"{}", force=False)


@pytest.mark.parametrize(("call", "code"), [("fsync", errno.EINVAL), ("fsync", errno.ENOTSUP)])
def test_directories_that_cannot_be_synced_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    fsync = os.fsync

    def patched(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, call, patched)
    publish(tmp_path / "a_snn", NEW, b"{}", force=False)
    verify_bundle(tmp_path / "a_snn")


def test_file_systems_without_locks_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, flags: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(staging.fcntl, "flock", no_locks)
    (stale := tmp_path / f".a_snn.tmp-{staging._host()}-999999-00000000").mkdir()
    (stale / ".lock").touch()
    publish(tmp_path / "a_snn", NEW, b"{}", force=False)
    assert stale.exists()  # it may live: nobody can tell
    os.utime(stale, (0, 0))
    publish(tmp_path / "a_snn", OLD, b"{}", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a_snn"]


def test_directory_of_a_living_run_is_left_alone(tmp_path: Path) -> None:
    with staging.open_staging(tmp_path / "a_snn") as running:
        publish(tmp_path / "a_snn", NEW, b"{}", force=False)
        assert running.path.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a_snn"]


def test_directory_of_another_host_is_left_alone_for_a_day(tmp_path: Path) -> None:
    (foreign := tmp_path / ".a_snn.tmp-elsewhere-12-00000000").mkdir()
    (foreign / ".lock").touch()
    staging.reap(tmp_path / "a_snn")
    assert foreign.exists()
    os.utime(foreign, (0, 0))
    staging.reap(tmp_path / "a_snn")
    assert not foreign.exists()


@pytest.mark.parametrize(
    "name", [".a_snn.tmp-notes", ".a_snn.tmp-h-1-00000000.bak", ".b_snn.tmp-h-1-00000000", "a_snn.tmp"]
)
def test_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    os.utime(tmp_path / name, (0, 0))
    staging.reap(tmp_path / "a_snn")
    assert (tmp_path / name).exists()


def test_same_bundle_twice_is_no_error(tmp_path: Path) -> None:
    publish(tmp_path / "a_snn", NEW, b"first", force=False)
    publish(tmp_path / "a_snn", NEW, b"second", force=False)
    assert (tmp_path / "a_snn" / "run.json").read_bytes() == b"first"


def test_other_bundle_that_came_first_is_not_replaced(tmp_path: Path) -> None:
    publish(tmp_path / "a_snn", OLD, b"{}", force=False)
    with pytest.raises(OutputError, match=r"E401.*exists already"):
        publish(tmp_path / "a_snn", NEW, b"{}", force=False)
    assert contents(tmp_path / "a_snn") == OLD


def test_force_replaces_everything(tmp_path: Path) -> None:
    publish(tmp_path / "a_snn", NEW, b"{}", force=False)
    publish(tmp_path / "a_snn", OLD, b"again", force=True)
    verify_bundle(tmp_path / "a_snn")
    assert contents(tmp_path / "a_snn") == OLD
    assert (tmp_path / "a_snn" / "run.json").read_bytes() == b"again"
    assert [path.name for path in tmp_path.iterdir()] == ["a_snn"]


def test_longest_name_works(tmp_path: Path) -> None:
    publish(tmp_path / ("n" * 255), NEW, b"{}", force=False)
    publish(tmp_path / ("n" * 255), OLD, b"{}", force=True)
    verify_bundle(tmp_path / ("n" * 255))


def test_files_and_directory_have_the_usual_permissions(tmp_path: Path) -> None:
    (reference := tmp_path / "reference").mkdir()
    (reference / "file").write_bytes(b"")
    publish(tmp_path / "a_snn", NEW, b"{}", force=False)
    assert (tmp_path / "a_snn").stat().st_mode == reference.stat().st_mode
    for path in (tmp_path / "a_snn").iterdir():
        assert path.stat().st_mode == (reference / "file").stat().st_mode


def test_manifest_does_not_depend_on_order(tmp_path: Path) -> None:
    publish(tmp_path / "a", NEW, b"1", force=False)
    publish(tmp_path / "b", dict(reversed(NEW.items())), b"2", force=False)
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
