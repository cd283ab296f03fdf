"""The executor that hands tasks to dask workers.

dask keeps nothing that matters: a task's effect is its product and receipt in the store, and
what comes back is a small report. The order in which tasks end is nobody's business but the
listener's.
"""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call,type-arg"

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any
from uuid import uuid4

from distributed import Client, Future, get_worker
from threadpoolctl import threadpool_limits

from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.task import StaysAtHome, Task
from alignsvc.engine.base import RunContext, WorkerLeftOut
from alignsvc.engine.memory import memory_allowed
from alignsvc.engine.pulse import Pulse, known, take_pulse
from alignsvc.engine.retry import RetryPolicy
from alignsvc.engine.stage import NO_ANSWER, Stage
from alignsvc.engine.stragglers import StragglerRule
from alignsvc.engine.versions import Versions, WorkerRoll, require_versions, versions_here
from alignsvc.errors import ConfigError, TransientError
from alignsvc.io.objects import ObjectStore
from alignsvc.tasks.base import TaskReport, run_task
from alignsvc.wording import counted

#: Longest time that a task may run, unless told otherwise: tasks take seconds to minutes.
TASK_TIMEOUT_S = 3600.0
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
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    is_straggler: StragglerRule = field(default_factory=StragglerRule)


def run_on_worker(
    task: Task, objects: ObjectStore, memory_share: float, wanted: Versions
) -> TaskReport:
    """Run a task in a worker's process, with one thread of linear algebra from now on.

    Workers of our own are started so. Those of somebody else's scheduler may not be, and sums
    over several threads have other last bits. (0.7 ms; libraries may have come with the task.)

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
    threadpool_limits(limits=1)
    limit_bytes = get_worker().memory_manager.memory_limit
    with memory_allowed(limit_bytes and int(memory_share * limit_bytes)):
        return run_task(task, objects)


class DaskExecutor:
    """Tasks on the workers of a dask scheduler, a bounded number at a time.

    Parameters
    ----------
    client : distributed.Client
        Connected; closed with the executor.
    context : RunContext
    settings : DaskSettings
    close_cluster : callable
        Ends the workers and the scheduler, if they are this executor's own.
    """

    def __init__(
        self,
        client: Client,
        context: RunContext,
        settings: DaskSettings,
        close_cluster: Callable[[], None],
    ) -> None:
        self._client = client
        self._context = context
        self._settings = settings
        self._close_cluster = close_cluster
        self._roll = WorkerRoll(lambda *refused: context.on_event(WorkerLeftOut(*refused)))
        self._threads = self._pulse().threads
        if self._roll.refused and not self._threads:
            raise ConfigError(self._roll.reasons)
        # Two runs of one identity, or two drivers of one run, are told apart on one scheduler.
        self._own = f"{context.run_id}-{uuid4().hex[:8]}"
        self._handed_over = 0
        self._is_closed = False

    @property
    def workers(self) -> int:
        """How many tasks can run at one time, when last asked."""
        return self._threads

    @property
    def dashboard_link(self) -> str:
        """URL of dask's dashboard; empty if there is none."""
        return str(self._client.dashboard_link or "")

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        """Yield one outcome for each task, as they end (see `engine.base.Executor`)."""
        stage = Stage(self, tasks)
        try:
            yield from stage.outcomes()
        finally:
            stage.give_up()

    def close(self) -> None:
        """Disconnect, and end the workers if they are this executor's own."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._client.close(timeout=self._settings.answer_timeout_s)
        finally:
            self._close_cluster()

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pulse(self) -> Pulse:
        refused = self._roll.refused
        every: Pulse = self._ask(self._client.run_on_scheduler, take_pulse)
        pulse = every.without(refused)
        self._threads, self._addresses = pulse.threads, pulse.addresses
        self._judge(self._roll.new_among(pulse.addresses))
        return self._pulse() if self._roll.refused != refused else pulse

    def _judge(self, workers: list[str]) -> None:
        """Ask workers what they run; those that run something else get no task."""
        if workers:
            ask = partial(self._client.run, workers=workers, on_error="return")
            with suppress(TransientError):  # asked again with the next pulse
                self._roll.enter(self._ask(ask, versions_here))

    def _ask(self, question: Callable[..., Any], *arguments: object) -> Any:
        """Return the scheduler's answer; TransientError if it does not come in time."""
        limit_s = self._settings.answer_timeout_s
        try:
            return self._client.sync(question, *arguments, callback_timeout=limit_s)
        except NO_ANSWER as error:
            raise TransientError(
                f"scheduler: no answer within {limit_s:g} s ({error!r}); resume the run"
            ) from error

    def _submit(self, task: Task, *, is_alone: bool = False, on: str | None = None) -> Future:
        # A tuple whose first part is the same for a whole stage makes one group of tasks, which
        # the scheduler queues; others it would hand out at once (distributed#8133). The number
        # keeps a second try apart from the first.
        self._handed_over += 1
        name = (f"{task.key.stage}-{self._own}", task.key.digest, self._handed_over)
        try:
            return self._client.submit(
                run_on_worker,
                task,
                self._context.objects,
                self._settings.memory_when_alone if is_alone else 1.0,
                self._roll.wanted,
                key=name,
                pure=False,
                **self._where(task, on),
            )
        except NO_ANSWER as error:
            raise TransientError(f"scheduler: it is gone ({error!r}); resume the run") from error

    def _where(self, task: Task, on: str | None) -> dict[str, Any]:
        """Return what tells dask which worker a task prefers; another takes it if that is gone."""
        if on is not None:
            return {"workers": on, "allow_other_workers": True}
        if self._roll.refused and self._addresses:
            return {"workers": list(self._addresses), "allow_other_workers": True}
        if not isinstance(task, StaysAtHome) or not self._addresses:
            return {}
        home = self._addresses[task.home % len(self._addresses)]
        return {"workers": home, "allow_other_workers": True}

    def _cancel(self, futures: list[Future]) -> None:
        if futures and self._client.status == "running":
            self._ask(self._client.cancel, futures)

    def _forget(self, futures: list[Future]) -> None:
        """Cancel tasks and wait until the scheduler has none of them: a cancel takes its time."""
        self._cancel(futures)
        names = tuple(future.key for future in futures)
        last_s = time.monotonic() + self._settings.answer_timeout_s
        while self._ask(self._client.run_on_scheduler, known, names):
            if time.monotonic() > last_s:
                raise TransientError(
                    f"scheduler: it has not let go of {counted(len(names), 'task')} within "
                    f"{self._settings.answer_timeout_s:g} s; resume the run"
                )
            time.sleep(_LETTING_GO_S)

    def _restart(self, workers: Iterable[str]) -> None:
        """Kill the processes of workers; their nannies start others."""
        named = list(dict.fromkeys(workers))
        if not named:
            return
        half_s = self._settings.answer_timeout_s / 2
        restart = partial(self._client.restart_workers, timeout=half_s, raise_for_error=False)
        # No answer is one worker less; the next pulse tells if it was the last. A worker that the
        # scheduler does not know any more has died meanwhile.
        with suppress(TransientError, KeyError):
            self._ask(restart, named)
