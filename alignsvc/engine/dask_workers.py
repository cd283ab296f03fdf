"""The workers of a dask scheduler: what is handed to them, and what the scheduler is asked.

Every question has its time; a scheduler that does not answer is a `TransientError`.
"""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call,type-arg"

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any
from uuid import uuid4

from distributed import Client, Future, get_worker
from distributed.client import ClosedClientError
from threadpoolctl import threadpool_limits

from alignsvc.domain.outcome import TaskKey
from alignsvc.domain.task import StaysAtHome, Task
from alignsvc.engine.base import RunContext, WorkerLeftOut, WorkersSeen
from alignsvc.engine.memory import memory_allowed
from alignsvc.engine.next_in_queue import announcing, next_in_queue
from alignsvc.engine.pulse import Pulse, TaskName, known, take_pulse
from alignsvc.engine.retry import RetryPolicy
from alignsvc.engine.stragglers import StragglerRule
from alignsvc.engine.versions import Versions, WorkerRoll, require_versions, versions_here
from alignsvc.errors import ConfigError, TransientError
from alignsvc.io.objects import ObjectStore
from alignsvc.redaction import redacted
from alignsvc.tasks.base import TaskReport, WorkTime, run_task
from alignsvc.wording import counted

#: Longest time that a task may run, unless told otherwise: tasks take seconds to minutes.
TASK_TIMEOUT_S = 3600.0
#: Errors by which a connection to a scheduler, or an answer that does not come, shows itself.
NO_ANSWER = (OSError, TimeoutError, CancelledError)
#: Errors of a client that could not connect again and closed itself, unless it has not: its pool
#: of connections is closed, or it has no scheduler any more to ask.
CLOSED = (RuntimeError, AttributeError, ClosedClientError)
_LONGEST_NAME = 80
#: Between questions whether cancelled tasks are forgotten, seconds.
_LETTING_GO_S = 0.02


@dataclass(frozen=True, slots=True)
class DaskSettings:
    """How the executor uses its workers.

    Parameters
    ----------
    window : int
        Tasks handed over for each thread: enough that no worker waits for the driver (2.2 ms a
        task), few enough that a lost scheduler loses little.
    task_timeout_s : float
        Longest time that a task may run on a worker, waiting not counted.
    blocked_timeout_s : float
        How long a task may wait on a worker that talks and says nothing of having begun it: there
        is something in its way that nobody waits for any more, or that fills the memory.
    no_worker_timeout_s : float
        How long a run waits while there is no worker at all.
    answer_timeout_s : float
        How long the scheduler, or the worker that holds a report, may take to answer.
    poll_s : float
        How often the scheduler is asked how workers are.
    memory_when_alone : float
        How many times a worker's memory a task may have while nothing else runs: the number of
        workers where all share one machine.
    expected_workers : int
        So many may come if there are tasks for them: as many are handed over.
    dashboard_link : str
        To dask's own pages, where dask cannot know it: behind somebody's proxy.
    policy : RetryPolicy
    is_straggler : StragglerRule
    """

    window: int = 3
    task_timeout_s: float = TASK_TIMEOUT_S
    blocked_timeout_s: float = 60.0
    no_worker_timeout_s: float = 600.0
    answer_timeout_s: float = 60.0
    poll_s: float = 1.0
    memory_when_alone: float = 1.0
    expected_workers: int = 1
    dashboard_link: str = ""
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    is_straggler: StragglerRule = field(default_factory=StragglerRule)


def run_on_worker(
    task: Task, objects: ObjectStore, memory_share: float, wanted: Versions
) -> TaskReport:
    """Run a task in a worker's process, with one thread of linear algebra from now on.

    Workers of our own are started so. Those of somebody else's scheduler may not be, and sums
    over several threads have other last bits.

    Parameters
    ----------
    task : Task
    objects : ObjectStore
    memory_share : float
        How many times the worker's memory the task may take.
    wanted : Versions
        Of whoever hands the task over; a worker with others refuses it.
    """
    require_versions(wanted)
    _keep_to_one_thread(len(sys.modules))
    worker = get_worker()
    limit_bytes = worker.memory_manager.memory_limit
    with memory_allowed(limit_bytes and int(memory_share * limit_bytes)):
        report = run_task(task, objects, partial(next_in_queue, worker))
    return report if report.work is None else replace(report, work=_of_this(report.work))


