"""The driver's log: what of a run's events people may want to know afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType

from alignsvc.domain.outcome import TaskKey, TaskStatus
from alignsvc.engine.base import TaskDoubled, TaskEvent, TaskRetried
from alignsvc.errors import AlignError
from alignsvc.io.run_logs import LogKind, LogLine, LogWriter
from alignsvc.run.records import events
from alignsvc.run.records.stage_words import stage_words
from alignsvc.wording import counted

#: Retries may come in crowds, and each flush writes a whole piece.
_BETWEEN_RETRIES_S = 1.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds since 1970, and seconds that only go forward."""

    now_s: Callable[[], float] = time.time
    elapsed_s: Callable[[], float] = time.monotonic


class RunLog:
    """Hears of events and writes down those that matter; a context manager that says how it ended.

    Tasks that went well are not in it: receipts tell of them. A store that does not take a line is
    no reason to stop a run, which will find out by itself: the line stays for the next flush.

    Parameters
    ----------
    writer : LogWriter
    about : str
        Who drives.
    clocks : Clocks
    """

    def __init__(self, writer: LogWriter, about: str, clocks: Clocks | None = None) -> None:
        self._writer = writer
        self._about = about
        self._clocks = clocks or Clocks()
        self._flushed_s = -_BETWEEN_RETRIES_S

    def event(self, event: events.Event) -> None:
        """Write down what the driver tells."""
        match event:
            case events.StageStarted():
                name = stage_words(event.stage, event.pass_number)
                text = f"{name}, {counted(event.total, 'task')}"
                self._add(self._line(LogKind.STAGE_STARTED, text, stage=event.stage))
                self._flush()
            case events.TaskEnded() if not event.outcome.is_ok:
                outcome = event.outcome
                failed = outcome.status is TaskStatus.FAILED
                kind = LogKind.TASK_FAILED if failed else LogKind.TASK_SKIPPED
                self._add(self._of_task(kind, outcome.key, f"{outcome.reason}: {outcome.message}"))
            case events.PassSolved():
                text = (
                    f"pass {event.pass_number}: largest movement {event.movement_px:.6f} px, "
                    f"{counted(event.n_solved, 'exposure')} solved from "
                    f"{counted(event.n_sources, 'source')}"
                )
                self._add(self._line(LogKind.PASS_SOLVED, text))
                self._flush()
            case events.Note():
                self._add(self._line(LogKind.NOTE, event.text))
                self._flush()

    def task_event(self, event: TaskEvent) -> None:
        """Write down that a task is tried again, or twice at a time."""
        if isinstance(event, TaskRetried):
            text = f"try {event.attempt}: {event.why}"
            self._add(self._of_task(LogKind.TASK_RETRIED, event.key, text))
        elif isinstance(event, TaskDoubled):
            text = f"it runs for {event.seconds:.0f} s, longer than others; the first to end counts"
            self._add(self._of_task(LogKind.TASK_DOUBLED, event.key, text))
        else:
            return
        if self._clocks.elapsed_s() - self._flushed_s >= _BETWEEN_RETRIES_S:
            self._flush()

    def _line(self, what: LogKind, text: str, stage: str = "") -> LogLine:
        return LogLine(round(self._clocks.now_s(), 3), what, stage, text=text)

    def _of_task(self, what: LogKind, key: TaskKey, text: str) -> LogLine:
        return replace(self._line(what, text, key.stage), subject=key.subject)

    def _add(self, line: LogLine) -> None:
        with suppress(AlignError):
            self._writer.add(line)

    def _flush(self) -> None:
        self._flushed_s = self._clocks.elapsed_s()
        with suppress(AlignError):
            self._writer.flush()

    def __enter__(self) -> RunLog:
        self._add(self._line(LogKind.DRIVER_STARTED, self._about))
        self._flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        how = "done" if error is None else f"{type(error).__name__}: {error}"
        self._add(self._line(LogKind.DRIVER_ENDED, how))
        self._flush()
