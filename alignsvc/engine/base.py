"""What every engine offers: tasks in, outcomes out, events on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeAlias, runtime_checkable

from alignsvc.domain.outcome import TaskKey, TaskOutcome
from alignsvc.domain.task import Task
from alignsvc.io.objects import ObjectStore
from alignsvc.redaction import redacted
from alignsvc.tasks.base import TaskReport, WorkTime


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A task was handed over; it may wait for a free worker."""

    key: TaskKey


@dataclass(frozen=True, slots=True)
class TaskRetried:
    """A task is tried again, for the reason given."""

    key: TaskKey
    attempt: int
    why: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "why", redacted(self.why))


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task has its outcome; re-used = a receipt answered, no work was done.

    `peak_bytes` is what its process occupied at the most, 0 if nobody knows; `work` is when and
    where it was done, None if no process told.
    """

    outcome: TaskOutcome
    is_reused: bool
    peak_bytes: int = 0
    work: WorkTime | None = None


def ended_with(report: TaskReport) -> TaskEnded:
    """Return the event of a report that came back."""
    return TaskEnded(report.outcome, report.is_reused, report.peak_bytes, report.work)


@dataclass(frozen=True, slots=True)
class Waited:
    """Workers were asked how they are while tasks go on: about once a second.

    A listener that raises here gives up the stage.
    """


@dataclass(frozen=True, slots=True)
class WorkersSeen:
    """How the workers of this run are: about once a second while tasks go on.

    Parameters
    ----------
    n_known : int
        Workers that there are.
    n_busy : int
        Those of them that have something to do, for whomever.
    n_running : int
        Tasks of this run that are being done.
    memory_bytes : tuple of int
        What each worker occupies.
    limit_bytes : int
        The least that one may; 0 if nothing limits it.
    is_here : bool
        Whether tasks are done by the process of the driver.
    """

    n_known: int
    n_busy: int
    n_running: int
    memory_bytes: tuple[int, ...] = ()
    limit_bytes: int = 0
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class TaskDoubled:
    """A straggler is started a second time, on another worker: the first to end counts."""

    key: TaskKey
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerLeftOut:
    """A worker gets no task of this run, for the reason given."""

    worker: str
    why: str


TaskEvent: TypeAlias = (
    TaskStarted | TaskRetried | TaskDoubled | TaskEnded | Waited | WorkersSeen | WorkerLeftOut
)


class Listener(Protocol):
    """Whoever wants to know how tasks get on: a progress bar, a count of what was re-used."""

    def __call__(self, event: TaskEvent, /) -> None:
        """Take one event, in the thread that runs the executor, and return soon."""
        ...


def nobody_listens(event: TaskEvent) -> None:
    """Take an event and do nothing."""


def heard_by(*listeners: Listener) -> Listener:
    """Return one listener that tells all of them, in order."""

    def hear(event: TaskEvent, /) -> None:
        for listener in listeners:
            listener(event)

    return hear


@dataclass(frozen=True, slots=True)
class ShownPages:
    """Pages of a scheduler.

    Parameters
    ----------
    run, dashboard : str
        Links to the run's own page and to dask's; empty if there is none.
    host : str
        Where the links hold, if they are addresses that mean another machine on each.
    """

    run: str = ""
    dashboard: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What an engine has to know of the run that it works for.

    Parameters
    ----------
    objects : ObjectStore
        Of the run, for its tasks and their receipts; must be reachable from every worker.
    run_id : str
        Tells the tasks of this run from those of others on one scheduler.
    on_event : Listener
    preload : tuple of str
        Modules that a scheduler loads which is started for the run: what shows it.
    has_own_process : bool
        Whether nothing else goes on in this process: then it may be given what holds for all of it.
    """

    objects: ObjectStore
    run_id: str = "run"
    on_event: Listener = nobody_listens
    preload: tuple[str, ...] = ()
    has_own_process: bool = False


class Executor(Protocol):
    """Runs tasks somewhere; a context manager that closes what it opened."""

    @property
    def workers(self) -> int:
        """How many tasks can run at one time, at present."""
        ...

    @property
    def pages(self) -> ShownPages:
        """What can be seen of the run while this executor works for it."""
        ...

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        """Yield one outcome for each task, in whatever order they end.

        Tasks are drawn from the iterable as places come free. Leaving the iterator early gives
        up what has not ended.

        Raises
        ------
        ResourceError, RunStoreError
            From a task: the run cannot go on.
        TransientError
            Workers, scheduler or store did not answer, more often than the policy allows.
        """
        ...

    def close(self) -> None:
        """End all that this executor started; may be called twice."""
        ...

    def __enter__(self) -> Executor: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class KnowsItsMemory(Protocol):
    """A cluster backend that can say what one of its workers may occupy, before it starts any."""

    @property
    def worker_memory_bytes(self) -> int | None:
        """Bytes: tasks that cannot fit are refused before a run; None: not known from here."""
        ...

    @property
    def more_memory(self) -> str:
        """What to set so that it is more, as in ``set ...``."""
        ...


class ClusterBackend(Protocol):
    """Starts an executor; a frozen dataclass whose fields are the settings of its cluster."""

    def __call__(self, context: RunContext) -> Executor:
        """Return an executor that is ready, or say in an error why there is none."""
        ...


@runtime_checkable
class BeginsEarly(Protocol):
    """A backend that can begin what takes its time before a run is planned."""

    def begin(self) -> None:
        """Begin it, if that was not done; it ends with this process, which is the run's alone."""
        ...


@runtime_checkable
class NeedsMore(Protocol):
    """A backend that needs packages or programs which not every machine has."""

    def missing_here(self) -> tuple[str, ...]:
        """Return a sentence, with what to do, on each that this machine lacks; nothing starts."""
        ...


@runtime_checkable
class JobBackend(Protocol):
    """A backend whose workers are jobs of a batch system."""

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know of its settings."""
        ...

    def logs_of(self, objects: ObjectStore, run_id: str) -> Path:
        """Return the directory where jobs of a run write what they print."""
        ...

    def worker_script(self, run_id: str, logs: Path) -> str:
        """Return the script of a job of workers."""
        ...
