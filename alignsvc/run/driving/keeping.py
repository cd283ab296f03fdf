"""What a driver does beside its work: it gives signs of life, and hears whether it is to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Container
from dataclasses import dataclass, replace
from types import TracebackType

from alignsvc.domain.outcome import TaskStatus
from alignsvc.engine.base import TaskEvent
from alignsvc.errors import AlignError, RunCancelled, TransientError
from alignsvc.io.control import Progress, cancel_request, put_progress
from alignsvc.io.lease import PATIENCE_S, Lease
from alignsvc.io.objects import ObjectStore
from alignsvc.run.records import events

#: Seconds between two signs of life of the driver.
HEARTBEAT_S = 5.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept alive.

    Parameters
    ----------
    run : str
        Its name, for people.
    objects : ObjectStore
    lease : Lease
    obeyed : container of str
        Requests to cancel that count no more.
    """

    run: str
    objects: ObjectStore
    lease: Lease
    obeyed: Container[str]


def progress_after(progress: Progress | None, event: events.Event, epoch: int) -> Progress | None:
    """Return how far a driver's stage is after an event of its own."""
    match event:
        case events.StageStarted():
            return Progress(epoch, event.stage, event.pass_number, event.total)
        case events.TaskEnded() if progress is not None:
            status = event.outcome.status
            return replace(
                progress,
                n_ended=progress.n_ended + 1,
                n_skipped=progress.n_skipped + (status is TaskStatus.SKIPPED),
                n_failed=progress.n_failed + (status is TaskStatus.FAILED),
                n_reused=progress.n_reused + event.is_reused,
                n_places=event.n_places,
            )
        case _:
            return progress


class Keeper:
    """Renews the lease every few seconds, in a thread, as a solve may take minutes.

    Whatever ends the run (a request to cancel, another driver) is raised where the driver calls
    the keeper: after each task, and each second that it waits for one. A context manager.

    Parameters
    ----------
    kept : Kept
    interval_s : float
    """

    def __init__(self, kept: Kept, interval_s: float = HEARTBEAT_S) -> None:
        self._kept = kept
        self._interval_s = interval_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="alignsvc-heartbeat", daemon=True)
        self._trouble: AlignError | None = None
        self._progress: Progress | None = None
        self._told: Progress | None = None
        self._beaten_s = time.monotonic()

    def __call__(self) -> None:
        """Raise what ends the run, if something does.

        Raises
        ------
        RunCancelled
            Somebody asked for it.
        RunStoreError
            Another driver has taken the run over.
        TransientError, ResourceError
            No sign of life could be given for as long as a lease holds.
        """
        if self._trouble is not None:
            raise self._trouble

    def task_event(self, event: TaskEvent) -> None:
        """Hear of the executor: it does so also while it waits."""
        self()

    def event(self, event: events.Event) -> None:
        """Take notice of how far a stage is."""
        self._progress = progress_after(self._progress, event, self._kept.lease.epoch)

    def beat(self) -> None:
        """Give one sign of life, and look for a request to cancel.

        A store that does not answer is asked again until others may take the run.
        """
        try:
            self._kept.lease.renew(time.time())
            self._beaten_s = time.monotonic()
            if self._progress not in (None, self._told):
                self._told = self._progress
                put_progress(self._kept.objects, self._told)
            asked = cancel_request(self._kept.objects)
            if asked is not None and asked.id not in self._kept.obeyed:
                self._trouble = RunCancelled(asked.id, asked.by, self._kept.run)
        except TransientError as error:
            if time.monotonic() - self._beaten_s > PATIENCE_S:
                self._trouble = error
        except AlignError as error:
            self._trouble = error

    def _go_on(self) -> None:
        while self._trouble is None and not self._over.wait(self._interval_s):
            self.beat()

    def __enter__(self) -> Keeper:
        self.beat()  # the request may have waited for this driver
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
