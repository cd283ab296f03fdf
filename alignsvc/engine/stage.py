"""One stage on dask workers: what was handed over, what ended, what is left to try."""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call,type-arg"

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from distributed import Future
from distributed.scheduler import KilledWorker

from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.task import Task
from alignsvc.engine.base import (
    RunContext,
    TaskDoubled,
    TaskRetried,
    TaskStarted,
    Waited,
    ended_with,
)
from alignsvc.engine.dask_workers import CLOSED, NO_ANSWER, DaskSettings, DaskWorkers
from alignsvc.engine.pulse import Pulse, Running, TaskName
from alignsvc.engine.retry import Action, Trouble
from alignsvc.engine.troubles import failed_by, text_of
from alignsvc.engine.versions import WorkerRefused
from alignsvc.errors import (
    AlignError,
    MemoryShortage,
    ResourceError,
    RunStoreError,
    TransientError,
)
from alignsvc.tasks.base import TaskReport
from alignsvc.wording import counted

Answer: TypeAlias = TaskReport | BaseException


@dataclass(slots=True)
class _Handed:
    """A task that dask has now.

    `twin` is the name of its second start, or of its first; they count troubles together.
    `waits_since_s` is when it was first seen to wait at the head of a worker's queue.
    """

    task: Task
    future: Future
    troubles: Counter[Trouble]
    is_alone: bool = False
    twin: TaskName | None = None
    waits_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Later:
    """A task that is tried again, but not before a time."""

    due_s: float
    task: Task
    troubles: Counter[Trouble]


