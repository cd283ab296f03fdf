"""Workers on this machine: processes with one thread each, reachable from here only."""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import dask.config
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.distributed import TASK_TIMEOUT_S, DaskExecutor, DaskSettings
from alignsvc.engine.memory_size import size_bytes
from alignsvc.engine.security import BY_DEFAULT, ClusterSecurity
from alignsvc.errors import ConfigError, ResourceError

#: Workers share the cores: libraries that would use threads of their own get one each, which
#: also keeps sums in one order. It must be known before numpy is imported.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

#: glibc's heap: arrays up to the first size come from it, and it gives back what lies free beyond
#: the second. dask's own setting (a trim threshold of 64 kB alone) makes the kernel clear new pages
#: for every array of more than 128 kB: the measurement took three times as long.
HEAP_OF_A_WORKER = {
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}

#: What the engine wants of dask (measured; see the engine's page in the design).
DASK_SETTINGS = {
    # A task is given up when this many workers died under it and one more.
    "distributed.scheduler.allowed-failures": 2,
    # Few tasks wait on a worker, so few are blamed for its death (distributed#5234).
    "distributed.scheduler.worker-saturation": 1.1,
    "distributed.comm.retry.count": 3,
    # Reports are small: nothing to spill. What grows is a task, which pausing cannot shrink.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": 0.85,
    # Where a task is told by itself that memory ends (`engine.memory`) nobody need be killed.
    "distributed.worker.memory.terminate": False if sys.platform == "linux" else 0.95,
    "distributed.worker.profile.enabled": False,
    # What processes look at when nothing happens: 1.6 s of CPU in 15 s with two workers and dask's
    # own intervals, 0.9 s with these.
    "distributed.admin.tick.interval": "500 ms",
    "distributed.admin.system-monitor.interval": "2 s",
    "distributed.worker.memory.monitor-interval": "500 ms",
    "distributed.nanny.pre-spawn-environ": {
        **HEAP_OF_A_WORKER,
        **ONE_THREAD,
        # A worker that is told to end in the middle of a heartbeat would print a traceback.
        "DASK_LOGGING": "{'tornado.application': 'critical'}",
    },
}
#: dask looks 15 s after a worker's death whether one of its name is there, and if not, ends its
#: nanny for good: a worker that dies again, and is just then away, would never come back. Nannies
#: are in this process and cannot be lost. Looked up at each death, so it stands while we run.
KEEP_NANNIES = {"distributed.deploy.lost-worker-timeout": "3650 days"}
_CLOSE_TIMEOUT_S = 30.0
#: What `memory_limit` may be.
LIMIT_WANTED = "auto or an amount such as 4 GiB"


@CLUSTERS.register("local")
@dataclass(frozen=True, slots=True)
class LocalBackend:
    """A dask cluster on this machine.

    Parameters
    ----------
    workers : int or None
        Processes; None = one for each core that this process may use.
    interface : str
        Address that scheduler and workers listen on. Whoever reaches it can run code, so that
        on anything but 127.0.0.1 they show each other certificates (see `security`).
    memory_limit : str
        For each worker, like ``"4 GiB"``; ``"auto"`` = an equal share of the machine's.
    dashboard : bool
        Whether the scheduler shows dask's own pages: not encrypted, so on 127.0.0.1, and on
        `interface` only if the network is trusted.
    task_timeout_s : float
        Longest time that one task may run.
    security : ClusterSecurity
        Beyond 127.0.0.1: temporary certificates, unless it says otherwise.
    """

    workers: int | None = None
    interface: str = "127.0.0.1"
    memory_limit: str = "auto"
    dashboard: bool = True
    task_timeout_s: float = TASK_TIMEOUT_S
    security: ClusterSecurity = BY_DEFAULT

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"cluster.workers: found {self.workers}, wanted 1 or more")
        _ = self.worker_memory_bytes

    @property
    def worker_memory_bytes(self) -> int:
        """What each worker may occupy.

        Raises
        ------
        ConfigError
            The limit is no amount of memory.
        """
        if self.memory_limit == "auto":
            return int(MEMORY_LIMIT // (self.workers or CPU_COUNT))
        return min(
            size_bytes(self.memory_limit, "cluster.memory_limit", LIMIT_WANTED), MEMORY_LIMIT
        )

    @property
    def more_memory(self) -> str:
        """What gives each worker more."""
        return "cluster.memory_limit higher, or fewer cluster.workers"

    def __call__(self, context: RunContext) -> DaskExecutor:
        """Start the workers and return the executor that uses them.

        Raises
        ------
        ConfigError
            The interface is not one of this machine's.
        ResourceError
            The workers did not start.
        """
        cluster = self._cluster()
        closing = ExitStack()
        closing.callback(close_cluster, cluster)
        link = {"distributed.dashboard.link": f"{{scheme}}://{self._shown_on}:{{port}}/status"}
        closing.enter_context(dask.config.set({**KEEP_NANNIES, **link}))
        try:
            client = Client(cluster, timeout=_CLOSE_TIMEOUT_S, set_as_default=False)
            settings = DaskSettings(
                task_timeout_s=self.task_timeout_s,
                memory_when_alone=min(
                    float(self.workers or CPU_COUNT), MEMORY_LIMIT / self.worker_memory_bytes
                ),
            )
            return DaskExecutor(client, context, settings, closing.close)
        except BaseException:
            closing.close()
            raise

    def missing_here(self) -> tuple[str, ...]:
        """Return a sentence on the package that this machine lacks, if certificates are made."""
        return self.security.missing_here(self.interface)

    @property
    def _shown_on(self) -> str:
        """Address of dask's own pages."""
        return self.interface if self.security.trusted_network else "127.0.0.1"

    def _cluster(self) -> LocalCluster:
        _check_listens(self.interface)
        security = self.security.of_own(self.interface)
        try:
            # Both are read while the cluster starts, and kept by it.
            with dask.config.set(DASK_SETTINGS), _environment(ONE_THREAD):
                return LocalCluster(
                    n_workers=self.workers or CPU_COUNT,
                    threads_per_worker=1,
                    processes=True,
                    host=self.interface,
                    dashboard_address=f"{self._shown_on}:0",
                    scheduler_kwargs={"dashboard": self.dashboard},
                    memory_limit=self.worker_memory_bytes,
                    security=security,
                    # What befalls workers is told by the executor's events, not by dask's logs.
                    silence_logs=logging.CRITICAL,
                )
        except RuntimeError as error:
            raise ResourceError(
                f"cluster: the workers did not start ({error}); a script that calls alignsvc "
                "needs `if __name__ == '__main__':` around the call; else use fewer workers, or "
                "backend: serial"
            ) from error


def _check_listens(interface: str) -> None:
    try:
        socket.create_server((interface, 0)).close()
    except OSError as error:
        raise ConfigError(
            f"cluster.interface: cannot listen on {interface} ({error}); wanted an address of "
            "this machine"
        ) from error


def close_cluster(cluster: LocalCluster) -> None:
    """End a cluster within a bounded time; kill those of its processes that do not listen."""
    processes = [nanny.process.process for nanny in cluster.workers.values() if nanny.process]
    try:
        cluster.close(timeout=_CLOSE_TIMEOUT_S)
    except TimeoutError:
        for process in processes:
            process.kill()


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while: dask lets the caller's go before its own."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
