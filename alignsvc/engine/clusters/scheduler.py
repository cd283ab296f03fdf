"""Workers of a dask scheduler that runs already, and goes on running afterwards."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from alignsvc.engine.base import RunContext
from alignsvc.engine.bounded import connected
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.dask_workers import TASK_TIMEOUT_S, DaskSettings
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.security import BY_DEFAULT, ClusterSecurity
from alignsvc.errors import ConfigError, TransientError

#: Between looks for a scheduler file, seconds.
_LOOK_AGAIN_S = 0.2


@CLUSTERS.register("scheduler")
@dataclass(frozen=True, slots=True)
class SchedulerBackend:
    """A scheduler that runs already; its workers need this package and the run directory.

    Parameters
    ----------
    address : str or None
        Like ``tls://10.0.0.5:8786``. This or `scheduler_file`.
    connect_timeout_s : float
    task_timeout_s : float
        Longest time that one task may run.
    scheduler_file : str or None
        Absolute path of the file in which ``dask scheduler --scheduler-file`` says where it is;
        waited for as long as for an answer.
    security : ClusterSecurity
        Its certificates; what is not encrypted is refused beyond this machine.

    Raises
    ------
    ConfigError
        Neither address nor file, or both; or an address that must not be used.
    """

    address: str | None = None
    connect_timeout_s: float = 30.0
    task_timeout_s: float = TASK_TIMEOUT_S
    scheduler_file: str | None = None
    security: ClusterSecurity = BY_DEFAULT

    def __post_init__(self) -> None:
        if (self.address is None) == (self.scheduler_file is None):
            raise ConfigError(
                "cluster 'scheduler': wanted either address, such as tls://10.0.0.5:8786, or "
                "scheduler_file"
            )
        if self.scheduler_file is not None and not Path(self.scheduler_file).is_absolute():
            raise ConfigError(
                f"cluster.scheduler_file: found {self.scheduler_file!r}, wanted an absolute path, "
                "since a run may be resumed from elsewhere"
            )
        if self.address is not None:
            self.security.require_safe(self.address)

    @property
    def worker_memory_bytes(self) -> None:
        """Unknown: its workers are somebody else's."""
        return

    @property
    def more_memory(self) -> str:
        """What gives each worker more."""
        return "--memory-limit higher where the workers are started"

    def __call__(self, context: RunContext) -> DaskExecutor:
        """Connect and return the executor.

        Raises
        ------
        ConfigError
            The address must not be used, or no worker runs this version.
        TransientError
            Nobody answers at the address.
        """
        address = self.address or self._address_in_file()
        security = self.security.to_connect(address)
        try:
            client = connected(address, self.connect_timeout_s, security)
        except (OSError, TimeoutError) as error:
            raise TransientError(
                f"scheduler {address}: no answer within {self.connect_timeout_s:g} s "
                f"({error}); see that it runs and can be reached from here, then resume"
            ) from error
        with ExitStack() as undo:
            undo.callback(client.close)
            settings = DaskSettings(task_timeout_s=self.task_timeout_s)
            executor = DaskExecutor(client, context, settings, _leave_it)
            undo.pop_all()
        return executor

    def _address_in_file(self) -> str:
        """Return the address that the scheduler wrote down, when it has."""
        last_s = time.monotonic() + self.connect_timeout_s
        while True:
            try:
                said = json.loads(Path(str(self.scheduler_file)).read_bytes())
                return str(said["address"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                if time.monotonic() > last_s:
                    raise TransientError(
                        f"cluster.scheduler_file {self.scheduler_file}: no address in it within "
                        f"{self.connect_timeout_s:g} s ({type(error).__name__}); see that the "
                        "scheduler runs and writes it, then resume"
                    ) from error
            time.sleep(_LOOK_AGAIN_S)


def _leave_it() -> None:
    """The scheduler belongs to somebody else."""
