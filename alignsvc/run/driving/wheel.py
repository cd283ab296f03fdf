"""What surrounds a driver's work: signs of life, a log, and an end that the journal knows of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from alignsvc.engine import base as engine
from alignsvc.errors import AlignError, RunCancelled, RunInterrupted
from alignsvc.io import journal
from alignsvc.io.journal_store import Journal
from alignsvc.io.last_words import LastWords, give_room_back, keep_room, leave_last_words
from alignsvc.io.lease import Lease
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.io.run_logs import LogWriter
from alignsvc.redaction import redacted
from alignsvc.run.driving.keeping import Keeper, Kept
from alignsvc.run.records import events
from alignsvc.run.records.run_log import RunLog
from alignsvc.run.records.state import RunState
from alignsvc.run.records.work_log import WorkLog


@dataclass(frozen=True, slots=True, eq=False)
class Wheel:
    """What a driver tells of its work, and asks.

    Parameters
    ----------
    listener : Listener
        Hears of the run's events.
    keeper : Keeper
        Asked after each task whether to go on.
    log : RunLog
    work : WorkLog
        Of tasks and workers.
    """

    listener: events.Listener
    keeper: Keeper
    log: RunLog
    work: WorkLog

    def with_tasks_of(self, listener: engine.Listener) -> engine.Listener:
        """Return who hears of single tasks: a listener of the driver's own, logs and keeper."""
        return engine.heard_by(
            listener, self.work.task_event, self.log.task_event, self.keeper.task_event
        )


@contextmanager
def driving(
    run: Place, book: Journal, lease: Lease, known: RunState, listener: events.Listener
) -> Iterator[Wheel]:
    """Give signs of life and keep a log while a driver works, and see that it stops if asked to.

    Parameters
    ----------
    run : Place
    book : Journal
        The driver's own: it is told of a cancel.
    lease : Lease
    known : RunState
        As the driver found it.
    listener : Listener
        Hears what the log hears too.

    Raises
    ------
    RunCancelled
        Somebody asked for it; the journal says so.
    RunInterrupted
        Ctrl-C, or a signal.
    AlignError
        What ended the work, which the run keeps for people who ask how it is.
    """
    objects, products = RunLocations(run).objects, RunLocations(run).products
    # Nobody waits for the disk to have logs: of what a power cut takes, the rest can be read.
    log = RunLog(LogWriter(products, lease.epoch), str(lease.owner))
    keeper = Keeper(Kept(str(run), objects, lease, known.obeyed))
    work = WorkLog(products, lease, events.heard_by(listener, log.event))
    keep_room(objects)
    try:
        with log, work, keeper:
            heard = events.heard_by(listener, log.event, work.event, keeper.event)
            yield Wheel(heard, keeper, log, work)
    except RunCancelled as cancelled:
        book.append(journal.Cancelled(cancelled.request, cancelled.by))
        raise
    except KeyboardInterrupt as interrupt:
        raise RunInterrupted(str(run)) from interrupt
    except AlignError as error:
        lease.check()  # another driver's words are not to be replaced
        leave_last_words(objects, LastWords(lease.epoch, redacted(str(error))))
        raise
    finally:
        give_room_back(objects)
