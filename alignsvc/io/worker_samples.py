"""How a run's workers and its driver were, every few seconds; old samples put together in pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alignsvc.io.record_pieces import PieceSizes, RecordKind, Row

#: Samples that are kept beside the newest pieces.
_MOST_SAMPLES = 1000
#: A piece of samples is ten minutes: half an hour to an hour stays as it was.
SAMPLE_PIECES = PieceSizes(rows=120, fewest=3, most=6, waiting=2000)


@dataclass(frozen=True, slots=True)
class WorkersThen:
    """How the workers were at one moment.

    Parameters
    ----------
    n_known : int
        Workers that there were.
    n_busy : int
        Those of them that had something to do.
    n_running : int
        Tasks of this run that were being done.
    lowest_bytes, median_bytes, highest_bytes : int
        Of what workers occupied; 0 where tasks are done by the driver.
    limit_bytes : int
        The least that one may occupy; 0 if nothing limits it.
    """

    n_known: int
    n_busy: int
    n_running: int
    lowest_bytes: int = 0
    median_bytes: int = 0
    highest_bytes: int = 0
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class WorkerSample:
    """A run's workers and driver at one moment, or over a while.

    Parameters
    ----------
    epoch : int
        Of the driver's lease.
    time_s, until_s : float
        Seconds since 1970 by the driver's clock; the same of a single sample.
    driver_bytes : int
        What the driver occupied; 0 if the system does not tell.
    n_waiting : int
        Tasks of the stage that nobody had begun.
    workers : WorkersThen or None
        None while nobody asks them, as in a solve.
    """

    epoch: int
    time_s: float
    until_s: float
    driver_bytes: int
    n_waiting: int
    workers: WorkersThen | None = None

    def with_next(self, later: WorkerSample) -> WorkerSample:
        """Return both as one: counts are the later one's, memory spans both."""
        return replace(
            later,
            time_s=self.time_s,
            driver_bytes=max(self.driver_bytes, later.driver_bytes),
            workers=_spanning(self.workers, later.workers),
        )


def _spanning(before: WorkersThen | None, later: WorkersThen | None) -> WorkersThen | None:
    if before is None or later is None:
        return later or before
    return replace(
        later,
        lowest_bytes=min(before.lowest_bytes, later.lowest_bytes),
        highest_bytes=max(before.highest_bytes, later.highest_bytes),
    )


def thinned_samples(
    samples: Sequence[WorkerSample], more: Iterable[WorkerSample], most: int = _MOST_SAMPLES
) -> tuple[WorkerSample, ...]:
    """Return `most` samples or fewer: neighbours of one driver put together, as often as needed."""
    found = [*samples, *more]
    while len(found) > most:
        pairs = _in_pairs(found)
        # Where hardly two are of one driver, there is nothing but the newest to keep.
        found = pairs if len(pairs) < len(found) else found[-most:]
    return tuple(found)


def _in_pairs(samples: Sequence[WorkerSample]) -> list[WorkerSample]:
    found: list[WorkerSample] = []
    is_pair = True
    for one in samples:
        if not is_pair and found[-1].epoch == one.epoch:
            found[-1], is_pair = found[-1].with_next(one), True
        else:
            found.append(one)
            is_pair = False
    return found


def _row(one: WorkerSample) -> Row:
    then = one.workers
    return [
        one.epoch,
        round(one.time_s, 3),
        round(one.until_s, 3),
        one.driver_bytes,
        one.n_waiting,
        None
        if then is None
        else [
            then.n_known,
            then.n_busy,
            then.n_running,
            then.lowest_bytes,
            then.median_bytes,
            then.highest_bytes,
            then.limit_bytes,
        ],
    ]


def _sample(row: Any) -> WorkerSample:
    epoch, time_s, until_s, driver_bytes, n_waiting, then = row
    workers = None if then is None else WorkersThen(*then)
    return WorkerSample(epoch, time_s, until_s, driver_bytes, n_waiting, workers)


#: Their place in a run's store.
WORKER_SAMPLES: RecordKind[WorkerSample, WorkerSample] = RecordKind(
    "workers", _row, _sample, _row, _sample, thinned_samples
)
