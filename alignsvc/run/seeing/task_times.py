"""When and where the tasks of a run were done, as much of it as eyes can use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from alignsvc.io.record_pieces import Records
from alignsvc.io.task_ends import TaskEnd, TaskSum, summed_tasks

TaskRecords: TypeAlias = Records[TaskEnd, TaskSum]

#: Tasks that are shown singly, the last ones, and sums of all before.
_MOST_SINGLE, _MOST_SUMS = 3000, 1500
#: A rate is of the last so many seconds.
RATE_S = 60.0


@dataclass(frozen=True, slots=True)
class ShownTasks:
    """Tasks as they are drawn.

    Parameters
    ----------
    sums : tuple of TaskSum
        Earlier ones.
    ends : tuple of TaskEnd
        The last ones, in the order in which the driver heard of them.
    notes : tuple of str
        What is missing, and why.
    """

    sums: tuple[TaskSum, ...] = ()
    ends: tuple[TaskEnd, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[TaskEnd | TaskSum, ...]:
        """All that is drawn."""
        return (*self.sums, *self.ends)


def shown_tasks(
    found: TaskRecords, most_single: int = _MOST_SINGLE, most_sums: int = _MOST_SUMS
) -> ShownTasks:
    """Return the tasks of a record, a bounded number of them."""
    earlier, ends = found.records[:-most_single], found.records[-most_single:]
    sums = found.sums
    if earlier or len(sums) > most_sums:
        sums = summed_tasks(sums, earlier, most_sums)
    return ShownTasks(sums, ends, gaps_in(found, "tasks"))


def gaps_in(found: Records[Any, Any], what: str) -> tuple[str, ...]:
    """Return in sentences what of a record is missing.

    Parameters
    ----------
    found : Records
    what : str
        What it is of.
    """
    notes = [f"{name} is damaged: the {what} in it are not shown" for name in found.damaged]
    if found.n_damaged_before:
        notes.append(f"{found.n_damaged_before} damaged pieces of the record of {what} are gone")
    if found.n_lost:
        notes.append(f"{found.n_lost} {what} are missing: the store did not take them in time")
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class TaskRate:
    """How fast tasks of a stage end.

    Parameters
    ----------
    stage : str
    pass_number : int
    n_ended : int
        Within the time.
    n_reused : int
        Those of them that a receipt answered.
    seconds : float
        The time.
    """

    stage: str
    pass_number: int
    n_ended: int
    n_reused: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Tasks a second."""
        return self.n_ended / self.seconds


def task_rate(ends: Sequence[TaskEnd], until_s: float, within_s: float = RATE_S) -> TaskRate | None:
    """Return how fast tasks ended of late, of the stage of the last one.

    Parameters
    ----------
    ends : sequence of TaskEnd
        In the order in which they were heard of.
    until_s : float
        Seconds since 1970: when was it known of them.
    within_s : float
        The time that is looked at; that of the stage if it is younger.

    Returns
    -------
    TaskRate or None
        None if no task ended within that time.
    """
    if not ends:
        return None
    last = ends[-1]
    of_stage = [
        one for one in ends if (one.stage, one.pass_number) == (last.stage, last.pass_number)
    ]
    since_s = max(until_s - within_s, min(one.began_s for one in of_stage))
    late = [one for one in of_stage if since_s < one.ended_s <= until_s]
    if not late or until_s <= since_s:
        return None
    n_reused = sum(one.is_reused for one in late)
    return TaskRate(last.stage, last.pass_number, len(late), n_reused, until_s - since_s)
