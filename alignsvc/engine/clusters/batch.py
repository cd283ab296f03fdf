"""What the backends of all batch systems have in common: workers as jobs, few or many as needed."""

# distributed and dask_jobqueue are typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import dask.config
from distributed import Client, Security
from distributed.utils import get_ip_interface

from alignsvc.engine.base import RunContext
from alignsvc.engine.batch_jobs import JobKeeper, noting
from alignsvc.engine.batch_system import BatchSystem, seconds_of, walltime_of
from alignsvc.engine.clusters import require_here
from alignsvc.engine.dask_workers import TASK_TIMEOUT_S, DaskSettings
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.job_settings import (
    DriverJobSettings,
    require_count,
    require_lines,
    require_word,
)
from alignsvc.engine.memory_size import size_bytes
from alignsvc.engine.own_folder import key_folder, log_folder
from alignsvc.engine.run_pages import PAGES_ON, with_pages
from alignsvc.engine.scaling import Scaling, read_scaling
from alignsvc.engine.security import BY_DEFAULT, ClusterSecurity
from alignsvc.engine.worker_environment import (
    DASK_SETTINGS,
    KEEP_NANNIES,
    require_no_secrets,
    worker_environment,
)
from alignsvc.errors import ConfigError
from alignsvc.io.objects import ObjectStore

