"""When each stage of a run began and ended, by its journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from alignsvc.io.journal import DriverStarted, StageFinished, StageStarted
from alignsvc.io.journal_store import Entry


@dataclass(frozen=True, slots=True)
class StageTime:
    """A stage of a pass, as one driver went through it.

    Parameters
    ----------
    stage : str
    pass_number : int
        0 of what comes before the first pass, or after the last.
    began_s : float
        Seconds since 1970.
    ended_s : float or None
        None while it goes on, and where its driver was lost in it.
    n_tasks : int
    n_skipped, n_failed, n_reused : int
        Of its tasks, once it has ended.
    work_s : float
        Of all its tasks together.
    peak_bytes : int
        The most that a process occupied; 0 if nobody knows.
    is_lost : bool
        Whether its driver was, before it ended.
    """

    stage: str
    pass_number: int
    began_s: float
    ended_s: float | None = None
    n_tasks: int = 0
    n_skipped: int = 0
    n_failed: int = 0
    n_reused: int = 0
    work_s: float = 0.0
    peak_bytes: int = 0
    is_lost: bool = False


def stages_read_on(
    stages: tuple[StageTime, ...], entries: Iterable[Entry]
) -> tuple[StageTime, ...]:
    """Return the stages of a journal that has been read further."""
    found = list(stages)
    for entry in entries:
        event = entry.event
        if isinstance(event, StageStarted):
            found.append(
                StageTime(event.stage, event.pass_number, entry.time_s, n_tasks=event.n_tasks)
            )
        elif isinstance(event, DriverStarted) and found and found[-1].ended_s is None:
            found[-1] = replace(found[-1], is_lost=True)
        elif isinstance(event, StageFinished) and found:
            found[-1] = _ended(found[-1], event, entry.time_s)
    return tuple(found)


def _ended(stage: StageTime, event: StageFinished, time_s: float) -> StageTime:
    return replace(
        stage,
        ended_s=time_s,
        n_skipped=event.n_skipped,
        n_failed=event.n_failed,
        n_reused=event.n_reused,
        work_s=event.seconds,
        peak_bytes=event.peak_bytes,
    )
