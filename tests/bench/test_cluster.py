"""Folds on a Dask cluster, one of whose two workers dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bench.conftest import small
from bench.test_runner import bench, folds_of
from doomed import killed

from aumer.errors import AumerError, BackendUnavailable, UsageError
from aumer.workers import Workers

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")


@pytest.mark.slow
def test_a_worker_that_dies_changes_nothing(
    tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"overrides": {"epochs": 40}}
    protocol = small()
    bench(tmp_path / "here", tables, "published", protocol, options=settings)
    killed: list[int] = []

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        folder = tmp_path / "cluster"

        def kill_one() -> None:
            """As soon as a fold is there, kill a worker that has one in hand."""
            deadline = time.monotonic() + 100
            with distributed.Client(cluster, set_as_default=False) as client:
                while not list(folder.glob("seed-0/*.json")) and time.monotonic() < deadline:
                    time.sleep(0.01)
                pids: dict[str, int] = client.run(os.getpid)
                busy = [a for a, tasks in client.processing().items() if tasks]
                if busy:
                    killed.append(pids[busy[0]])
                    os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        workers = Workers(backend="dask", scheduler=cluster.scheduler_address)
        bench(folder, tables, "published", protocol, options=settings, workers=workers)
        killer.join()
    assert killed, "the run was over before a worker could be killed"
    assert folds_of(folder) == folds_of(tmp_path / "here")


@pytest.mark.slow
def test_a_local_worker_that_is_killed_is_said() -> None:
    with pytest.raises(AumerError, match="fewer workers"):
        list(Workers(2).run(killed, [1, 2, 3, 4]))


def test_no_scheduler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Workers(backend="dask", scheduler="tcp://127.0.0.1:9")

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(nowhere.run(abs, [1, 2]))
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(BackendUnavailable, match=r"aumer\[cluster\]"):
        list(nowhere.run(abs, [1, 2]))