_CLOSE_TIMEOUT_S = 60.0
#: How often it is weighed how many workers are needed.
_ADAPT_S = 2.0
#: A worker ends itself so long before its job would be ended, or a quarter of the job's time.
_FAREWELL_S = 300
#: Where the scheduler is, in a script that is only shown.
_SOMEWHERE = "tcp://scheduler:8786"
_ROLES = ("client", "scheduler", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBackend:
    """Workers as jobs of a batch system.

    The driver submits them, replaces those that end before their time, and cancels them when it
    ends. It and its jobs must reach each other over the network, and all of them the run directory
    and the inputs under the same paths.

    Parameters
    ----------
    workers : int, or mapping of minimum and maximum
        Worker processes: so many always, or as many as there are tasks for.
    memory : str
        For each worker, like ``"4 GiB"``.
    cores : int
        Workers, of one thread each, that share a job.
    walltime : str
        Of a job, as hours:minutes:seconds. Its workers end some minutes before, and are replaced.
    queue, account : str or None
        Queue (partition), and who pays (account or project); None = as the system has it.
    interface : str or None
        Network interface that driver and workers talk through, like ``ib0``; ``lo`` where all of
        it is one machine.
    environment : mapping
        Variables of the jobs: values by name; without a value = passed on from the driver's own.
    extra_directives : sequence of str
        What the script asks of the batch system besides, like ``--constraint=haswell``.
    job_script_prologue : sequence of str
        Lines of shell before the worker starts, like ``module load python``.
    python : str or None
        Interpreter of the jobs; None = the one that runs the driver.
    log_directory : str or None
        Where jobs write what they print; None = ``logs/jobs`` of the run directory.
    local_directory : str or None
        Scratch directory on the nodes.
    idle_timeout_s : float
        How long a worker without work is kept for the next stage.
    queue_timeout_s : float
        How long the run waits while no worker is there at all: as long as jobs may have to queue.
    task_timeout_s : float
        Longest time that one task may run.
    dashboard : bool
        Whether the scheduler shows dask's own pages, to the machine of the driver.
    driver : mapping
        Of the driver's own job: see `DriverJobSettings`.
    security : ClusterSecurity
        Beyond the loopback: temporary certificates, unless it says otherwise.
    """

    system: ClassVar[BatchSystem]

    workers: int | Mapping[str, int]
    memory: str
    cores: int = 1
    walltime: str | int = "01:00:00"
    queue: str | None = None
    account: str | None = None
    interface: str | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)
    extra_directives: Sequence[str] = ()
    job_script_prologue: Sequence[str] = ()
    python: str | None = None
    log_directory: str | None = None
    local_directory: str | None = None
    idle_timeout_s: float = 120.0
    queue_timeout_s: float = 86400.0
    task_timeout_s: float = TASK_TIMEOUT_S
    dashboard: bool = True
    driver: Mapping[str, object] = field(default_factory=dict)
    security: ClusterSecurity = BY_DEFAULT

    def __post_init__(self) -> None:
        _ = self.scaling, self.driver_settings
        _ = self.worker_memory_bytes
        require_count(self.cores, "cluster.cores")
        seconds_of(self.walltime, "cluster.walltime")
        for key in ("queue", "account", "interface", "log_directory", "local_directory"):
            require_word(getattr(self, key), f"cluster.{key}")
        for key in ("extra_directives", "job_script_prologue"):
            require_lines(getattr(self, key), f"cluster.{key}")
        if not isinstance(self.environment, Mapping):
            raise ConfigError(
                f"cluster.environment: found {self.environment!r}, wanted values by name"
            )
        require_no_secrets(self.environment)

    @property
    def worker_memory_bytes(self) -> int:
        """What each worker may occupy."""
        return size_bytes(self.memory, "cluster.memory")

    @property
    def more_memory(self) -> str:
        """What gives each worker more."""
        return "cluster.memory higher"

    @property
    def scaling(self) -> Scaling:
        """How many workers there may be.

        Raises
        ------
        ConfigError
            They are not numbers in order.
        """
        return read_scaling(self.workers)

    @property
    def driver_settings(self) -> DriverJobSettings:
        """What the driver's own job gets.

        Raises
        ------
        ConfigError
            There is no such setting, or its value is wrong.
        """
        known = [one.name for one in fields(DriverJobSettings)]
        for key in self.driver if isinstance(self.driver, Mapping) else [self.driver]:
            if key not in known or (key == "resource_spec" and not self._own_options()):
                raise ConfigError(f"cluster.driver: found {key!r}, wanted some of {known}")
        return DriverJobSettings(**self.driver)  # type: ignore[arg-type]  # it judges them

    @property
    def is_loopback(self) -> bool:
        """Whether driver and workers can only be on one machine.

        Raises
        ------
        ConfigError
            There is no such interface here.
        """
        if self.interface is None:
            return False
        try:
            return str(get_ip_interface(self.interface)).startswith("127.")
        except ValueError as error:
            raise ConfigError(f"cluster.interface: {error}") from error

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know of these settings."""
        try:
            if not self.is_loopback:
                return ()
        except ConfigError:
            return (
                f"cluster.interface: {self.interface} is not one of this machine's: the driver has "
                "to run where it is",
            )
        return (
            f"cluster.interface: {self.interface} reaches this machine only: jobs on other nodes "
            "will not find the driver",
        )

    def missing_here(self) -> tuple[str, ...]:
        """Return sentences on the packages and programs that this machine lacks."""
        try:
            host = "127.0.0.1" if self.is_loopback else "0.0.0.0"
        except ConfigError:
            return self.system.missing_here()  # of an interface that is not here `notes` tells
        return (*self.system.missing_here(), *self.security.missing_here(host))

    def worker_script(self, run_id: str, logs: Path) -> str:
        """Return the script of a job of workers, with a stand-in for the scheduler's address."""
        options = self.job_options(run_id, logs)
        return self._text("worker", options, lambda job: str(job.job_script()))

    def job_header(self, run_id: str, logs: Path) -> str:
        """Return the directives of the driver's own job."""
        wanted = self.driver_settings
        options = {
            **self.job_options(run_id, logs),
            "cores": wanted.cores,
            "processes": 1,
            "job_name": f"alignsvc-{run_id[:6]}",
            "memory": wanted.memory,
            "walltime": self._walltime(seconds_of(wanted.walltime, "cluster.driver.walltime")),
            "queue": wanted.queue or self.queue,
        }
        if wanted.resource_spec is not None:
            options["resource_spec"] = wanted.resource_spec
        options["job_extra_directives"] += self.system.driver_directives
        return self._text("submitted", options, lambda job: str(job.job_header))

    def _text(self, name: str, options: dict[str, Any], read: Callable[[Any], str]) -> str:
        """Return what is to be read of a job that nobody submits yet."""
        # The class makes the directory of its logs: not where nothing is to be left.
        with TemporaryDirectory() as folder:
            shown = {**options, "log_directory": folder}
            job = self.system.cluster().job_cls(_SOMEWHERE, name=name, **shown)
            return read(job).replace(folder, options["log_directory"])

    def prologue(self) -> tuple[str, ...]:
        """Return the lines of shell before a worker, or a driver, starts."""
        given = {name: value for name, value in self.environment.items() if value is not None}
        variables = {**worker_environment(), **given}
        exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        return (*exports, *self.job_script_prologue)

    def job_options(self, run_id: str, logs: Path) -> dict[str, Any]:
        """Return what `dask_jobqueue` is told of a job of workers."""
        require_word(str(logs), "cluster.log_directory")
        life_s, stagger_s = self._lifetime()
        passed_on = tuple(name for name, value in self.environment.items() if value is None)
        return {
            "cores": self.cores,
            "processes": self.cores,
            "memory": f"{self.worker_memory_bytes * self.cores}B",
            "walltime": self._walltime(seconds_of(self.walltime, "cluster.walltime")),
            "queue": self.queue,
            self.system.account_field: self.account,
            "interface": self.interface,
            "python": shlex.quote(self.python or sys.executable),
            # Batch systems take names of 15 characters.
            "job_name": f"alignsvc-{run_id[:4]}-w",
            "log_directory": str(logs),
            "local_directory": self.local_directory,
            "job_script_prologue": list(self.prologue()),
            "job_extra_directives": [
                *([self.system.pass_on(passed_on)] if passed_on else []),
                *self.extra_directives,
            ],
            "worker_extra_args": [
                *("--lifetime", f"{life_s}s"),
                *("--lifetime-stagger", f"{stagger_s}s"),
            ],
            **self._own_options(),
        }

    def _own_options(self) -> dict[str, Any]:
        """Return what only this system is told."""
        return {}

    def _walltime(self, seconds: int) -> str:
        return walltime_of(seconds, self.system.walltime_format)

    def _lifetime(self) -> tuple[int, int]:
        """Return how long workers live, and by how much more or less, seconds."""
        walltime_s = seconds_of(self.walltime, "cluster.walltime")
        farewell_s = min(_FAREWELL_S, walltime_s // 4)
        return walltime_s - farewell_s, farewell_s * 4 // 5

    def __call__(self, context: RunContext) -> DaskExecutor:
        """Start the scheduler, hand in the first jobs, and return the executor that uses them.

        Raises
        ------
        ConfigError
            A package, a program or an interface is not here.
        """
        require_here(self)
        logs = self.logs_of(context.objects, context.run_id)
        complaints: list[str] = []
        closing = ExitStack()
        closing.enter_context(dask.config.set(KEEP_NANNIES))
        try:
            cluster = self._cluster(context, closing, complaints)
            closing.callback(_close, cluster)
            client = Client(cluster, timeout=_CLOSE_TIMEOUT_S, set_as_default=False)
            scaling = self.scaling
            settings = DaskSettings(
                task_timeout_s=self.task_timeout_s,
                no_worker_timeout_s=self.queue_timeout_s,
                expected_workers=scaling.maximum,
            )
            keeper = JobKeeper(self.system, cluster, complaints, str(logs))
            closing.enter_context(keeper.at_work())
            return DaskExecutor(client, context, settings, closing.close, keeper.require_hope)
        except BaseException:
            closing.close()
            raise

    def logs_of(self, objects: ObjectStore, run_id: str) -> Path:
        """Return the directory where jobs of a run write what they print."""
        if self.log_directory is not None:
            return Path(self.log_directory).expanduser().absolute()
        return log_folder(objects, run_id) / "jobs"

    def _cluster(self, context: RunContext, closing: ExitStack, complaints: list[str]) -> Any:
        cluster_class = self.system.cluster()
        objects, run_id = context.objects, context.run_id
        logs = self.logs_of(objects, run_id)
        logs.mkdir(parents=True, exist_ok=True)
        security = self.security.of_own("127.0.0.1" if self.is_loopback else "0.0.0.0")
        if security.require_encryption and not self.security.has_files:
            security = _in_file(security, closing.enter_context(key_folder(objects, run_id)))
        settings = DASK_SETTINGS | (with_pages(context) if self.dashboard else {})
        with dask.config.set(settings):  # read while the cluster starts, and kept by it
            cluster = cluster_class(
                job_cls=noting(cluster_class.job_cls, complaints),
                security=security if security.require_encryption else None,
                # The page is for whoever is on the driver's machine: it asks for no password.
                scheduler_options={
                    "dashboard_address": f"{PAGES_ON}:0",
                    "dashboard": False,  # see with_pages
                },
                silence_logs=logging.CRITICAL,
                **self.job_options(run_id, logs),
            )
        scaling = self.scaling
        # A worker for each task that waits: all tasks are worth a worker's start, or are kept for.
        cluster.adapt(
            minimum=scaling.minimum,
            maximum=scaling.maximum,
            interval=f"{_ADAPT_S}s",
            wait_count=max(1, round(self.idle_timeout_s / _ADAPT_S)),
            target_duration="500ms",
        )
        return cluster


def _in_file(made: Security, folder: Path) -> Security:
    """Return certificates that are in memory as a file, which jobs can be told the path of."""
    party = made.get_tls_config_for_role("client")
    file = folder / "cluster.pem"
    file.touch(mode=0o600)
    # Certificate and key. It signs for itself, so it is the authority too.
    file.write_text(str(party["cert"]) + str(party["key"]))
    names = [f"tls_{role}_{kind}" for role in _ROLES for kind in ("cert", "key")]
    return Security(require_encryption=True, **dict.fromkeys(["tls_ca_file", *names], str(file)))


def _close(cluster: Any) -> None:
    """Cancel the jobs and end the scheduler, within a bounded time."""
    with suppress(TimeoutError):
        cluster.close(timeout=_CLOSE_TIMEOUT_S)
