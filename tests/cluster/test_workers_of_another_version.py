"""Workers with another version on a scheduler: refused, and a run is none the worse for it."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import content, make_sky, write_config
from own_cluster import OwnCluster, own_cluster, wait_until

from alignsvc import api
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.versions import WorkerRoll
from alignsvc.errors import ConfigError
from alignsvc.io.objects import LocalObjects
from alignsvc.run.records import events
from alignsvc.version import VERSION

pytestmark = pytest.mark.cluster

PRELOAD = ("--preload", str(Path(__file__).with_name("old_version.py")))
REFUSED = (
    rf"worker tcp://127\.0\.0\.1:\d+ is refused: it runs alignsvc 0\.0\.9, .* alignsvc {VERSION}"
)


def start_old_worker(cluster: OwnCluster) -> None:
    worker = cluster._start(
        "worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", *PRELOAD
    )
    cluster.workers.append(worker)


def test_a_run_does_not_begin_where_all_workers_are_of_another_version(tmp_path: Path) -> None:
    with own_cluster(tmp_path / "own", workers=0) as cluster:
        start_old_worker(cluster)
        wait_until(lambda: "Starting established connection" in log(cluster))
        backend = cluster_backend("scheduler", {"address": cluster.address})
        with pytest.raises(ConfigError, match=REFUSED):
            backend(RunContext(LocalObjects(tmp_path / "run")))


def test_one_that_joins_in_the_middle_gets_no_task_and_no_bit_changes(tmp_path: Path) -> None:
    sky = make_sky(tmp_path / "sky", count=4)
    wanted = content(api.align(write_config(tmp_path / "serial.yaml", sky)).directory)
    notes: list[str] = []
    with own_cluster(tmp_path / "own", workers=1) as cluster:
        there = log(cluster).count("Starting established connection")

        def bring_one(event: events.Event) -> None:
            if isinstance(event, events.Note):
                notes.append(event.text)
            if isinstance(event, events.TaskEnded) and len(cluster.workers) == 1:
                start_old_worker(cluster)
                # It has no task of its own choice: what it is given first may well be one of ours.
                wait_until(lambda: log(cluster).count("Starting established connection") > there)

        on = {"backend": "scheduler", "address": cluster.address}
        config = write_config(tmp_path / "run.yaml", sky, cluster=on)
        result = api.align(config, api.RunOptions(listener=bring_one))
        assert content(result.directory) == wanted
        # It stays, for whoever wants it.
        assert cluster.workers[1].poll() is None
    (why,) = (note for note in notes if "is refused" in note)
    assert "0.0.9" in why
    assert VERSION in why


def log(cluster: OwnCluster) -> str:
    file = cluster.folder / "scheduler.log"
    return file.read_text() if file.exists() else ""


def test_a_worker_that_nobody_has_asked_refuses_tasks_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks may reach a new worker before it was asked what it runs: none is lost by that."""
    monkeypatch.setattr(WorkerRoll, "new_among", lambda roll, addresses: [])
    sky = make_sky(tmp_path / "sky", count=3)
    wanted = content(api.align(write_config(tmp_path / "serial.yaml", sky)).directory)
    notes: list[str] = []
    with own_cluster(tmp_path / "own", workers=1) as cluster:
        start_old_worker(cluster)
        wait_until(lambda: log(cluster).count("Starting established connection") >= 2)
        on = {"backend": "scheduler", "address": cluster.address}
        config = write_config(tmp_path / "run.yaml", sky, cluster=on)

        def hear(event: events.Event) -> None:
            if isinstance(event, events.Note):
                notes.append(event.text)

        assert content(api.align(config, api.RunOptions(listener=hear)).directory) == wanted
    (why,) = (note for note in notes if "is refused" in note)
    assert "0.0.9" in why


def test_tasks_wait_for_a_worker_that_may_do_them_while_only_others_are_there(
    tmp_path: Path,
) -> None:
    """dask gives them to the one that is left, which refuses them; none fails, none is lost."""
    sky = make_sky(tmp_path / "sky", count=4)
    wanted = content(api.align(write_config(tmp_path / "serial.yaml", sky)).directory)
    with own_cluster(tmp_path / "own", workers=1) as cluster:
        start_old_worker(cluster)
        wait_until(lambda: log(cluster).count("Starting established connection") >= 2)

        def replace_the_good_one(event: events.Event) -> None:
            is_first = isinstance(event, events.TaskEnded) and event.stage == "measure"
            if is_first and len(cluster.workers) == 2:
                cluster.workers[0].kill()
                # Meanwhile tasks can only go to the old one.
                late = threading.Timer(3.0, cluster.start_worker)
                cluster.closing.callback(late.join)
                late.start()
                cluster.workers.append(cluster.workers[1])

        on = {"backend": "scheduler", "address": cluster.address}
        config = write_config(tmp_path / "run.yaml", sky, cluster=on)
        result = api.align(config, api.RunOptions(listener=replace_the_good_one))
        assert content(result.directory) == wanted
