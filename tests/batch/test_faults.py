"""Whatever file operation fails, in whatever run: old or new, never mixed, and the next run ends as if nothing was."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snnconvert.batch import batch as story
from snnconvert.batch.schema import read_batch
from snnconvert.cli.batch import failure_status
from snnconvert.errors import SnnError
from snnconvert.report.manifest import verify_bundle
from snnconvert.report.publish import publish

from .conftest import carried_out, contents

METRICS = b'{"ann": {"accuracy": 1.0}, "classes": 2, "labelled": true, "samples": 1, "schedule": {}, "steps": []}'
CALLS = ((os, ("open", "write", "fsync", "rename", "replace", "mkdir", "rmdir", "unlink")), (io, ("open",)))


def published(job: Any, destination: Path, force: bool, command: str, progress: Any, kept: Any) -> None:
    """Stand in for a conversion, by as many file operations and no others."""
    publish(destination, {"metrics.json": METRICS, "config.yaml": job.to_yaml()}, b"{}", force)


class Faults:
    """Lets the N-th file operation fail; with ``full``, from then on all that take space."""

    def __init__(self, at: int, code: int, full: bool, patch: pytest.MonkeyPatch) -> None:
        self.at, self.code, self.full, self.calls, self.fired = at, code, full, 0, False
        for module, names in CALLS:
            for name in names:
                patch.setattr(module, name, self._wrapped(name, getattr(module, name)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def patched(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            writes = name in ("write", "fsync", "mkdir") or (name == "open" and _creates(arguments))
            if self.calls == self.at or (self.full and self.calls > self.at and writes):
                self.fired = True
                raise OSError(self.code, os.strerror(self.code), str(arguments[0]))
            return call(*arguments, **options)

        return patched


def _creates(arguments: tuple[Any, ...]) -> bool:
    mode = arguments[1] if len(arguments) > 1 else "r"
    return bool(mode & os.O_CREAT) if isinstance(mode, int) else bool({"w", "x", "a"} & {*mode})


def status_of(config: Path) -> int:
    """Run a batch as its verb does, and return the exit status."""
    try:
        source = read_batch(config)
        found = story.look(source, (), trust=False)
        return failure_status(story.failed(story.run(source, found, lambda result: None)))
    except SnnError as problem:
        return problem.exit_status
    except OSError:
        return 5  # as cli.main has it


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(("code", "full"), [(errno.ENOSPC, True), (errno.ENOSPC, False), (errno.EIO, False)])
def test_every_failing_operation_leaves_old_or_new(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, code: int, full: bool
) -> None:
    monkeypatch.setattr("snnconvert.pipeline.run", published)
    monkeypatch.setattr("snnconvert.batch.batch.check", lambda entries: None)
    monkeypatch.setattr("snnconvert.batch.summary.trade_off_svg", lambda curves: repr(sorted(curves)).encode())
    sweep.write_text(sweep.read_text().replace("[99.0, 99.9, 100.0]", "[99.0]").replace("retries: 1", "retries: 0"))
    carried_out(sweep, f"output={sweep.parent / 'undisturbed'}")
    expected = contents(sweep.parent / "undisturbed")
    told = set()
    for at in range(1, 400):
        output = sweep.parent / f"runs{at}"
        sweep.write_text(sweep.read_text().replace(f"output: runs{at - 1 or ''}", f"output: runs{at}"))
        with monkeypatch.context() as patch:
            faults = Faults(at, code, full, patch)
            status = status_of(sweep)
        told.add(status)
        assert status in (0, 2, 4, 5), at  # 0: it was tried again; 2 and 4: an input could not be read
        for bundle in output.glob("*-????????") if output.exists() else ():
            verify_bundle(bundle)
            assert {name: expected[f"{bundle.name}/{name}"] for name in contents(bundle)} == contents(bundle)
        for name in ("summary.json", "summary.csv"):
            if (output / name).exists():
                (output / name).read_text()
        assert status_of(sweep) == 0, at
        assert contents(output) == expected, at
        assert list(output.rglob("*.tmp*")) == [], at
        if not faults.fired:
            assert status == 0
            assert at > 80
            break
    else:
        pytest.fail("the loop never came to its end")
    assert 5 in told
