"""How a run's workers are and were, and how fast its tasks end: of the record in its store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from alignsvc.io.objects import ObjectStore
from alignsvc.io.record_pieces import PieceReader, Records
from alignsvc.io.task_ends import TASK_ENDS
from alignsvc.io.worker_samples import WORKER_SAMPLES, WorkerSample, thinned_samples
from alignsvc.run.seeing.task_times import TaskRate, gaps_in, task_rate

SampleRecords: TypeAlias = Records[WorkerSample, WorkerSample]

#: Samples that are drawn.
_MOST_SAMPLES = 1200
#: Pieces that the last minute is in, and the last sample.
_NEWEST_PIECES = 2


@dataclass(frozen=True, slots=True)
class ShownSamples:
    """Samples as they are drawn.

    Parameters
    ----------
    samples : tuple of WorkerSample
        In the order in which they were taken.
    notes : tuple of str
        What is missing, and why.
    """

    samples: tuple[WorkerSample, ...] = ()
    notes: tuple[str, ...] = ()


def shown_samples(found: SampleRecords, most: int = _MOST_SAMPLES) -> ShownSamples:
    """Return the samples of a record, a bounded number of them."""
    samples = thinned_samples(found.sums, found.records, most)
    return ShownSamples(samples, gaps_in(found, "samples of workers"))


@dataclass(frozen=True, slots=True)
class WorkNow:
    """How a run works, as its store last said.

    Parameters
    ----------
    sample : WorkerSample or None
        The last one; None if there is none.
    rate : TaskRate or None
        Of the stage whose task ended last, within the minute before that sample.
    """

    sample: WorkerSample | None = None
    rate: TaskRate | None = None


class WorkReader:
    """Reads again and again how a run works: the newest pieces of its record, if they are new.

    Parameters
    ----------
    objects : ObjectStore
        Of the run.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._samples = PieceReader(objects, WORKER_SAMPLES, newest=1)
        self._tasks = PieceReader(objects, TASK_ENDS, newest=_NEWEST_PIECES)

    def look(self) -> WorkNow:
        """Return how it works now; of a driver that is gone, how it did at the last."""
        samples, ends = self._samples().records, self._tasks().records
        sample = samples[-1] if samples else None
        if sample is None:
            return WorkNow()
        return WorkNow(sample, task_rate(ends, sample.until_s))
