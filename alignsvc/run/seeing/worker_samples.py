"""How a run's workers are and were: of the record in its store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from alignsvc.io.record_pieces import Records
from alignsvc.io.worker_samples import WorkerSample, thinned_samples
from alignsvc.run.seeing.task_times import gaps_in

SampleRecords: TypeAlias = Records[WorkerSample, WorkerSample]

#: Samples that are drawn.
_MOST_SAMPLES = 1200


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
