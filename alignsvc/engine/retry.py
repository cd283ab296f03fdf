"""What to do about a task that ended without an outcome: a pure function of what happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from alignsvc.domain.digest import digest_of
from alignsvc.reasons import FailureKind


class Trouble(StrEnum):
    """Why there is no outcome."""

    TRANSIENT = "transient"  #: the task says that a second try may go well
    FUTURE_LOST = "future_lost"  #: the scheduler forgot it, or its result went with a worker
    BLOCKED = "blocked"  #: its worker did not begin it: it stood behind what does not end
    WORKER_LOST = "worker_lost"  #: several workers died while they had it
    MEMORY = "memory"  #: it ran out of memory, or workers were killed for what they took
    SILENT = "silent"  #: its worker, which may have begun it, said nothing for too long
    TIMEOUT = "timeout"  #: it ran longer than a task may
    TRANSPORT = "transport"  #: it, or its outcome, could not be sent
    FATAL = "fatal"  #: disk or run directory: no task can do better


class Action(StrEnum):
    """What happens next."""

    RETRY = "retry"
    RETRY_ALONE = "retry_alone"  #: with nothing else running: blame is certain, memory is free
    FAIL = "fail"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, the kind of failure where the task fails, and how long to wait before."""

    action: Action
    kind: FailureKind | None = None
    wait_s: float = 0.0


#: Troubles that may be another task's doing: once more, alone; then the task fails, of this.
_SUSPECT = {
    Trouble.WORKER_LOST: FailureKind.WORKER_LOST,
    Trouble.MEMORY: FailureKind.MEMORY,
    Trouble.SILENT: FailureKind.TIMEOUT,
}
#: Troubles that are the task's own for certain.
_GUILTY = {Trouble.TIMEOUT: FailureKind.TIMEOUT, Trouble.TRANSPORT: FailureKind.INTERNAL}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a task is tried, and when.

    Bad data are no trouble: they are an outcome, the same on every try. A task that outlived its
    time would do so again: it fails at once. A dead worker takes the blame of every task that was
    assigned to it, and memory is short for who asks last, so the first `WORKER_LOST` or `MEMORY`
    only makes a suspect: it gets one more chance alone.

    Parameters
    ----------
    max_attempts : int
        Tries of a task whose trouble may pass; after them the run stops, resumable.
    first_wait_s, longest_wait_s : float
        Before the second try of a transient trouble; before any. Each wait is twice the last,
        less up to half of it by the task's key: what failed together is not tried together.
    """

    max_attempts: int = 3
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0

    def __call__(self, trouble: Trouble, times: int, key: str = "") -> Decision:
        """Return what to do when `trouble` strikes the task `key` for the given time, 1 first."""
        if trouble in _GUILTY:
            return Decision(Action.FAIL, _GUILTY[trouble])
        if trouble in _SUSPECT:
            if times == 1:
                return Decision(Action.RETRY_ALONE)
            return Decision(Action.FAIL, _SUSPECT[trouble])
        if trouble is Trouble.FATAL or times >= self.max_attempts:
            return Decision(Action.STOP)
        wait_s = self._wait_s(times, key) if trouble is Trouble.TRANSIENT else 0.0
        return Decision(Action.RETRY, wait_s=wait_s)

    def _wait_s(self, times: int, key: str) -> float:
        whole_s = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (times - 1))
        share = int(digest_of("wait", key, times)[:8], 16) / 16**8
        return whole_s * (1.0 - 0.5 * share)
