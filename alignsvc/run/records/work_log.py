"""The driver's record of its tasks and workers, for people who look at the run.

A thread writes it every few seconds, so that no task waits for the store: a task costs the driver
one small value in a queue. What cannot be written is told of once, and fails no run.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from alignsvc.engine.base import TaskEnded, TaskEvent, WorkersSeen
from alignsvc.errors import AlignError
from alignsvc.io.lease import Lease
from alignsvc.io.objects import ObjectStore
from alignsvc.io.record_pieces import PieceWriter
from alignsvc.io.task_ends import TASK_ENDS, TaskEnd
from alignsvc.io.worker_samples import (
    SAMPLE_PIECES,
    WORKER_SAMPLES,
    WorkerSample,
    WorkersThen,
)
from alignsvc.run.records import events
from alignsvc.run.records.run_log import Clocks
from alignsvc.run.records.worker_words import workers_then
from alignsvc.tasks.memory import occupied_bytes

#: Seconds between two samples, each of which is written; the first ones come sooner.
SAMPLE_S, _FIRST_SAMPLE_S = 5.0, 1.0
#: So long what workers said of themselves holds.
_FRESH_S = 15.0
#: Ends of tasks that wait for the thread at the most: a store may keep it waiting.
_MOST_WAITING = 20_000


class ClockOffsets:
    """What clocks of workers are off by: their tasks end before the driver hears of it.

    The least delay that was seen of a host is taken for how far its clock lags; what is left of it
    is the quickest way of a message, a few milliseconds.
    """

    def __init__(self) -> None:
        self._lag_s: dict[str, float] = {}

    def of(self, worker: str, ended_s: float, heard_s: float) -> float:
        """Return what is to be added to times of a worker whose task ended, by its clock."""
        host = worker.partition("/")[0]
        lag_s = min(heard_s - ended_s, self._lag_s.get(host, heard_s - ended_s))
        self._lag_s[host] = lag_s
        return lag_s


@dataclass(frozen=True, slots=True)
class _Heard:
    """A task's end, as it came."""

    event: TaskEnded
    stage: events.StageStarted
    heard_s: float


class WorkLog:
    """Hears of tasks and workers and writes them down; a context manager.

    Parameters
    ----------
    objects : ObjectStore
    lease : Lease
        The driver's: names what it writes.
    tell : callable
        Told in one sentence, in the driver's thread, if nothing can be written.
    clocks : Clocks
    interval_s : float
        Between two samples.
    """

    def __init__(
        self,
        objects: ObjectStore,
        lease: Lease,
        tell: Callable[[events.Note], None],
        clocks: Clocks | None = None,
        interval_s: float = SAMPLE_S,
    ) -> None:
        self._epoch = lease.epoch
        self._here = f"{lease.owner.host.split('/')[0]}/driver"
        self._tell = tell
        self._clocks = clocks or Clocks()
        self._interval_s = interval_s
        self._tasks = PieceWriter(objects, TASK_ENDS, lease.epoch)
        self._samples = PieceWriter(objects, WORKER_SAMPLES, lease.epoch, SAMPLE_PIECES)
        self._offsets = ClockOffsets()
        self._stage = events.StageStarted("", 0, 0)
        self._n_left = 0
        self._seen: tuple[float, WorkersSeen] | None = None
        # Filled by the driver's thread, emptied by the one that writes.
        self._heard: deque[_Heard] = deque(maxlen=_MOST_WAITING)
        self._trouble: AlignError | None = None
        self._is_told = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="alignsvc-work-log", daemon=True)

    def event(self, event: events.Event) -> None:
        """Take notice of which stage tasks are of."""
        if isinstance(event, events.StageStarted):
            self._stage, self._n_left = event, event.total
            self._tell_trouble()

    def task_event(self, event: TaskEvent) -> None:
        """Take notice of a task's end, and of how workers are."""
        if isinstance(event, TaskEnded):
            self._n_left -= 1
            self._heard.append(_Heard(event, self._stage, self._clocks.now_s()))
        elif isinstance(event, WorkersSeen):
            self._seen = (self._clocks.elapsed_s(), event)

    def write(self) -> None:
        """Take a sample, and write what is new; in one thread at a time."""
        self._samples.add(self._sample())
        while self._heard:
            self._tasks.add(self._end(self._heard.popleft()))
        try:
            self._samples.flush()
            self._tasks.flush()
        except AlignError as error:
            self._trouble = error

    def _end(self, heard: _Heard) -> TaskEnd:
        event = heard.event
        outcome, work, ended_s = event.outcome, event.work, heard.heard_s
        began_s, worker = ended_s, ""
        if work is not None:
            offset_s = self._offsets.of(work.worker, work.ended_s, heard.heard_s)
            began_s, ended_s = work.began_s + offset_s, work.ended_s + offset_s
            worker = work.worker or self._here
        return TaskEnd(
            heard.stage.stage or outcome.key.stage,
            heard.stage.pass_number,
            outcome.key.subject,
            worker,
            round(began_s, 3),
            round(ended_s, 3),
            outcome.status,
            event.is_reused,
            outcome.reason,
            event.peak_bytes,
        )

    def _sample(self) -> WorkerSample:
        now_s = self._clocks.now_s()
        workers = self._workers_now()
        running = 0 if workers is None else workers.n_running
        waiting = max(0, self._n_left - running)
        return WorkerSample(self._epoch, now_s, now_s, occupied_bytes(), waiting, workers)

    def _workers_now(self) -> WorkersThen | None:
        """Return how workers are, if anybody asked them lately."""
        if self._seen is None:
            return None
        heard_s, seen = self._seen
        works = self._n_left > 0
        if not seen.is_here and self._clocks.elapsed_s() - heard_s > _FRESH_S:
            return None
        return workers_then(seen, is_working=works)

    def _tell_trouble(self) -> None:
        if self._trouble is not None and not self._is_told:
            self._is_told = True
            text = f"the record of tasks and workers has gaps: {self._trouble}"
            self._tell(events.Note(text))

    def _go_on(self) -> None:
        wait_s = min(_FIRST_SAMPLE_S, self._interval_s)
        while not self._over.wait(wait_s):
            self.write()
            wait_s = min(2 * wait_s, self._interval_s)

    def __enter__(self) -> WorkLog:
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
        self._seen = None  # they are ended, or left
        self.write()
        self._tell_trouble()
