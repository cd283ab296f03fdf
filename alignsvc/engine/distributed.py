"""The executor that hands tasks to dask workers.

dask keeps nothing that matters: a task's effect is its product and receipt in the store, and
what comes back is a small report. The order in which tasks end is nobody's business but the
listener's.
"""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call,type-arg"

from __future__ import annotations

import queue
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, TypeAlias

from distributed import Client, Future
from distributed.scheduler import KilledWorker
from threadpoolctl import threadpool_limits

from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.task import StaysAtHome, Task
from alignsvc.engine.base import (
    RunContext,
    TaskEnded,
    TaskRetried,
    TaskStarted,
    Waited,
    WorkerLeftOut,
)
from alignsvc.engine.pulse import Pulse, Running, TaskName, known, take_pulse
from alignsvc.engine.retry import Action, RetryPolicy, Trouble
from alignsvc.engine.versions import (
    Versions,
    WorkerRefused,
    WorkerRoll,
    require_versions,
    versions_here,
)
from alignsvc.errors import AlignError, ConfigError, ResourceError, RunStoreError, TransientError
from alignsvc.io.objects import ObjectStore
from alignsvc.tasks.base import TaskReport, failed, receipt_of, run_task

Answer: TypeAlias = TaskReport | BaseException

#: Longest time that a task may run, unless told otherwise: tasks take seconds to minutes.
TASK_TIMEOUT_S = 3600.0
#: Errors by which a connection to a scheduler, or an answer that does not come, shows itself.
_NO_ANSWER = (OSError, TimeoutError, CancelledError)
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
    no_worker_timeout_s : float
        How long a run waits while there is no worker at all.
    answer_timeout_s : float
        How long the scheduler, or the worker that holds a report, may take to answer.
    poll_s : float
        How often the scheduler is asked how workers are.
    expected_workers : int
        So many may come if there are tasks for them: as many are handed over.
    policy : RetryPolicy
    """

    window: int = 3
    task_timeout_s: float = TASK_TIMEOUT_S
    no_worker_timeout_s: float = 600.0
    answer_timeout_s: float = 60.0
    poll_s: float = 1.0
    expected_workers: int = 1
    policy: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(slots=True)
class _Handed:
    """A task that dask has now."""

    task: Task
    future: Future
    troubles: Counter[Trouble]


def run_on_worker(task: Task, objects: ObjectStore, wanted: Versions) -> TaskReport:
    """Run a task in a worker's process, with one thread of linear algebra from now on.

    Workers of our own are started so. Those of somebody else's scheduler may not be, and sums
    over several threads have other last bits. (0.7 ms; libraries may have come with the task.)
    """
    require_versions(wanted)
    threadpool_limits(limits=1)
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
        self._own = f"{context.run_id}-{uuid.uuid4().hex[:8]}"
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
        stage = _Stage(self, tasks)
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
        except _NO_ANSWER as error:
            raise TransientError(
                f"scheduler: no answer within {limit_s:g} s ({error!r}); resume the run"
            ) from error

    def _submit(self, task: Task) -> Future:
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
                self._roll.wanted,
                key=name,
                pure=False,
                **self._where(task),
            )
        except _NO_ANSWER as error:
            raise TransientError(f"scheduler: it is gone ({error!r}); resume the run") from error

    def _where(self, task: Task) -> dict[str, Any]:
        """Return what tells dask which worker a task prefers; another takes it if that is gone."""
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
                    f"scheduler: it has not let go of {len(names)} tasks within "
                    f"{self._settings.answer_timeout_s:g} s; resume the run"
                )
            time.sleep(_LETTING_GO_S)

    def _restart(self, worker: str) -> None:
        """Kill a worker's process; its nanny starts another."""
        half_s = self._settings.answer_timeout_s / 2
        restart = partial(self._client.restart_workers, timeout=half_s, raise_for_error=False)
        # No answer is one worker less; the next pulse tells if it was the last. A worker that the
        # scheduler does not know any more has died meanwhile.
        with suppress(TransientError, KeyError):
            self._ask(restart, [worker])


