"""Workers of a dask scheduler that runs already, and goes on running afterwards."""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from dataclasses import dataclass

from distributed import Client

from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.distributed import TASK_TIMEOUT_S, DaskExecutor, DaskSettings
from alignsvc.errors import TransientError


@CLUSTERS.register("scheduler")
@dataclass(frozen=True, slots=True)
class SchedulerBackend:
    """A scheduler named by its address; its workers need this package and the run directory.

    Parameters
    ----------
    address : str
        Like ``tcp://10.0.0.5:8786``.
    connect_timeout_s : float
    task_timeout_s : float
        Longest time that one task may run.
    """

    address: str
    connect_timeout_s: float = 30.0
    task_timeout_s: float = TASK_TIMEOUT_S

    def __call__(self, context: RunContext) -> DaskExecutor:
        """Connect and return the executor.

        Raises
        ------
        TransientError
            Nobody answers at the address.
        """
        try:
            client = Client(self.address, timeout=self.connect_timeout_s, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise TransientError(
                f"scheduler {self.address}: no answer within {self.connect_timeout_s:g} s "
                f"({error}); see that it runs and can be reached from here, then resume"
            ) from error
        settings = DaskSettings(task_timeout_s=self.task_timeout_s)
        return DaskExecutor(client, context, settings, _leave_it)


def _leave_it() -> None:
    """The scheduler belongs to somebody else."""
