"""What a journal says of a run, as far as it was read: its state, its stage, its exposures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from alignsvc.domain.outcome import Status
from alignsvc.io.journal import DriverStarted, Finished, StageFinished, StageStarted
from alignsvc.io.journal_store import Entry
from alignsvc.run.records.identity import fingerprints_among
from alignsvc.run.records.state import RunState, after_all

#: What exposures are that have not ended, in a run that goes on, and in one that does not.
GOING, NOT_ALIGNED = "going", "not aligned"


def of_unended(*, is_going: bool) -> str:
    """Return what exposures are that have not ended, in a run that goes on or does not."""
    return GOING if is_going else NOT_ALIGNED


@dataclass(frozen=True, slots=True, eq=False)
class JournalView:
    """A journal as far as it was read.

    Parameters
    ----------
    state : RunState
    n_entries : int
    last_s : float
        When the last one was written; 0 if there is none.
    stage : StageStarted or None
        That has begun and not ended.
    begun_s : float
        When a driver last began; 0 if none has.
    epoch : int
        The lease of that driver.
    """

    state: RunState = field(default_factory=RunState)
    n_entries: int = 0
    last_s: float = 0.0
    stage: StageStarted | None = None
    begun_s: float = 0.0
    epoch: int = 0

    def read_on(self, entries: Iterable[Entry]) -> JournalView:
        """Return it with entries that follow."""
        entries = tuple(entries)
        if not entries:
            return self
        stage, begun_s, epoch = self.stage, self.begun_s, self.epoch
        for entry in entries:
            if isinstance(entry.event, StageStarted):
                stage = entry.event
            elif isinstance(entry.event, StageFinished | DriverStarted | Finished):
                stage = None
            if isinstance(entry.event, DriverStarted):
                begun_s, epoch = entry.time_s, entry.event.epoch
        state = after_all(self.state, (entry.event for entry in entries))
        return JournalView(state, entries[-1].sequence, entries[-1].time_s, stage, begun_s, epoch)


@dataclass(frozen=True, slots=True)
class ExposureCounts:
    """How many exposures there are, and how many of them have ended how.

    Parameters
    ----------
    going : int
        That have not ended; 0 once the run has ended. They are not aligned if the run goes on no
        more: too many failed, or it was stopped.
    aligned, skipped, failed : int
    """

    going: int = 0
    aligned: int = 0
    skipped: int = 0
    failed: int = 0

    def as_json(self, *, is_going: bool) -> dict[str, int]:
        """Return them by name; those that have not ended are not aligned if nothing goes on."""
        return {
            "going": self.going,
            "aligned": self.aligned,
            "skipped": self.skipped,
            "failed": self.failed,
            "not_aligned": 0 if is_going else self.going,
        }


def counts_of(state: RunState) -> ExposureCounts:
    """Return how exposures stand, by the journal alone."""
    ended = Counter(end.status for end in state.ended.values())
    going = len(fingerprints_among(state.parts).keys() - state.ended.keys())
    return ExposureCounts(
        0 if state.is_finished else going,
        going if state.is_finished else 0,
        ended[Status.SKIPPED],
        ended[Status.FAILED],
    )
