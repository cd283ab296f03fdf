"""Workers on this machine: processes with one thread each, reachable from here only."""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import dask.config
import distributed.utils
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from alignsvc.engine.base import RunContext
from alignsvc.engine.bounded import within
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.dask_workers import TASK_TIMEOUT_S, DaskSettings
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.memory_size import size_bytes
from alignsvc.engine.run_pages import with_pages
from alignsvc.engine.security import BY_DEFAULT, ClusterSecurity
from alignsvc.engine.worker_environment import DASK_SETTINGS, KEEP_NANNIES, ONE_THREAD
from alignsvc.engine.worker_server import COPIED, begin_server, end_server, environment
from alignsvc.errors import ConfigError, ResourceError

_CLOSE_TIMEOUT_S = 30.0
_DEAF = "alignsvc.engine.deaf_to_ctrl_c"
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
        Whether the scheduler shows the run and dask's own pages: not encrypted, so on 127.0.0.1,
        and on `interface` only if the network is trusted.
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
        closing = ExitStack()
        try:
            preload = [_DEAF]
            if context.has_own_process and begin_server():
                closing.callback(_end_server)
                closing.enter_context(dask.config.set(_copied()))
                preload.append(COPIED)
            cluster = self._cluster(context, preload)
            closing.callback(close_cluster, cluster)
            closing.enter_context(dask.config.set(KEEP_NANNIES))
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

    def begin(self) -> None:
        """Begin to import what workers need, in a process of its own."""
        begin_server()

    def missing_here(self) -> tuple[str, ...]:
        """Return a sentence on the package that this machine lacks, if certificates are made."""
        return self.security.missing_here(self.interface)

    @property
    def _shown_on(self) -> str:
        """Address of dask's own pages."""
        return self.interface if self.security.trusted_network else "127.0.0.1"

    def _cluster(self, context: RunContext, preload: list[str]) -> LocalCluster:
        _check_listens(self.interface)
        security = self.security.of_own(self.interface)
        try:
            # Both are read while the cluster starts, and kept by it.
            settings = DASK_SETTINGS | (with_pages(context) if self.dashboard else {})
            with dask.config.set(settings), environment(ONE_THREAD):
                return LocalCluster(
                    n_workers=self.workers or CPU_COUNT,
                    threads_per_worker=1,
                    processes=True,
                    host=self.interface,
                    dashboard_address=f"{self._shown_on}:0",
                    scheduler_kwargs={"dashboard": False},  # see with_pages
                    memory_limit=self.worker_memory_bytes,
                    preload=preload,
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


def _copied() -> dict[str, object]:
    """Return the setting of dask by which workers are copies of the server's process."""
    # dask would import pandas here, to name it for a server that knows already what to import.
    distributed.utils._forkserver_preload_set = True
    return {"distributed.worker.multiprocessing-method": "forkserver"}


def _end_server() -> None:
    """End it within a bounded time; what it and its copies used is then known of this process."""
    with suppress(TimeoutError):
        within(_CLOSE_TIMEOUT_S, end_server)


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
