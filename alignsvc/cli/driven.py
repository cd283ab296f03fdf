"""A run that this process drives, or follows in its stead, as a display is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from alignsvc.cli.displays import Display
from alignsvc.cli.output import ask
from alignsvc.io.control import Progress
from alignsvc.io.journal import DriverStarted, Finished, PassStarted, StageFinished
from alignsvc.io.journal_store import Entry
from alignsvc.run.driving.keeping import progress_after
from alignsvc.run.records import events
from alignsvc.run.status.progress import RunProgress
from alignsvc.run.status.watching import entry_line


class Driven:
    """Hears of a run's events and tells a display what goes on; asks whether to go on.

    Parameters
    ----------
    display : Display
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, display: Display, clock: Callable[[], float] = time.time) -> None:
        self._display = display
        self._clock = clock
        self._progress = RunProgress()
        self._done: Progress | None = None
        self._ahead_s = 0.0  # this clock, of the driver's

    def __call__(self, event: events.Event) -> None:
        """Take notice of `event`."""
        match event:
            case events.HeadersRead():
                self._display.read(event)
                return
            case events.Note():
                self._display.say(f"note: {event.text}")
                return
            case events.Begun():
                self._progress = RunProgress(eps_shift_px=event.eps_shift_px).read_on(event.entries)
            case events.Recorded():
                self._progress = self._progress.read_on((event.entry,))
                self._said(event.entry)
            case events.StageStarted() | events.TaskEnded():
                self._done = progress_after(self._done, event, epoch=0)
                self._progress = self._progress.counted(self._done, self._now_s)
            case events.Counted():
                self._ahead_s = self._clock() - event.time_s
                self._progress = self._progress.counted(event.progress, event.time_s)
            case events.Sampled():
                self._progress = self._progress.sampled(event.sample)
        self._display.show(self._progress, self._now_s)

    def _said(self, entry: Entry) -> None:
        """Tell what an entry of the journal says; that it begins and ends is no news here."""
        if isinstance(entry.event, DriverStarted | Finished):
            self._display.log(entry_line(entry.event, self._progress), entry.time_s)
        else:
            say_entry(self._display, entry, self._progress)

    @property
    def _now_s(self) -> float:
        return self._clock() - self._ahead_s

    def ask_to_go_on(self, solved: events.PassSolved) -> bool:
        """Ask after a pass whether to go on; anything but no is yes."""
        question = f"pass {solved.pass_number}: {solved.movement_px:.4f} px. Another pass? [Y/n] "
        with self._display.paused():
            return not ask(question).lower().startswith("n")


def say_entry(display: Display, entry: Entry, progress: RunProgress) -> None:
    """Tell a display what an entry of the journal says, if anything."""
    sentence = entry_line(entry.event, progress)
    if not sentence:
        return
    if isinstance(entry.event, StageFinished | PassStarted):
        display.log(sentence, entry.time_s)
    else:
        display.say(sentence, entry.time_s)
