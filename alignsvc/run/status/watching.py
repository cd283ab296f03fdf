"""Following a run that somebody else drives: only read, until it goes on no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from alignsvc.io import journal
from alignsvc.io.journal_store import Entry, Journal
from alignsvc.io.lease import PATIENCE_S, Holder
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.run.records.stage_words import stage_words
from alignsvc.run.status.progress import RunProgress
from alignsvc.run.status.run_status import RunStatus
from alignsvc.run.status.standing_now import StandingReader
from alignsvc.run.status.submitted_driver import AskingSeldom, ask_driver
from alignsvc.wording import counted

#: Seconds between two looks: no less, no more.
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.2, 60.0


@dataclass(frozen=True, slots=True)
class Looking:
    """How a run is looked at.

    Parameters
    ----------
    interval_s : float
        Between two looks; kept within `SHORTEST_INTERVAL_S` and `LONGEST_INTERVAL_S`.
    sleep : callable
        Waits so many seconds.
    clock : callable
        Seconds since 1970.
    elapsed : callable
        Seconds that only go forward.
    """

    interval_s: float = 2.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    elapsed: Callable[[], float] = time.monotonic

    def wait(self) -> None:
        """Wait for the next look."""
        self.sleep(min(max(self.interval_s, SHORTEST_INTERVAL_S), LONGEST_INTERVAL_S))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A look at a run: how it stands, and what its journal says that it did not say before."""

    status: RunStatus
    news: tuple[Entry, ...]
    progress: RunProgress

    def lines(self) -> list[str]:
        """Return the news in sentences."""
        return [text for entry in self.news if (text := entry_line(entry.event, self.progress))]


def watched(
    run: Place, looking: Looking | None = None, *, follows_queue: bool = False
) -> Iterator[Seen]:
    """Yield how a run stands, look after look, the last of them when it goes on no more.

    That is when it has ended, was cancelled or stopped, or its driver is gone: on another host,
    when it gave no sign of life for as long as a lease holds, by the clock of whoever looks.

    Parameters
    ----------
    run : Place
    looking : Looking or None
    follows_queue : bool
        Whether a driver that waits for its turn is waited for too.

    Raises
    ------
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    run, looking = run.absolute(), looking or Looking()
    ask = AskingSeldom(looking.elapsed) if follows_queue else None
    reader = StandingReader(run, Journal(RunLocations(run).objects, time.time), ask)
    silence = _Silence()
    while True:
        news = reader.news()
        status = silence.judged(reader.status(looking.clock()), looking.elapsed())
        yield Seen(reader.with_work(status), news, reader.progress)
        if not status.standing.is_going:
            return
        looking.wait()


def run_status(run: Place) -> RunStatus:
    """Return where the run in a directory stands.

    Raises
    ------
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    run = run.absolute()
    reader = StandingReader(run, Journal(RunLocations(run).objects, time.time), ask_driver)
    reader.news()
    return reader.with_work(reader.status(time.time()))


class _Silence:
    """Tells by this process's clock whether a driver elsewhere is silent: clocks may disagree."""

    def __init__(self) -> None:
        self._holder: Holder | None = None
        self._since_s = 0.0

    def judged(self, status: RunStatus, now_s: float) -> RunStatus:
        """Return the status with its driver taken for alive while it gave signs of life."""
        holder = status.holder
        if holder != self._holder:
            self._holder, self._since_s = holder, now_s
        if holder is None or holder.owner.is_gone:
            return status
        is_silent = now_s - self._since_s > PATIENCE_S
        return replace(status, owner=None if is_silent else holder.owner)


def entry_line(event: journal.Event, progress: RunProgress) -> str:
    """Return what an event says to people; empty if nothing.

    Parameters
    ----------
    event : Event
        Of the journal.
    progress : RunProgress
        Of the run, after it.
    """
    match event:
        case journal.DriverStarted():
            return f"driven by {event.owner}"
        case journal.PassStarted():
            return f"pass {event.pass_number}{' (full)' if event.is_full else ''} begins"
        case journal.StageFinished():
            ended = ((event.n_ok, "done"), (event.n_skipped, "skipped"), (event.n_failed, "failed"))
            counts = ", ".join(f"{n} {how}" for n, how in ended if n)
            return f"{stage_words(event.stage, event.pass_number)}: {counts or 'nothing to do'}"
        case journal.Solved():
            records = progress.view.state.passes
            n_sources = next((r.n_sources for r in records if r.number == event.pass_number), 0)
            return (
                f"pass {event.pass_number}: largest movement {event.movement_px:.4f} px (eps_shift "
                f"{progress.eps_shift_px:g}), {counted(event.n_solved, 'exposure')}"
                + (f", {counted(n_sources, 'source')}" if n_sources else "")
            )
        case journal.ExposureEnded():
            return f"{event.status.value}: {event.message}"
        case journal.LoopEnded():
            return f"loop ended: {event.verdict.value}"
        case journal.Finished():
            return f"ended, exit {event.exit_code}"
        case journal.Cancelled():
            return f"cancelled, as {event.by} asked"
        case journal.Retried():
            return counted(
                len(event.exposures),
                "failed exposure is tried again",
                "failed exposures are tried again",
            )
        case journal.Cleaned():
            return "its pixels were removed; the loop begins anew"
        case _:
            return ""
