"""Where a run stands, looked at again and again: of its store, and only what is new."""

from __future__ import annotations

from dataclasses import replace

from alignsvc.errors import RunStoreError
from alignsvc.io.journal_store import Entry, Journal
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.io.record_pieces import PieceReader
from alignsvc.io.worker_samples import WORKER_SAMPLES, WorkerSample
from alignsvc.run.records.stored import require_run, stored_config
from alignsvc.run.status.pace import Forecast
from alignsvc.run.status.progress import RunProgress
from alignsvc.run.status.run_status import RunStatus, status_of
from alignsvc.run.status.submitted_driver import AskDriver

#: So long what a driver said of its workers holds.
_FRESH_S = 30.0


class StandingReader:
    """Reads a run's journal, and what its driver says beside it.

    Parameters
    ----------
    run : Place
        The run's directory, absolute.
    book : Journal
        The run's own.
    ask : AskDriver or None
        Asked for a driver that was submitted, where nobody drives the run; None = it is not.

    Raises
    ------
    RunStoreError
        There is no run.
    """

    def __init__(self, run: Place, book: Journal, ask: AskDriver | None = None) -> None:
        require_run(run)
        self._run = run
        self._book = book
        self._ask = ask
        self._samples = PieceReader(RunLocations(run).objects, WORKER_SAMPLES, newest=1)
        self.progress = RunProgress()

    def news(self) -> tuple[Entry, ...]:
        """Return the events since the last call.

        Raises
        ------
        RunStoreError
            The journal cannot be trusted, or is of another format.
        """
        news, trouble = self.sound_news()
        if trouble is not None:
            raise trouble
        return news

    def sound_news(self) -> tuple[tuple[Entry, ...], RunStoreError | None]:
        """Return the events since the last call as far as they can be read, and what hinders.

        Raises
        ------
        RunStoreError
            Not one event can be read: the run is of another format, say.
        """
        found: list[Entry] = []
        trouble = None
        try:
            for entry in self._book.entries(after=self.progress.view.n_entries):
                found.append(entry)  # noqa: PERF402 - those before a damaged one count
        except RunStoreError as error:
            if not found and not self.progress.view.n_entries:
                raise
            trouble = error
        if not self.progress.eps_shift_px:
            # After the journal: of another format, settings may have another meaning.
            eps_shift_px = stored_config(self._run).alignment.eps_shift
            self.progress = replace(self.progress, eps_shift_px=eps_shift_px)
        self.progress = self.progress.read_on(found)
        return tuple(found), trouble

    def status(self, now_s: float) -> RunStatus:
        """Return where the run stands by the events that were read, without what goes on in it."""
        status = status_of(self._run, self.progress.view, now_s, self._ask)
        return replace(status, eps_shift_px=self.progress.eps_shift_px)

    def with_work(self, status: RunStatus) -> RunStatus:
        """Return a status with how its tasks and workers are, if it goes on."""
        time_s = driver_time_s(status)
        sample = self._sample_of(status)
        self.progress = self.progress.counted(status.progress, time_s).sampled(sample)
        goes_on = status.standing.is_going
        forecast = self.progress.forecast(time_s) if goes_on else Forecast()
        return replace(status, forecast=forecast, workers=sample)

    def _sample_of(self, status: RunStatus) -> WorkerSample | None:
        """Return what the present driver last said of its workers, unless that is long ago."""
        if status.holder is None or not status.standing.is_going:
            return None
        samples = self._samples().records
        if not samples or samples[-1].epoch != status.holder.epoch:
            return None
        is_old = driver_time_s(status) - samples[-1].until_s > _FRESH_S
        return None if is_old else samples[-1]


def driver_time_s(status: RunStatus) -> float:
    """Return when it was said how far the stage is, by the clock of the driver that said so.

    With it, as other clocks may be off. Seconds since 1970; 0 if nobody said anything.
    """
    holder = status.holder
    return 0.0 if holder is None or holder.last is None else holder.last.time_s