@lru_cache(maxsize=1)
def _keep_to_one_thread(n_modules: int) -> None:
    """Limit linear algebra, once for as many modules as are loaded: libraries come with them.

    To look what there is takes 0.6 ms, as long as a task's receipt.
    """
    threadpool_limits(limits=1)


def _of_this(work: WorkTime) -> WorkTime:
    """Return when a task was done, with the name of the worker that calls."""
    # dask names a worker by its address unless it is told otherwise.
    name = f"{socket.gethostname()}/{str(get_worker().name).rpartition('://')[2]}"
    return replace(work, worker=redacted(name)[:_LONGEST_NAME])


def always_hope() -> None:
    """Expect workers for ever: whether any come is somebody else's business."""


class DaskWorkers:
    """Workers that a scheduler has, less those that run another version.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    context : RunContext
    settings : DaskSettings
    require_hope : callable
        Called whenever workers are asked how they are: raises if none can come any more.

    Raises
    ------
    ConfigError
        All workers run another version.
    TransientError
        No answer.
    """

    def __init__(
        self,
        client: Client,
        context: RunContext,
        settings: DaskSettings,
        require_hope: Callable[[], None] = always_hope,
    ) -> None:
        self._client = client
        self._objects = context.objects
        self._settings = settings
        self._on_event = context.on_event
        self._require_hope = require_hope
        self._handed_over = 0
        # Two runs of one identity, or two drivers of one run, are told apart on one scheduler.
        self._own = f"{context.run_id}-{uuid4().hex[:8]}"
        self.roll = WorkerRoll(lambda *refused: context.on_event(WorkerLeftOut(*refused)))
        self.threads = self.pulse().threads
        if self.roll.refused and not self.threads:
            raise ConfigError(self.roll.reasons)

    @property
    def is_connected(self) -> bool:
        """Whether there is a scheduler to ask."""
        return bool(self._client.status == "running")

    def pulse(self) -> Pulse:
        """Return how the workers are that run what this process runs.

        Raises
        ------
        TransientError
            No answer.
        AlignError
            No worker can come any more.
        """
        self._require_hope()
        refused = self.roll.refused
        every: Pulse = self._ask(self._client.run_on_scheduler, take_pulse)
        pulse = every.without(refused)
        self.threads, self._addresses = pulse.threads, pulse.addresses
        self._on_event(self._seen(pulse))
        self._judge(self.roll.new_among(pulse.addresses))
        return self.pulse() if self.roll.refused != refused else pulse

    def _seen(self, pulse: Pulse) -> WorkersSeen:
        ours = sum(self._is_ours(one.name) for one in pulse.running)
        limits = [worker.limit_bytes for worker in pulse.workers if worker.limit_bytes]
        return WorkersSeen(
            len(pulse.workers),
            len(pulse.workers) - len(pulse.idle),
            ours,
            tuple(worker.memory_bytes for worker in pulse.workers),
            min(limits, default=0),
        )

    def _is_ours(self, name: TaskName) -> bool:
        return isinstance(name, tuple) and str(name[0]).endswith(self._own)

    def _judge(self, workers: list[str]) -> None:
        """Ask workers what they run; those that run something else get no task."""
        if workers:
            ask = partial(self._client.run, workers=workers, on_error="return")
            with suppress(TransientError):  # asked again with the next pulse
                self.roll.enter(self._ask(ask, versions_here))

    def _ask(self, question: Callable[..., Any], *arguments: object) -> Any:
        """Return the scheduler's answer; TransientError if it does not come in time."""
        limit_s = self._settings.answer_timeout_s
        try:
            return self._client.sync(question, *arguments, callback_timeout=limit_s)
        except NO_ANSWER as error:
            raise TransientError(
                f"scheduler: no answer within {limit_s:g} s ({error!r}); resume the run"
            ) from error
        except CLOSED as error:
            if self.is_connected:
                raise
            raise _gone(error) from error  # the client gave up, and closed itself, just before

    def submit(
        self, task: Task, key: TaskKey, *, is_alone: bool = False, on: str | None = None
    ) -> Future:
        """Hand a task over.

        Parameters
        ----------
        task : Task
        key : TaskKey
            Of it, known already: to find it takes a digest of all that the task is.
        is_alone : bool
            Whether nothing else runs, so that it may have more memory.
        on : str or None
            Address of the worker that is to have it, while that lives.
        """
        # A tuple whose first part is the same for a whole stage makes one group of tasks, which
        # the scheduler queues; others it would hand out at once (distributed#8133). The number
        # keeps a second try apart from the first.
        self._handed_over += 1
        name = (f"{key.stage}-{self._own}", key.digest, self._handed_over)
        try:
            with announcing(task):
                return self._client.submit(
                    run_on_worker,
                    task,
                    self._objects,
                    self._settings.memory_when_alone if is_alone else 1.0,
                    self.roll.wanted,
                    key=name,
                    pure=False,
                    **self._where(task, on),
                )
        except NO_ANSWER as error:
            raise _gone(error) from error
        except CLOSED as error:
            if self.is_connected:
                raise
            raise _gone(error) from error

    def _where(self, task: Task, on: str | None) -> dict[str, Any]:
        """Return what tells dask which worker a task prefers; another takes it if that is gone."""
        if on is not None:
            return {"workers": on, "allow_other_workers": True}
        if self.roll.refused and self._addresses:
            return {"workers": list(self._addresses), "allow_other_workers": True}
        if not isinstance(task, StaysAtHome) or not self._addresses:
            return {}
        home = self._addresses[task.home % len(self._addresses)]
        return {"workers": home, "allow_other_workers": True}

    def reports(self, futures: list[Future]) -> list[TaskReport]:
        """Return what tasks that have ended well gave, in one journey.

        Raises
        ------
        TransientError, KilledWorker
            A worker went away with some of it.
        """
        given: list[TaskReport] = self._ask(self._client.gather, futures)
        return given

    def cancel(self, futures: list[Future]) -> None:
        """Tell the scheduler that nobody waits for these tasks, if it is there."""
        if futures and self.is_connected:
            self._ask(self._client.cancel, futures)

    def forget(self, futures: list[Future]) -> None:
        """Cancel tasks and wait until the scheduler has none of them: a cancel takes its time."""
        self.cancel(futures)
        names = tuple(future.key for future in futures)
        last_s = time.monotonic() + self._settings.answer_timeout_s
        while self._ask(self._client.run_on_scheduler, known, names):
            if time.monotonic() > last_s:
                raise TransientError(
                    f"scheduler: it has not let go of {counted(len(names), 'task')} within "
                    f"{self._settings.answer_timeout_s:g} s; resume the run"
                )
            time.sleep(_LETTING_GO_S)

    def restart(self, addresses: Iterable[str]) -> None:
        """Kill the processes of workers; their nannies start others."""
        named = list(dict.fromkeys(addresses))
        if not named:
            return
        half_s = self._settings.answer_timeout_s / 2
        restart = partial(self._client.restart_workers, timeout=half_s, raise_for_error=False)
        # No answer is one worker less; the next pulse tells if it was the last. A worker that the
        # scheduler does not know any more has died meanwhile.
        with suppress(TransientError, KeyError):
            self._ask(restart, named)


def _gone(error: BaseException) -> TransientError:
    return TransientError(f"scheduler: it is gone ({error!r}); resume the run")
