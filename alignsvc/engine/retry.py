"""What to do about a task that ended without an outcome: a pure function of what happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from alignsvc.reasons import FailureKind


class Trouble(StrEnum):
    """Why there is no outcome."""

    TRANSIENT = "transient"  #: the task says that a second try may go well
    FUTURE_LOST = "future_lost"  #: the scheduler forgot it, or its result went with a worker
    WORKER_LOST = "worker_lost"  #: several workers died while they had it
    TIMEOUT = "timeout"  #: it ran longer than a task may
    TRANSPORT = "transport"  #: it, or its outcome, could not be sent
    FATAL = "fatal"  #: memory, disk or the run directory: no task can do better


class Action(StrEnum):
    """What happens next."""

    RETRY = "retry"
    RETRY_ALONE = "retry_alone"  #: with nothing else running, so that blame is certain
    FAIL = "fail"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and the kind of failure where the task fails."""

    action: Action
    kind: FailureKind | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a task is tried.

    A task that outlived its time would do so again: it fails at once. A dead worker takes the
    blame of every task that was assigned to it, so the first `WORKER_LOST` only makes a suspect:
    it gets one more chance alone.

    Parameters
    ----------
    max_attempts : int
        Tries of a task whose trouble may pass; after them the run stops, resumable.
    """

    max_attempts: int = 3

    def __call__(self, trouble: Trouble, times: int) -> Decision:
        """Return what to do when `trouble` strikes a task for the given time (the first is 1)."""
        if trouble is Trouble.FATAL:
            return Decision(Action.STOP)
        if trouble is Trouble.TIMEOUT:
            return Decision(Action.FAIL, FailureKind.TIMEOUT)
        if trouble is Trouble.TRANSPORT:
            return Decision(Action.FAIL, FailureKind.INTERNAL)
        if trouble is Trouble.WORKER_LOST:
            if times == 1:
                return Decision(Action.RETRY_ALONE)
            return Decision(Action.FAIL, FailureKind.WORKER_LOST)
        if times < self.max_attempts:
            return Decision(Action.RETRY)
        return Decision(Action.STOP)
