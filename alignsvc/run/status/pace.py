"""How fast a stage goes and how long it still takes: from when its tasks ended, and nothing else.

What was done before and is only looked up (a resumed stage) says nothing of how long the rest
takes. Tasks that run side by side end in crowds, so what is measured is how long a task takes: as
long as it has its place. And when all that is left is running, the stage takes as long as the task
that began last.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from itertools import pairwise

#: Tasks that must have ended before anything is said, besides one for each place.
_LEAST = 3
#: How long a task takes is the mean of so many at least, and of one in so many of all that ended.
_RECENT, _RECENT_PART = 8, 4
#: A stage that gives no sign for so many of its longest pauses, and so long, goes nobody knows how.
_PAUSES, _PATIENCE_S = 3.0, 2.0
#: Steps that are kept: beyond, every second one of the older half goes.
_KEPT = 256


@dataclass(frozen=True, slots=True)
class Step:
    """By a time so many tasks have ended, so many of which had been done before.

    Parameters
    ----------
    time_s : float
    n_ended : int
    n_reused : int
        Answered by a receipt.
    """

    time_s: float
    n_ended: int
    n_reused: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How a stage gets on.

    Parameters
    ----------
    per_s : float or None
        Tasks a second; None while too little is known, and when it seems to stand still.
    left_s : float or None
        Until it ends; None likewise.
    """

    per_s: float | None = None
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """How fast things go, and how long they still take; None = not known.

    Parameters
    ----------
    pace : Pace
        Of the present stage.
    pass_left_s : float or None
        Until the present pass is solved.
    """

    pace: Pace = field(default_factory=Pace)
    pass_left_s: float | None = None


@dataclass(frozen=True, slots=True)
class StageSteps:
    """A stage as far as it went.

    Parameters
    ----------
    n_tasks : int
    steps : tuple of Step
        In order of time; the first is its beginning.
    n_places : int
        Tasks that can run at one time; 0: nobody knows.
    """

    n_tasks: int
    steps: tuple[Step, ...]
    n_places: int = 0

    @classmethod
    def begun(cls, n_tasks: int, time_s: float) -> StageSteps:
        """Return a stage that begins."""
        return cls(n_tasks, (Step(time_s, 0),))

    def after(self, step: Step, n_places: int = 0) -> StageSteps:
        """Return it with one more step, unless that tells nothing new."""
        stage = replace(self, n_places=n_places or self.n_places)
        last = self.steps[-1]
        if step.n_ended <= last.n_ended:
            return stage
        kept = self.steps
        if len(kept) >= _KEPT:
            kept = (*kept[: _KEPT // 2 : 2], *kept[_KEPT // 2 :])
        return replace(stage, steps=(*kept, replace(step, time_s=max(step.time_s, last.time_s))))

    def pace(self, now_s: float) -> Pace:
        """Return how it gets on at a time.

        Parameters
        ----------
        now_s : float
            By the clock of the steps.
        """
        work = _work(self.steps)
        n_places = max(1, self.n_places)
        n_begun_all = self.n_tasks - n_places  # ended when the last task began
        busy = [one for one in work if one.n_ended <= n_begun_all]
        if len(busy) < len(work) and (not busy or busy[-1].n_ended < n_begun_all):
            busy = work[: len(busy) + 1]  # steps may be of many tasks
        ended = _counted(busy)
        if not ended or ended[-1].n_ended < max(_LEAST, n_places):
            return Pace()
        task_s = _task_s(ended, n_places)
        if task_s <= 0.0:
            return Pace()
        last, per_s = work[-1], n_places / task_s
        overdue_s = max(0.0, now_s - last.time_s)
        if last.n_ended >= n_begun_all:
            left_s = busy[-1].time_s + task_s - now_s
            return Pace(per_s, max(0.0, left_s)) if left_s > -task_s else Pace()
        pauses = [b.time_s - a.time_s for a, b in pairwise(ended)]
        if overdue_s > _PAUSES * max(pauses) + _PATIENCE_S:
            return Pace()
        n_left = self.n_tasks - last.n_ended
        return Pace(per_s, max(n_left / per_s - overdue_s, (n_left - n_places) / per_s, 0.0))


def _work(steps: tuple[Step, ...]) -> list[Step]:
    """Return the steps from where work began that had not been done before; all if none was."""
    first = next((k for k, one in enumerate(steps) if one.n_ended > one.n_reused), None)
    return list(steps if first is None else steps[max(0, first - 1) :])


def _counted(work: list[Step]) -> list[Step]:
    """Return steps with the tasks of the kind that there is: done anew, or else looked up."""
    if not work or work[-1].n_ended == work[-1].n_reused:
        return work
    return [Step(one.time_s, one.n_ended - one.n_reused) for one in work]


def _task_s(ended: list[Step], n_places: int) -> float:
    """Return how long a task takes of late, while all places have something to do.

    The task that ends as number k began when number k - n_places ended: so each of a crowd took
    what is between two crowds, and none of them no time.
    """
    n_known = ended[-1].n_ended
    least = n_known - max(_RECENT, n_places, n_known // _RECENT_PART)
    sum_s, n = 0.0, 0
    for before, one in pairwise(ended):
        weight = one.n_ended - max(before.n_ended, least)
        if weight > 0:
            sum_s += weight * (one.time_s - _time_at(ended, one.n_ended - n_places))
            n += weight
    return sum_s / n


def _time_at(ended: list[Step], n: int) -> float:
    """Return when so many tasks had ended; when work began if less than none."""
    k = max(1, bisect_left(ended, n, key=lambda one: one.n_ended))
    before, after = ended[k - 1], ended[k]
    if n <= before.n_ended:
        return before.time_s
    part = (n - before.n_ended) / (after.n_ended - before.n_ended)
    return before.time_s + part * (after.time_s - before.time_s)
