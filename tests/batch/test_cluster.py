"""Jobs on a Dask cluster of this machine: every job done once, also where a worker is killed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snnconvert.batch import batch as story
from snnconvert.batch import executors
from snnconvert.batch.schema import Execution, Tls, read_batch
from snnconvert.batch.task import Task
from snnconvert.errors import OutputError, UsageError

from .conftest import Inline, carried_out, contents

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install snnconvert[dask]")


def test_backend_without_a_scheduler_is_refused() -> None:
    with pytest.raises(UsageError, match=r"E003.*dask needs a scheduler"):
        executors.executor_of(Execution(backend="dask"), False)


def test_scheduler_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"E001.*gone\.json: no such file"):
        executors.executor_of(Execution(scheduler=str(tmp_path / "gone.json")), False)


def test_scheduler_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnconvert.batch.cluster.PATIENCE", 0.5)
    with pytest.raises(OutputError, match=r"E404.*tcp://127\.0\.0\.1:9: does not answer"):
        executors.executor_of(Execution(scheduler="tcp://127.0.0.1:9"), False)


def test_files_of_tls_reach_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}

    def refuse(**options: object) -> None:
        given.update(options)
        raise OSError("enough")

    monkeypatch.setattr(distributed, "Client", refuse)
    tls = Tls(ca="ca.pem", cert="c.pem", key="k.pem")
    with pytest.raises(OutputError, match="enough"):
        executors.executor_of(Execution(scheduler="tls://host:1", tls=tls), False)
    assert given["address"] == "tls://host:1"
    assert given["security"].require_encryption
    assert (given["security"].tls_ca_file, given["security"].tls_client_key) == ("ca.pem", "k.pem")


@pytest.fixture
def cluster() -> Iterator[object]:
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as found:
        yield found


@pytest.mark.parametrize("shards", [1, 2])
def test_every_job_is_done_once_where_a_worker_is_killed(sweep: Path, cluster, monkeypatch, shards: int) -> None:
    heard: list[str] = []

    def killing(result) -> None:
        if not heard:
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        heard.append(result.state)

    source = read_batch(sweep, (f"execution.scheduler={cluster.scheduler_address}", f"execution.shards={shards}"))
    document = story.run(source, story.look(source, ("mlp*",), trust=False), killing)
    assert document["counts"] == {"done": 3, "missing": 1}
    assert heard == ["done"] * 3
    found = contents(sweep.parent / "runs")
    monkeypatch.setattr(executors, "executor_of", lambda execution, on_gpu: Inline())
    carried_out(sweep, f"output={sweep.parent / 'here'}", only=["mlp*"])
    assert found == contents(sweep.parent / "here")
    assert not list((sweep.parent / "runs").glob(".*.tmp*"))


def test_tasks_are_stopped_with_the_batch(sweep: Path, cluster) -> None:
    from snnconvert.batch.cluster import Cluster  # late: there may be no Dask

    job = {
        "model": str(sweep.parent / "net.onnx"),
        "calib": {"path": str(sweep.parent / "calib.npz")},
        "convert": {"steps": [1_000_000]},
        "device": "cpu",
    }
    log = sweep.parent / "log.txt"
    pool = Cluster(Execution(scheduler=cluster.scheduler_address))
    kept = (str(sweep.parent / "calibration.npz"), str(sweep.parent / "evaluation.npz"), "key")
    pool.submit(Task("long", job, str(sweep.parent / "long"), str(log), *kept, "test", False, None, None))
    deadline = time.monotonic() + 60
    while not log.exists() or "evaluate" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert pool.wait(0.1) == []
    pool.close()
    assert time.monotonic() < deadline + 20
    assert not (sweep.parent / "long").exists()
    assert not list(sweep.parent.glob(".*.tmp*"))
