"""Jobs whose workers come and go: those that ended are replaced, and an end is made of vain ones.

dask replaces what it saw leave. It does not see a job that was cancelled while it waited, one that
ended before its worker reached the scheduler, or one of several workers; and a job that was not
taken is only a line in a log. So the batch system is asked which jobs there are.
"""

# distributed and dask_jobqueue are typed in parts only.
# mypy: disable-error-code="no-untyped-call,misc"

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from distributed.core import Status

from alignsvc.engine.batch_system import ANSWER_S, BatchSystem, said
from alignsvc.errors import ResourceError

#: Seconds between two questions to the batch system, asked only while a job has no worker; and how
#: much longer after each answer that is no news, up to the longest: jobs may wait for days.
_LOOK_S = 10.0
_LESS_OFTEN = 1.5
_LOOK_AT_LEAST_S = 60.0
#: Jobs in a row of which no worker came, after which no more are tried.
_VAIN = 5


def noting(job: Any, complaints: list[str]) -> Any:
    """Return the class of a job that notes down why it was not taken, instead of raising.

    A cluster that scales by itself has nobody to raise to: `JobKeeper` sees it has no number.
    """

    class NotedJob(job):
        async def start(self) -> None:
            try:
                await super().start()
            except (RuntimeError, OSError, ValueError) as error:
                complaints.append(said(str(error)))
                self.status = Status.running

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed

    return NotedJob


@dataclass(slots=True)
class JobKeeper:
    """Looks after the jobs of one cluster.

    Parameters
    ----------
    system : BatchSystem
    cluster : dask_jobqueue.JobQueueCluster
        It adapts: what is missing it submits.
    complaints : list of str
        Why jobs were not taken.
    logs : str
        Where to look, for messages.
    """

    system: BatchSystem
    cluster: Any
    complaints: list[str]
    logs: str
    _vain: int = 0
    _came: frozenset[str] = frozenset()
    _missed: frozenset[str] = frozenset()
    _waiting: frozenset[str] = frozenset()
    _is_hopeless: bool = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Look every few seconds, in a thread of its own: who waits for a worker cannot."""
        is_over = threading.Event()

        def look_again_and_again() -> None:
            wait_s = _LOOK_S
            while not is_over.wait(wait_s):
                is_quiet = self.look()
                wait_s = min(wait_s * _LESS_OFTEN, _LOOK_AT_LEAST_S) if is_quiet else _LOOK_S

        thread = threading.Thread(target=look_again_and_again, name="jobs", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(ANSWER_S)

    def require_hope(self) -> None:
        """Raise ResourceError if no worker is there, and of the last few jobs none came."""
        if self._is_hopeless:
            raise ResourceError(self._why())

    def look(self) -> bool:
        """Forget jobs that ended, so that they are replaced; to be called again and again.

        Returns
        -------
        bool
            Whether jobs wait for their turn, the same as when last asked.
        """
        numbers = {name: job.job_id for name, job in dict(self.cluster.workers).items()}
        here = {name for name in numbers if self._has_worker(name)}
        if new := frozenset(str(numbers[name]) for name in here) - self._came:
            self._came, self._vain = self._came | new, 0
        waiting = frozenset(str(numbers[name]) for name in numbers if name not in here)
        was_waiting, self._waiting = self._waiting, waiting
        gone = self._gone({name: numbers[name] for name in numbers if name not in here})
        # With some workers left the run goes on, but no more are asked for.
        self._is_hopeless = self._vain >= _VAIN and not here
        if self._vain < _VAIN:
            self._forget(gone)
            self._vain += sum(numbers[name] not in self._came for name in gone)
        return bool(waiting) and waiting == was_waiting and not self._missed

    def _has_worker(self, name: object) -> bool:
        """Return whether all workers of a job are there."""
        spec = self.cluster.worker_spec.get(name, {})
        wanted = {f"{name}{suffix}" for suffix in spec.get("group", ("",))}
        workers = list(self.cluster.scheduler_info["workers"].values())
        return wanted <= {str(worker["name"]) for worker in workers}

    def _gone(self, numbers: dict[object, str | None]) -> list[object]:
        """Return the names of jobs that are not there, by two questions in a row."""
        if not numbers:
            self._missed = frozenset()
            return []
        listed = self.system.jobs()
        if listed is None:
            return []
        missed = {name: str(one) for name, one in numbers.items() if one not in listed}
        gone = [name for name, one in missed.items() if one in self._missed or one == "None"]
        self._missed = frozenset(missed.values())
        return gone

    def _forget(self, names: list[object]) -> None:
        if names:
            with suppress(TimeoutError):  # what is not forgotten now is with the next look
                self.cluster.sync(self._forget_there, names, callback_timeout=ANSWER_S)

    async def _forget_there(self, names: list[object]) -> None:
        """Let the cluster find that jobs are missing; runs where it looks after them."""
        for name in names:
            job = self.cluster.workers.pop(name, None)
            if job is not None:
                job.status = Status.closed

    def _why(self) -> str:
        if self.complaints:
            return (
                f"{self.system.name}: no job is taken: {self.complaints[-1]}; mend that in section "
                "cluster or in the batch system, then resume"
            )
        return (
            f"{self.system.name}: no worker is left, and {self._vain} jobs in a row ended before "
            "one came from them: cancelled while they waited, or they cannot start (another "
            "Python, a driver that they cannot reach: cluster.python, cluster.interface); see "
            f"{self.logs}, then resume"
        )