class _Stage:
    """One call of `DaskExecutor.run`: what was handed over, what ended, what is left to try."""

    def __init__(self, executor: DaskExecutor, tasks: Iterable[Task]) -> None:
        self._executor = executor
        self._context = executor._context
        self._settings = executor._settings
        self._source = iter(tasks)
        self._handed: dict[TaskName, _Handed] = {}
        self._suspects: deque[tuple[Task, Counter[Trouble]]] = deque()
        # Those that only workers which are refused were there for.
        self._held: deque[tuple[Task, Counter[Trouble]]] = deque()
        # Filled by dask's callback thread, emptied here.
        self._ended: queue.SimpleQueue[TaskName] = queue.SimpleQueue()
        self._worker_seen_s = self._asked_s = time.monotonic()

    def outcomes(self) -> Iterator[TaskOutcome]:
        """Yield each task's outcome."""
        while self._has_work():
            names = self._next_ended()
            for name, report in self._answers(names):
                outcome = self._end_of(name, report)
                if outcome is not None:
                    yield outcome
            if time.monotonic() - self._asked_s >= self._settings.poll_s:
                yield from self._watch()

    def give_up(self) -> None:
        """Tell dask to forget what has not ended."""
        futures = [handed.future for handed in self._handed.values()]
        self._handed.clear()
        with suppress(TransientError):  # a scheduler that is gone has forgotten them already
            self._executor._cancel(futures)

    def _has_work(self) -> bool:
        """Hand over as many tasks as there is room for; return whether any are out."""
        while self._held and self._executor.workers:
            self._hand_over(*self._held.popleft())
        room = self._settings.window * max(self._settings.expected_workers, self._executor.workers)
        while len(self._handed) + len(self._held) < room:
            task = next(self._source, None)
            if task is None:
                break
            self._context.on_event(TaskStarted(task.key))
            self._hand_over(task, Counter())
        if not self._handed and self._suspects:
            self._hand_over(*self._suspects.popleft())
        return bool(self._handed or self._held)

    def _hand_over(self, task: Task, troubles: Counter[Trouble]) -> None:
        future = self._executor._submit(task)
        self._handed[future.key] = _Handed(task, future, troubles)
        future.add_done_callback(lambda done: self._ended.put(done.key))

    def _next_ended(self) -> list[TaskName]:
        """Return the names of tasks that ended; none if none did for a while."""
        names = []
        try:
            names.append(self._ended.get(timeout=self._settings.poll_s))
            while True:
                names.append(self._ended.get_nowait())
        except queue.Empty:
            # Those that timed out in the meantime are no longer waited for.
            return [name for name in names if name in self._handed]

    def _answers(self, names: list[TaskName]) -> list[tuple[TaskName, Answer]]:
        """Return the report of each task, or the error that it ended with."""
        futures = [self._handed[name].future for name in names]
        if all(future.status == "finished" for future in futures):
            try:  # one journey for all of them: most of what a task costs is waiting for it
                return list(
                    zip(
                        names,
                        self._executor._ask(self._executor._client.gather, futures),
                        strict=True,
                    )
                )
            except (AlignError, KilledWorker):
                pass  # a worker went away with some: see below which
        return [(name, self._answer(self._handed[name].future)) for name in names]

    def _answer(self, future: Future) -> Answer:
        limit_s = self._settings.answer_timeout_s
        try:
            if future.status == "error":
                error: BaseException = future.exception(timeout=limit_s)
                return error
            report: TaskReport = future.result(timeout=limit_s)
            return report
        except (AlignError, KilledWorker, *_NO_ANSWER) as error:
            return error

    def _end_of(self, name: TaskName, answer: Answer) -> TaskOutcome | None:
        """Return the outcome of a task that ended; None if it is tried again."""
        if not isinstance(answer, TaskReport):
            return self._after(name, _trouble(answer), answer)
        del self._handed[name]
        return self._announced(answer)

    def _after(self, name: TaskName, trouble: Trouble, error: BaseException) -> TaskOutcome | None:
        """Do what the policy says of a task that ended without an outcome."""
        handed = self._handed.pop(name)
        if self._is_refusal(error):
            self._held.append((handed.task, handed.troubles))
            return None
        handed.troubles[trouble] += 1
        decision = self._settings.policy(trouble, handed.troubles[trouble])
        task, why = handed.task, _text(trouble, error, handed.troubles[trouble])
        if decision.action is Action.STOP or self._executor._client.status != "running":
            if isinstance(error, AlignError):
                raise error
            raise TransientError(f"{task.key.stage} of {task.key.subject}: {why}") from error
        if decision.action is Action.FAIL and decision.kind is not None:
            # It may have ended well at the last moment; the receipt decides, as in a resumed run.
            receipt = receipt_of(task, self._context.objects).receipt
            outcome = receipt.outcome if receipt else failed(task.key, decision.kind, why)
            return self._announced(TaskReport(outcome))
        self._context.on_event(TaskRetried(task.key, handed.troubles.total() + 1, why))
        if decision.action is Action.RETRY_ALONE:
            self._suspects.append((task, handed.troubles))
        else:
            self._hand_over(task, handed.troubles)
        return None

    def _is_refusal(self, error: BaseException) -> bool:
        """Return whether a task ended so because its worker runs another version."""
        before = self._executor._roll.refused
        if isinstance(error, WorkerRefused):
            self._executor._roll.refuse(error.worker, str(error))
        elif _trouble(error) is not Trouble.TRANSPORT:
            return False
        # What is sent to another version may not even be readable there.
        self._executor._pulse()
        return isinstance(error, WorkerRefused) or self._executor._roll.refused != before

    def _announced(self, report: TaskReport) -> TaskOutcome:
        self._context.on_event(TaskEnded(report.outcome, report.is_reused))
        return report.outcome

    def _watch(self) -> Iterator[TaskOutcome]:
        """Ask how the workers are; end what runs too long, try again what was forgotten."""
        self._context.on_event(Waited())
        pulse = self._executor._pulse()
        self._asked_s = time.monotonic()
        if pulse.threads:
            self._worker_seen_s = self._asked_s
        elif self._asked_s - self._worker_seen_s > self._settings.no_worker_timeout_s:
            raise TransientError(
                f"no worker for {self._settings.no_worker_timeout_s:g} s, "
                f"{len(self._handed) + len(self._held)} tasks wait; see why none starts, then "
                f"resume{'; ' * bool(self._executor._roll.refused)}{self._executor._roll.reasons}"
            )
        limit_s = self._settings.task_timeout_s
        late = [one for one in pulse.running if one.seconds > limit_s and one.name in self._handed]
        if late:
            yield from self._timed_out(late)
        lost = [name for name, handed in self._handed.items() if handed.future.status == "lost"]
        for name in lost:
            self._after(name, Trouble.FUTURE_LOST, CancelledError())

    def _timed_out(self, late: list[Running]) -> Iterator[TaskOutcome]:
        # All of them forgotten first, also those that only wait behind the one that hangs: what a
        # worker leaves the scheduler gives to the next one, which would hang for ever with it.
        self._executor._forget([self._handed[one.name].future for one in late])
        for worker in dict.fromkeys(one.worker for one in late):
            self._executor._restart(worker)
        for one in late:
            error = TimeoutError(f"ran {one.seconds:.0f} s on a worker")
            outcome = self._after(one.name, Trouble.TIMEOUT, error)
            if outcome is not None:
                yield outcome


def _trouble(error: BaseException) -> Trouble:
    """Return what an error that came instead of a report means."""
    if isinstance(error, KilledWorker):
        return Trouble.WORKER_LOST
    if isinstance(error, TransientError):
        return Trouble.TRANSIENT
    if isinstance(error, (ResourceError, RunStoreError)):
        return Trouble.FATAL
    if isinstance(error, _NO_ANSWER):
        return Trouble.FUTURE_LOST
    return Trouble.TRANSPORT


def _text(trouble: Trouble, error: BaseException, times: int) -> str:
    """Return the sentence of a trouble."""
    if trouble is Trouble.WORKER_LOST:
        if times == 1:
            return "workers died that it was on; it is tried once more, alone"
        return (
            "its worker died, whichever ran it, alone too: killed, crashed or out of memory; "
            "give each worker more memory, or look into the file"
        )
    if trouble is Trouble.TIMEOUT:
        return f"it {error}, longer than a task may; its worker was restarted"
    if trouble is Trouble.FUTURE_LOST:
        return f"the scheduler lost it, {times} times ({error!r})"
    return f"{type(error).__name__}: {error}"
