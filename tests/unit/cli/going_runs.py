"""A run that goes on, as a driver tells of it, without any."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from alignsvc.domain.outcome import Convergence, Status, TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.task import TableRef
from alignsvc.io import journal
from alignsvc.io.control import Progress
from alignsvc.io.journal_store import Entry
from alignsvc.run.records import events
from alignsvc.run.status.progress import RunProgress

CREATED = journal.RunCreated("ab" * 20, (("format", "1"), ("input a", "1"), ("input b", "2")))
SOLVED = events.PassSolved(1, 0.0123, 2, 77, True)
FAILED = journal.ExposureEnded("b", Status.FAILED, "empty", "exposure b: no such file")
_TABLE = TableRef("tables/s", "d")
SOURCES = journal.SourcesFound(1, _TABLE, _TABLE, 90, 77)
ENDED = (journal.LoopEnded(Convergence.CONVERGED, 1), journal.Finished(1))


def task(status: TaskStatus = TaskStatus.OK, is_reused: bool = False) -> events.TaskEnded:
    """Return the end of a task, of a stage that one at a time is worked on."""
    outcome = TaskOutcome(TaskKey("measure", "x", "0"), status)
    return events.TaskEnded("measure", outcome, is_reused, 1)


def entries(these: Iterable[journal.Event], first: int = 1, time_s: float = 0.0) -> list[Entry]:
    """Return events in their places, all written at one time."""
    return [Entry(first + k, time_s, event) for k, event in enumerate(these)]


def stage(name: str, number: int, n: int, time_s: float, lasted_s: float) -> list[Entry]:
    """Return a stage from its beginning to its end; the numbers of entries are of no account."""
    ended = journal.StageFinished(name, number, n, 0, 0, 0)
    return [
        Entry(0, time_s, journal.StageStarted(name, number, n)),
        Entry(0, time_s + lasted_s, ended),
    ]


def driven_to_the_end(listener: Callable[[events.Event], None]) -> None:
    """Tell of a run of one pass in which one of two exposures fails."""
    listener(events.Begun((), 0.003))
    begun: tuple[journal.Event, ...] = (
        CREATED,
        journal.DriverStarted(1, "process 1 on here"),
        journal.PassStarted(1, True),
        SOURCES,
        journal.StageStarted("measure", 1, 3),
    )
    told = entries(begun)
    for entry in told:
        listener(events.Recorded(entry))
    listener(events.StageStarted("measure", 1, 3))
    for status in (TaskStatus.OK, TaskStatus.OK, TaskStatus.FAILED):
        listener(task(status))
    after = (
        journal.StageFinished("measure", 1, 2, 0, 1, 0),
        FAILED,
        journal.Solved(1, "tables/x", "d", 0.0123, 2),
        *ENDED,
    )
    for entry in entries(after, len(told) + 1):
        listener(events.Recorded(entry))
    listener(SOLVED)


def going(n_ended: int = 31, movements_px: tuple[float, ...] = (0.8, 0.012)) -> RunProgress:
    """Return a run that measures 48 exposures in a pass after those that are solved."""
    done: list[journal.Event] = [CREATED, FAILED]
    for number, moved in enumerate(movements_px, start=1):
        done += [
            journal.PassStarted(number, number < 3),
            journal.Solved(number, "t", "d", moved, 1),
        ]
    number = len(movements_px) + 1
    done += [journal.PassStarted(number, number < 3), journal.StageStarted("measure", number, 48)]
    progress = RunProgress(eps_shift_px=0.003).read_on(entries(done))
    for n in range(1, n_ended + 1):
        told = Progress(1, "measure", number, 48, n, n_failed=int(n > 4), n_places=1)
        progress = progress.counted(told, 5.0 * n)
    return progress
