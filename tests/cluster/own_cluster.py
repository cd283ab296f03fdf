"""A dask scheduler and workers that somebody else started, as on a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_S = 60.0


@dataclass
class OwnCluster:
    """A ``dask scheduler`` and its workers: processes of their own on 127.0.0.1."""

    folder: Path
    closing: ExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    schedulers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def scheduler(self) -> subprocess.Popen[bytes]:
        """The process of the scheduler."""
        return self.schedulers[-1]

    @property
    def address(self) -> str:
        """Where the scheduler listens, as it wrote it down itself."""
        return str(self._scheduler_file.read_text().split('"address": "')[1].split('"')[0])

    def start_scheduler(self) -> None:
        started = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.schedulers.append(started)
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


def fetched(url: str) -> bytes:
    """Return what a server of this machine answers, whatever proxy the environment names."""
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with straight.open(url, timeout=60) as answer:
        return bytes(answer.read())


def wait_until(is_so: Callable[[], bool], limit_s: float = START_S) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, f"not so within {limit_s:g} s"
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
