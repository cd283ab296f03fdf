"""The stages of a pass: each makes its tasks, runs them, and says what came of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import Status, TaskOutcome, TaskStatus
from alignsvc.domain.task import Task
from alignsvc.engine import base as engine
from alignsvc.engine.base import Executor, TaskEvent
from alignsvc.errors import ResourceError, TransientError
from alignsvc.io import journal
from alignsvc.io.journal import ExposureEnded
from alignsvc.io.journal_store import Journal
from alignsvc.io.places import Place
from alignsvc.io.worker_samples import WorkerSample
from alignsvc.reasons import FailureKind
from alignsvc.run.planning.plan import Plan, PlannedExposure
from alignsvc.run.planning.sky_order import NO_ORDER, SkyOrder, along_the_sky
from alignsvc.run.records import events
from alignsvc.run.records.worker_words import workers_then
from alignsvc.tasks.memory import occupied_bytes

#: How often a task of the mosaic is tried before the run stops.
_TRIES = 3


class Heartbeat(Protocol):
    """Called often while a run goes on; raises if the run belongs to another driver by now."""

    def __call__(self) -> None:
        """Give a sign of life."""
        ...


class ReuseCount:
    """Counts tasks that a receipt answered; of a stage's others, keeps names and largest memory.

    Given to an executor as its listener.

    Parameters
    ----------
    listener : Listener
        Is told how workers are, and of those that are left out.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        listener: events.Listener = events.silent,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self.count = 0
        self.is_last_reused = False
        self.peak_bytes = 0
        self.anew: list[str] = []
        self._listener = listener

    def begin_stage(self) -> None:
        """Forget what was kept of the stage before; the count goes on."""
        self.peak_bytes, self.anew = 0, []

    def __call__(self, event: TaskEvent) -> None:
        """Take one event of the executor."""
        if isinstance(event, engine.TaskEnded):
            self.count += event.is_reused
            self.is_last_reused = event.is_reused
            self.peak_bytes = max(self.peak_bytes, event.peak_bytes)
            if not event.is_reused:
                self.anew.append(event.outcome.key.subject)
        if isinstance(event, engine.WorkerLeftOut):
            self._listener(events.Note(event.why))
        if isinstance(event, engine.WorkersSeen):
            now_s, workers = self._clock(), workers_then(event, is_working=True)
            sample = WorkerSample(0, now_s, now_s, occupied_bytes(), 0, workers)
            self._listener(events.Sampled(sample))


@dataclass(frozen=True, slots=True, eq=False)
class Tools:
    """What a driver works with.

    Parameters
    ----------
    run : Place
        The run directory.
    plan : Plan
    executor : Executor
    journal : Journal
    listener : Listener
    heartbeat : Heartbeat
    reuse : ReuseCount
        The executor's own count.
    order : mapping of str to int
        Places on the sky, in whose order tasks are handed out.
    """

    run: Place
    plan: Plan
    executor: Executor
    journal: Journal
    listener: events.Listener
    heartbeat: Heartbeat
    reuse: ReuseCount
    order: SkyOrder = field(default_factory=lambda: NO_ORDER)


def run_stage(
    tools: Tools, stage: str, pass_number: int, tasks: Sequence[Task]
) -> tuple[TaskOutcome, ...]:
    """Run tasks and return their outcomes in the order of the tasks.

    What numbers follow from outcomes must not depend on the order in which tasks end: this is
    where that order is forgotten.
    """
    tools.journal.append(journal.StageStarted(stage, pass_number, len(tasks)))
    tools.listener(events.StageStarted(stage, pass_number, len(tasks)))
    reused_before = tools.reuse.count
    tools.reuse.begin_stage()
    by_key: dict[str, TaskOutcome] = {}
    for outcome in tools.executor.run(along_the_sky(tasks, tools.order)):
        by_key[outcome.key.digest] = outcome
        is_reused = tools.reuse.is_last_reused
        tools.listener(events.TaskEnded(stage, outcome, is_reused, tools.executor.workers))
        tools.heartbeat()
    outcomes = tuple(by_key[task.key.digest] for task in tasks)
    count = [outcome.status for outcome in outcomes].count
    tools.journal.append(
        journal.StageFinished(
            stage,
            pass_number,
            count(TaskStatus.OK),
            count(TaskStatus.SKIPPED),
            count(TaskStatus.FAILED),
            tools.reuse.count - reused_before,
            tools.reuse.peak_bytes,
            sum(outcome.seconds for outcome in outcomes),
        )
    )
    return outcomes


def run_required(
    tools: Tools, stage: str, pass_number: int, tasks: Sequence[Task]
) -> tuple[TaskOutcome, ...]:
    """Run tasks of the mosaic, all of which must go well; those that do not are tried again.

    Raises
    ------
    TransientError
        One failed every time. No exposure is to blame, and the run cannot go on without it:
        everything done so far is kept, and `resume` tries again.
    ResourceError
        One needs more memory than there is, which trying again does not change.
    """
    outcomes = run_stage(tools, stage, pass_number, tasks)
    for _ in range(_TRIES - 1):
        if all(outcome.is_ok for outcome in outcomes):
            break
        _require_memory(stage, outcomes)
        pairs = list(zip(tasks, outcomes, strict=True))
        again = [task for task, outcome in pairs if not outcome.is_ok]
        retried = iter(run_stage(tools, stage, pass_number, again))
        outcomes = tuple(o if o.is_ok else next(retried) for o in outcomes)
    for outcome in outcomes:
        if not outcome.is_ok:
            raise TransientError(
                f"{stage} of {outcome.key.subject} failed {_TRIES} times: {outcome.message}; what "
                "is done is kept, `alignsvc resume` goes on from here"
            )
    return outcomes


def _require_memory(stage: str, outcomes: Iterable[TaskOutcome]) -> None:
    for outcome in outcomes:
        if outcome.reason == FailureKind.MEMORY:
            where = f"{stage} of {outcome.key.subject}"
            raise ResourceError(f"{where}: {outcome.message}; then `alignsvc resume` the run")


@dataclass(frozen=True, slots=True)
class Ends:
    """Exposures, and those of them whose tasks did not go well."""

    going: tuple[PlannedExposure, ...]
    ended: tuple[ExposureEnded, ...]


def sorted_out(exposures: Sequence[PlannedExposure], outcomes: Sequence[TaskOutcome]) -> Ends:
    """Return which exposures go on and which ended, by the outcomes of their tasks."""
    going, ended = [], []
    for exposure, outcome in zip(exposures, outcomes, strict=True):
        if outcome.is_ok:
            going.append(exposure)
        else:
            status = Status.FAILED if outcome.status is TaskStatus.FAILED else Status.SKIPPED
            ended.append(ExposureEnded(exposure.id, status, outcome.reason, outcome.message))
    return Ends(tuple(going), tuple(ended))


def is_end_of(end: ExposureEnded, frozen: Container[str]) -> bool:
    """Return whether an exposure ends so: a frozen one that is sound stays what it is."""
    return end.exposure not in frozen or end.status is Status.FAILED


def digest_of_checksums(outcomes: Iterable[TaskOutcome]) -> str:
    """Return one digest of what tasks produced, in the order given."""
    return digest_of(tuple(outcome.checksum for outcome in outcomes))
