"""Workers on machines that one logs in to by ssh: no batch system, no service to install."""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import dask.config
from distributed import Client, SpecCluster, SSHCluster
from distributed.security import Security

from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.clusters.local import LIMIT_WANTED
from alignsvc.engine.dask_workers import TASK_TIMEOUT_S, DaskSettings
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.extras import missing_package
from alignsvc.engine.memory_size import size_bytes
from alignsvc.engine.remote_hosts import RemoteHosts
from alignsvc.engine.run_pages import PAGES_ON, with_page
from alignsvc.engine.security import BY_DEFAULT, ClusterSecurity, is_loopback
from alignsvc.engine.worker_environment import DASK_SETTINGS, KEEP_NANNIES, spawned_environment
from alignsvc.errors import ConfigError, ResourceError

_CLOSE_TIMEOUT_S = 30.0
_SETTINGS = {
    **DASK_SETTINGS,
    # A driver that is killed cannot end what it started elsewhere: that ends by itself.
    "distributed.scheduler.idle-timeout": "30 minutes",
    # All of dask's configuration goes to the machines on command lines, which others there can
    # read: not what lets one into a gateway.
    "gateway.auth.kwargs": {},
}


@CLUSTERS.register("ssh")
@dataclass(frozen=True, slots=True)
class SshBackend:
    """A dask cluster on other machines, which reach the run directory under the same path.

    Keys come from files or an agent, never from the configuration; a machine whose own key is not
    known is refused.

    Parameters
    ----------
    hosts : list of str
        Machines for workers, as `ssh` takes them.
    scheduler_host : str or None
        Where the scheduler runs; None = the first of `hosts`.
    workers : int or None
        Processes in all, in turn on each of the hosts; None = one for each.
    user, key_file, known_hosts : str or None
        As of `ssh`; None = what its own configuration says.
    port : int or None
    python : str or None
        Interpreter on the machines, of the same environment; None = the path of this one.
    interface : str or None
        Name of the network interface there that scheduler and workers use, like ``ib0``.
    memory_limit : str
        For each worker, like ``"4 GiB"``; ``"auto"`` = its machine's share for one core.
    login_timeout_s : float
    task_timeout_s : float
        Longest time that one task may run.
    security : ClusterSecurity
        Temporary certificates, unless it says otherwise or all is on this machine.

    Raises
    ------
    ConfigError
        No host, or no worker.
    """

    hosts: list[str]
    scheduler_host: str | None = None
    workers: int | None = None
    user: str | None = None
    port: int | None = None
    key_file: str | None = None
    known_hosts: str | None = None
    python: str | None = None
    interface: str | None = None
    memory_limit: str = "auto"
    login_timeout_s: float = 30.0
    task_timeout_s: float = TASK_TIMEOUT_S
    security: ClusterSecurity = BY_DEFAULT

    def __post_init__(self) -> None:
        hosts = self.hosts
        if not (isinstance(hosts, list) and hosts and all(isinstance(h, str) for h in hosts)):
            raise ConfigError(f"cluster.hosts: found {hosts!r}, wanted a list of one or more names")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"cluster.workers: found {self.workers}, wanted 1 or more")
        _ = self.worker_memory_bytes

    @property
    def worker_memory_bytes(self) -> int | None:
        """What each worker may occupy; None: its machine's share, which is known there.

        Raises
        ------
        ConfigError
            The limit is no amount of memory.
        """
        if self.memory_limit == "auto":
            return None
        return size_bytes(self.memory_limit, "cluster.memory_limit", LIMIT_WANTED)

    @property
    def more_memory(self) -> str:
        """What gives each worker more."""
        return "cluster.memory_limit higher, or fewer cluster.workers"

    def missing_here(self) -> tuple[str, ...]:
        """Return sentences on the packages that this machine lacks."""
        host = "127.0.0.1" if self._is_here else "0.0.0.0"
        return (*missing_package("asyncssh", "ssh", "ssh"), *self.security.missing_here(host))

    def __call__(self, context: RunContext) -> DaskExecutor:
        """Start scheduler and workers and return the executor that uses them.

        Raises
        ------
        ConfigError
            A package is missing here or there, or a machine does not let us in.
        TransientError
            A machine does not answer.
        ResourceError
            Scheduler or workers did not start.
        """
        python = self.python or sys.executable
        hosts = RemoteHosts(self._every_host, self._login, self.login_timeout_s)
        hosts.require_package(python)
        closing = ExitStack()
        try:
            spawned = {"distributed.nanny.pre-spawn-environ": spawned_environment()}
            settings = {**_SETTINGS, **KEEP_NANNIES, **spawned, **with_page(context)}
            closing.enter_context(dask.config.set(settings))
            here, options = self._trust(hosts, closing)
            cluster = self._cluster(python, here, options)
            closing.callback(cluster.close, timeout=_CLOSE_TIMEOUT_S)
            client = Client(cluster, security=here, timeout=_CLOSE_TIMEOUT_S, set_as_default=False)
            tasks = DaskSettings(task_timeout_s=self.task_timeout_s)
            return DaskExecutor(client, context, tasks, closing.close)
        except BaseException:
            closing.close()
            raise

    @property
    def _every_host(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.scheduler_host or self.hosts[0], *self.hosts)))

    @property
    def _is_here(self) -> bool:
        """Whether all of it is this machine."""
        return all(is_loopback(host) for host in self._every_host)

    @property
    def _login(self) -> dict[str, Any]:
        asked = {
            "username": self.user,
            "port": self.port,
            "client_keys": None if self.key_file is None else [self.key_file],
            # asyncssh takes None as "any key will do": that is never said.
            "known_hosts": self.known_hosts,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def _trust(self, hosts: RemoteHosts, closing: ExitStack) -> tuple[Security, dict[str, Any]]:
        """Return what this process shows the cluster, and what its parts are started with."""
        listen = {"host": "127.0.0.1"} if self._is_here else {}
        if self.interface is not None:
            listen = {"interface": self.interface}
        mine = self.security
        if mine.has_files:
            here = mine.of_own(self._every_host[0])
            keys = {"tls_ca_file": mine.tls_ca_file}
            for party in ("client", "scheduler", "worker"):
                keys |= {f"tls_{party}_cert": mine.tls_cert, f"tls_{party}_key": mine.tls_key}
        elif mine.trusted_network or (self._is_here and not mine.temporary and not self.interface):
            return Security(), {**listen, "protocol": "tcp://"}
        else:
            made = hosts.put_certificates()
            closing.callback(made.remove)
            here = made.here
            names = ("ca_file", "client_cert", "scheduler_cert", "worker_cert")
            keys = {f"tls_{name}": made.file for name in names}
        files = {"require_encryption": True, **keys}
        return here, {**listen, "protocol": "tls://", "security": files}

    def _cluster(self, python: str, here: Security, options: dict[str, Any]) -> SpecCluster:
        # The page is for whoever is on the scheduler's machine: it asks for no password.
        shown = {"port": 0, "dashboard": False, "dashboard_address": f"{PAGES_ON}:0"}
        workers = list(islice(cycle(self.hosts), self.workers or len(self.hosts)))
        try:
            return SSHCluster(
                [self._every_host[0], *workers],
                connect_options=self._login,
                scheduler_options={**options, **shown},
                worker_options={**options, "nthreads": 1, "memory_limit": self.memory_limit},
                remote_python=python,
                security=here,
                silence_logs=logging.CRITICAL,
            )
        except Exception as error:  # asyncssh's, dask's, the system's: none begins without them
            raise ResourceError(
                f"cluster.hosts: scheduler or workers did not start ({error}); see what "
                f"`{python} -m distributed.cli.dask_spec` says there, then resume"
            ) from error