class Stage:
    """One call of `DaskExecutor.run`.

    Parameters
    ----------
    workers : DaskWorkers
    context : RunContext
    settings : DaskSettings
    tasks : iterable of Task
        Taken as there is room for them.
    """

    def __init__(
        self,
        workers: DaskWorkers,
        context: RunContext,
        settings: DaskSettings,
        tasks: Iterable[Task],
    ) -> None:
        self._workers = workers
        self._context = context
        self._settings = settings
        self._source = iter(tasks)
        self._is_drained = False
        self._handed: dict[TaskName, _Handed] = {}
        self._later: list[_Later] = []
        self._suspects: deque[tuple[Task, Counter[Trouble]]] = deque()
        # Those that only workers which are refused were there for.
        self._held: deque[tuple[Task, Counter[Trouble]]] = deque()
        self._took_s: list[float] = []
        # Filled by dask's callback thread, emptied here.
        self._ended: queue.SimpleQueue[TaskName] = queue.SimpleQueue()
        self._worker_seen_s = self._asked_s = time.monotonic()

    def outcomes(self) -> Iterator[TaskOutcome]:
        """Yield each task's outcome."""
        while self._has_work():
            names = self._next_ended()
            for name, report in self._answers(names):
                if name not in self._handed:
                    continue  # its twin was quicker by a moment
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
            self._workers.cancel(futures)

    def _has_work(self) -> bool:
        """Hand over as many tasks as there is room for; return whether any are to come."""
        now_s = time.monotonic()
        due = [one for one in self._later if one.due_s <= now_s]
        self._later = [one for one in self._later if one.due_s > now_s]
        for one in due:
            self._hand_over(one.task, one.troubles)
        while self._held and self._workers.threads:
            self._hand_over(*self._held.popleft())
        room = self._settings.window * max(self._settings.expected_workers, self._workers.threads)
        while len(self._handed) + len(self._held) < room and not self._is_drained:
            task = next(self._source, None)
            if task is None:
                self._is_drained = True
            else:
                key = task.key
                self._context.on_event(TaskStarted(key))
                self._keep(_Handed(task, self._workers.submit(task, key), Counter()))
        if not (self._handed or self._later or self._held) and self._suspects:
            self._hand_over(*self._suspects.popleft(), is_alone=True)
        return bool(self._handed or self._later or self._held)

    def _hand_over(self, task: Task, troubles: Counter[Trouble], *, is_alone: bool = False) -> None:
        future = self._workers.submit(task, task.key, is_alone=is_alone)
        self._keep(_Handed(task, future, troubles, is_alone))

    def _keep(self, handed: _Handed) -> None:
        self._handed[handed.future.key] = handed
        handed.future.add_done_callback(lambda done: self._ended.put(done.key))

    def _next_ended(self) -> list[TaskName]:
        """Return the names of tasks that ended; none if none did for a while."""
        limit_s = self._settings.poll_s
        if self._later:
            next_s = min(one.due_s for one in self._later) - time.monotonic()
            limit_s = min(limit_s, max(0.0, next_s))
        names = []
        try:
            names.append(self._ended.get(timeout=limit_s))
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
                return list(zip(names, self._workers.reports(futures), strict=True))
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
        except (AlignError, KilledWorker, *NO_ANSWER, *CLOSED) as error:
            return error

    def _end_of(self, name: TaskName, answer: Answer) -> TaskOutcome | None:
        """Return the outcome of a task that ended; None if it is tried again."""
        if not isinstance(answer, TaskReport):
            return self._after(name, self._trouble(answer), answer)
        handed = self._handed.pop(name)
        if handed.twin in self._handed:
            self._end_second(handed.twin)
        if not answer.is_reused:
            self._took_s.append(answer.outcome.seconds)
        return self._announced(answer)

    def _trouble(self, error: BaseException) -> Trouble:
        """Return what an error that came instead of a report means."""
        if isinstance(error, KilledWorker):
            short = self._workers.pulse().short_of_memory
            return Trouble.MEMORY if error.last_worker.address in short else Trouble.WORKER_LOST
        if isinstance(error, MemoryShortage):
            return Trouble.MEMORY
        if isinstance(error, TransientError):
            return Trouble.TRANSIENT
        if isinstance(error, (ResourceError, RunStoreError)):
            return Trouble.FATAL
        return Trouble.FUTURE_LOST if isinstance(error, NO_ANSWER) else Trouble.TRANSPORT

    def _after(self, name: TaskName, trouble: Trouble, error: BaseException) -> TaskOutcome | None:
        """Do what the policy says of a task that ended without an outcome."""
        handed = self._handed.pop(name)
        if self._is_refusal(error):
            if handed.twin in self._handed:
                self._handed[handed.twin].twin = None
            else:
                self._held.append((handed.task, handed.troubles))
            return None
        handed.troubles[trouble] += 1
        if handed.twin in self._handed and trouble is not Trouble.FATAL:
            self._handed[handed.twin].twin = None  # which goes on, and has the last word
            return None
        task, times = handed.task, handed.troubles[trouble]
        decision = self._settings.policy(trouble, times, task.key.digest)
        why = text_of(trouble, error, times)
        if decision.action is Action.STOP or not self._workers.is_connected:
            if isinstance(error, AlignError):
                raise error
            raise TransientError(f"{task.key.stage} of {task.key.subject}: {why}") from error
        if decision.action is Action.FAIL and decision.kind is not None:
            return self._announced(failed_by(task, self._context.objects, decision.kind, why))
        self._context.on_event(TaskRetried(task.key, handed.troubles.total() + 1, why))
        if decision.action is Action.RETRY_ALONE:
            self._suspects.append((task, handed.troubles))
        else:
            due_s = time.monotonic() + decision.wait_s
            self._later.append(_Later(due_s, task, handed.troubles))
        return None

    def _is_refusal(self, error: BaseException) -> bool:
        """Return whether a task ended so because its worker runs another version."""
        roll = self._workers.roll
        before = roll.refused
        if isinstance(error, WorkerRefused):
            roll.refuse(error.worker, str(error))
        elif self._trouble(error) is not Trouble.TRANSPORT:
            return False
        # What is sent to another version may not even be readable there.
        self._workers.pulse()
        return isinstance(error, WorkerRefused) or roll.refused != before

    def _announced(self, report: TaskReport) -> TaskOutcome:
        self._context.on_event(ended_with(report))
        return report.outcome

    def _watch(self) -> Iterator[TaskOutcome]:
        """Ask how the workers are; end what runs too long, try again what was forgotten."""
        self._context.on_event(Waited())
        pulse = self._workers.pulse()
        self._asked_s = time.monotonic()
        if pulse.threads:
            self._worker_seen_s = self._asked_s
        elif self._asked_s - self._worker_seen_s > self._settings.no_worker_timeout_s:
            raise TransientError(
                f"no worker for {self._settings.no_worker_timeout_s:g} s, "
                f"{counted(len(self._handed) + len(self._held), 'task waits', 'tasks wait')}; see "
                "why none starts, then "
                f"resume{'; ' * bool(self._workers.roll.refused)}{self._workers.roll.reasons}"
            )
        limit_s = self._settings.task_timeout_s
        late = [one for one in self._ours(pulse) if one.seconds > limit_s]
        if late:
            yield from self._timed_out(late)
        blocked = self._blocked(self._ours(pulse))
        if blocked:
            self._unblock(blocked)
        self._hand_over_again([name for name in pulse.stranded if name in self._handed])
        self._double(self._ours(pulse), pulse.idle)
        lost = [name for name, handed in self._handed.items() if handed.future.status == "lost"]
        for name in lost:
            self._after(name, Trouble.FUTURE_LOST, CancelledError())

    def _ours(self, pulse: Pulse) -> list[Running]:
        return [one for one in pulse.running if one.name in self._handed]

    def _timed_out(self, late: list[Running]) -> Iterator[TaskOutcome]:
        self._end_on_workers(late)
        for one in late:
            trouble = Trouble.TIMEOUT if one.is_said else Trouble.SILENT
            error = TimeoutError(f"ran {one.seconds:.0f} s on a worker")
            outcome = self._after(one.name, trouble, error)
            if outcome is not None:
                yield outcome

    def _end_on_workers(self, tasks: Sequence[Running]) -> None:
        """Let dask forget tasks, and restart the workers that they are on."""
        # All of them forgotten first, also those that only wait behind the one that hangs: what a
        # worker leaves the scheduler gives to the next one, which would hang for ever with it.
        self._workers.forget([self._handed[one.name].future for one in tasks])
        self._workers.restart([one.worker for one in tasks])

    def _blocked(self, ours: list[Running]) -> list[Running]:
        """Return the tasks that wait for too long at the head of the queue of a worker that talks.

        dask cannot end what runs: a task that was cancelled, in a stage that was left say, stays on
        its worker, where the scheduler, which has forgotten it, hands out the next ones. And a
        worker that is full of memory begins nothing.
        """
        now_s, limit_s = time.monotonic(), self._settings.blocked_timeout_s
        waiting = {one.name for one in ours if not one.is_said and one.seconds < limit_s}
        for name, handed in self._handed.items():
            if name not in waiting:
                handed.waits_since_s = None
            elif handed.waits_since_s is None:
                handed.waits_since_s = now_s
        since_s = {name: handed.waits_since_s for name, handed in self._handed.items()}
        return [one for one in ours if now_s - (since_s[one.name] or now_s) > limit_s]

    def _unblock(self, blocked: list[Running]) -> None:
        self._end_on_workers(blocked)
        error = TimeoutError(f"within {self._settings.blocked_timeout_s:g} s")
        for one in blocked:
            self._after(one.name, Trouble.BLOCKED, error)

    def _hand_over_again(self, stranded: Sequence[TaskName]) -> None:
        """Hand over anew what waits for workers that are gone: nobody's fault."""
        if stranded:
            self._workers.forget([self._handed[name].future for name in stranded])
        for one in [self._handed.pop(name) for name in stranded]:
            if one.twin in self._handed:
                self._handed[one.twin].twin = None
            else:
                (self._suspects if one.is_alone else self._held).append((one.task, one.troubles))

    def _double(self, ours: list[Running], idle: Sequence[str]) -> None:
        """Start stragglers a second time on workers that nothing is left for."""
        if not self._is_drained or self._later:
            return
        free = deque(idle)
        for one in sorted(ours, key=lambda one: -one.seconds):
            handed = self._handed[one.name]
            if not free or not self._settings.is_straggler(one.seconds, self._took_s):
                return
            if handed.is_alone or handed.twin is not None:
                continue
            future = self._workers.submit(handed.task, handed.task.key, on=free.popleft())
            handed.twin = future.key
            self._keep(_Handed(handed.task, future, handed.troubles, twin=one.name))
            self._context.on_event(TaskDoubled(handed.task.key, one.seconds))

    def _end_second(self, name: TaskName) -> None:
        """End the one of two starts that nobody waits for any more.

        Its worker with it, if it runs: it would write when its stage is long over, and be in the
        way of the next one.
        """
        runs = [one for one in self._workers.pulse().running if one.name == name]
        self._workers.forget([self._handed[name].future])
        del self._handed[name]
        self._workers.restart([one.worker for one in runs])
