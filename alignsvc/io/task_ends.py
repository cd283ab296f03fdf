"""How each task of a run ended, when and where: the last thousands singly, all before in sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from alignsvc.domain.outcome import TaskStatus
from alignsvc.io.record_pieces import RecordKind, Row

#: Sums of tasks that are kept; seconds of the shortest; workers whose tasks are summed up apart.
_MOST_SUMS, _SHORTEST_S, _MOST_WORKERS = 2000, 10.0, 40
#: Below this share of all their time sums are not made longer: workers go together first.
_COARSEST_SHARE = 0.05
#: Where tasks of several workers or stages are summed up together.
OTHERS, SEVERAL = "others", "several"
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """The end of a task.

    Parameters
    ----------
    stage : str
    pass_number : int
        0 of what comes before the first pass, or after the last.
    subject : str
        Exposure or tile.
    worker : str
        Host and name; empty where none told of an end.
    began_s, ended_s : float
        Seconds since 1970, by the clock of the driver.
    status : TaskStatus
    is_reused : bool
        Whether a receipt answered, and no work was done.
    reason : str
        Why it was skipped or failed.
    peak_bytes : int
        The most that its process occupied; 0 if nobody knows.
    """

    stage: str
    pass_number: int
    subject: str
    worker: str
    began_s: float
    ended_s: float
    status: TaskStatus
    is_reused: bool = False
    reason: str = ""
    peak_bytes: int = 0

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended_s - self.began_s


@dataclass(frozen=True, slots=True)
class TaskSum:
    """Tasks of one worker and stage that ended within a while.

    Parameters
    ----------
    stage, pass_number, worker
        Of all of them; `SEVERAL`, 0 and `OTHERS` where they were of more than one.
    begin_s, width_s : float
        The while: it begins at a multiple of its width, in seconds since 1970.
    n_tasks, n_failed, n_skipped, n_reused : int
    work_s : float
        Of all of them together.
    longest_s : float
    longest : str
        The subject of the longest.
    peak_bytes : int
        The most.
    """

    stage: str
    pass_number: int
    worker: str
    begin_s: float
    width_s: float
    n_tasks: int
    n_failed: int
    n_skipped: int
    n_reused: int
    work_s: float
    longest_s: float
    longest: str
    peak_bytes: int


def sum_of_one(end: TaskEnd) -> TaskSum:
    """Return a task as a sum, where it ended."""
    return TaskSum(
        end.stage,
        end.pass_number,
        end.worker,
        end.ended_s,
        0.0,
        1,
        int(end.status is TaskStatus.FAILED),
        int(end.status is TaskStatus.SKIPPED),
        int(end.is_reused),
        end.seconds,
        end.seconds,
        end.subject,
        end.peak_bytes,
    )


def summed_tasks(
    sums: Sequence[TaskSum], ends: Iterable[TaskEnd], most: int = _MOST_SUMS
) -> tuple[TaskSum, ...]:
    """Return sums with further tasks in them: no task is lost, and there are `most` at the most.

    The whiles become longer as far as that needs; then the workers go together, and in the last
    resort everything. What was put together stays together.

    Parameters
    ----------
    sums : sequence of TaskSum
    ends : iterable of TaskEnd
    most : int
        One or more.
    """
    parts = [*sums, *map(sum_of_one, ends)]
    if not parts:
        return ()
    width_s = max(_SHORTEST_S, *(one.width_s for one in parts))
    span_s = max(one.begin_s for one in parts) - min(one.begin_s for one in parts)
    apart = list(dict.fromkeys(one.worker for one in parts if one.worker != OTHERS))
    for named in (frozenset(apart[:_MOST_WORKERS]), frozenset[str]()):
        trial_s, found = width_s, tuple(parts)
        while True:
            # What lies in one while lies in the next longer one: no need to begin anew.
            found = _put_together(found, trial_s, named)
            if len(found) <= most:
                return found
            if trial_s > _COARSEST_SHARE * span_s:
                break
            trial_s *= 2
    found = tuple(replace(one, stage=SEVERAL, pass_number=0) for one in found)
    while True:
        found = _put_together(found, trial_s, frozenset())
        if len(found) <= most:
            return found
        trial_s *= 2


def _put_together(
    parts: Iterable[TaskSum], width_s: float, named: frozenset[str]
) -> tuple[TaskSum, ...]:
    """Return sums of what ended within the same whiles, of named workers apart."""
    groups: dict[tuple[float, str, int, str], list[TaskSum]] = defaultdict(list)
    for part in parts:
        worker = part.worker if part.worker in named else OTHERS
        begin_s = part.begin_s // width_s * width_s
        groups[begin_s, part.stage, part.pass_number, worker].append(part)
    return tuple(_of_group(where, width_s, groups[where]) for where in sorted(groups))


def _of_group(
    where: tuple[float, str, int, str], width_s: float, parts: Sequence[TaskSum]
) -> TaskSum:
    begin_s, stage, pass_number, worker = where
    longest = max(parts, key=attrgetter("longest_s"))
    return TaskSum(
        stage,
        pass_number,
        worker,
        begin_s,
        width_s,
        sum([part.n_tasks for part in parts]),
        sum([part.n_failed for part in parts]),
        sum([part.n_skipped for part in parts]),
        sum([part.n_reused for part in parts]),
        sum([part.work_s for part in parts]),
        longest.longest_s,
        longest.longest,
        max([part.peak_bytes for part in parts]),
    )


def _end_row(end: TaskEnd) -> Row:
    return [
        end.stage,
        end.pass_number,
        end.subject[:_LONGEST_TEXT],
        end.worker,
        round(end.began_s, 3),
        round(end.ended_s, 3),
        end.status.value,
        end.is_reused,
        end.reason,
        end.peak_bytes,
    ]


def _end(row: Any) -> TaskEnd:
    stage, number, subject, worker, began_s, ended_s, status, reused, reason, peak = row
    return TaskEnd(
        stage, number, subject, worker, began_s, ended_s, TaskStatus(status), reused, reason, peak
    )


def _sum_row(one: TaskSum) -> Row:
    return [
        one.stage,
        one.pass_number,
        one.worker,
        one.begin_s,
        one.width_s,
        one.n_tasks,
        one.n_failed,
        one.n_skipped,
        one.n_reused,
        round(one.work_s, 3),
        round(one.longest_s, 3),
        one.longest,
        one.peak_bytes,
    ]


def _sum(row: Any) -> TaskSum:
    return TaskSum(*row)


#: Their place in a run's store.
TASK_ENDS: RecordKind[TaskEnd, TaskSum] = RecordKind(
    "tasks", _end_row, _end, _sum_row, _sum, summed_tasks
)
