"""Whole runs on a scheduler and workers that somebody else started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import content, make_sky, write_config

from alignsvc import api
from alignsvc.run import events

pytestmark = pytest.mark.cluster

START_S = 60.0


@dataclass
class OwnCluster:
    """A ``dask scheduler`` and its workers: processes of their own on 127.0.0.1."""

    folder: Path
    closing: ExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the scheduler listens, as it wrote it down itself."""
        return str(self._scheduler_file.read_text().split('"address": "')[1].split('"')[0])

    def start_scheduler(self) -> None:
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        wait_until(self._scheduler_file.exists)

    def start_worker(self) -> None:
        worker = self._start("worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny")
        self.workers.append(worker)

    @property
    def _scheduler_file(self) -> Path:
        return self.folder / "scheduler.json"

    def _start(self, role: str, *arguments: str) -> subprocess.Popen[bytes]:
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        log = self.closing.enter_context((self.folder / f"{role}.log").open("ab"))
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", f"distributed.cli.dask_{role}"),
                *("--scheduler-file", str(self._scheduler_file), *arguments),
            ],
            cwd=self.folder,
            env={**os.environ, **threads},
            stdout=log,
            stderr=log,
        )
        self.closing.callback(process.wait, 30)
        self.closing.callback(process.kill)
        return process


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not is_so():
        assert time.monotonic() < end, f"not so within {START_S:g} s"
        time.sleep(0.1)


@contextmanager
def own_cluster(folder: Path, workers: int) -> Iterator[OwnCluster]:
    folder.mkdir()
    with ExitStack() as closing:
        cluster = OwnCluster(folder, closing)
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker()
        yield cluster


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("own") / "sky", count=4)


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What a run in one process gives."""
    return content(api.align(write_config(sky.with_name("serial.yaml"), sky)).directory)


def on(cluster: OwnCluster) -> dict[str, object]:
    return {"backend": "scheduler", "address": cluster.address}


def test_a_run_on_workers_of_others_gives_the_same_bits(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    with own_cluster(tmp_path / "own", workers=2) as cluster:
        config = write_config(tmp_path / "run.yaml", sky, cluster=on(cluster))
        assert content(api.align(config).directory) == wanted
        # They stay, for their owner.
        assert all(worker.poll() is None for worker in cluster.workers)


def test_a_worker_killed_in_a_run_changes_no_bit(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    with own_cluster(tmp_path / "own", workers=2) as cluster:

        def kill_one(event: events.Event) -> None:
            first = cluster.workers[0]
            if isinstance(event, events.TaskEnded) and event.stage == "measure":
                first.kill()

        config = write_config(tmp_path / "run.yaml", sky, cluster=on(cluster))
        result = api.align(config, api.RunOptions(listener=kill_one))
        assert cluster.workers[0].wait(30) == -9
        assert cluster.workers[1].poll() is None
        assert content(result.directory) == wanted


def test_a_worker_that_comes_later_is_waited_for(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    with own_cluster(tmp_path / "own", workers=0) as cluster:

        def bring_one(event: events.Event) -> None:
            if isinstance(event, events.StageStarted) and not cluster.workers:
                cluster.start_worker()

        config = write_config(tmp_path / "run.yaml", sky, cluster=on(cluster))
        result = api.align(config, api.RunOptions(listener=bring_one))
        assert content(result.directory) == wanted
