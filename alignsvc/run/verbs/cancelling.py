"""Asking a run to stop, wherever it is driven."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from alignsvc.engine.driver_places import DriverStanding
from alignsvc.errors import AlignError, RunStoreError
from alignsvc.io import journal
from alignsvc.io.control import CancelRequest, put_cancel_request
from alignsvc.io.driver_record import DriverRecord
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import LeaseOwner, Patience, live_owner, take_lease
from alignsvc.io.locations import RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.run.records.journal_view import JournalView
from alignsvc.run.records.state import RunState, fold
from alignsvc.run.records.stored import require_run
from alignsvc.run.status.submitted_driver import (
    AskDriver,
    SubmittedDriver,
    ask_driver,
    remove_driver,
    submitted_driver,
)
from alignsvc.run.status.watching import Looking

#: How long a driver is given to obey: its heartbeat, and the task or the solve that it is in.
WAIT_S = 90.0
#: Seconds between two questions to the place of a driver that was submitted.
_ASK_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Queue:
    """Where drivers wait that were submitted.

    Parameters
    ----------
    ask : AskDriver
    remove : callable
        Takes the run and its driver; AlignError where that is not possible.
    """

    ask: AskDriver = ask_driver
    remove: Callable[[Place, DriverRecord], None] = remove_driver


#: As it is.
QUEUE = Queue()


class Cancelling(StrEnum):
    """What came of a request to cancel."""

    OBEYED = "obeyed"  #: its driver has stopped
    MARKED = "marked"  #: nobody drove it: it was marked
    WITHDRAWN = "withdrawn"  #: its driver had not begun: it was removed, and the run marked
    WAITS = "waits"  #: its driver may wait for its turn, and will stop as soon as it begins
    ASKED = "asked"  #: its driver was asked and has not stopped yet
    ENDED = "ended"  #: it had ended before


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A request to cancel, and what came of it.

    Parameters
    ----------
    directory : Place
    outcome : Cancelling
    owner : str
        Who drove it, or was to, if anybody.
    trouble : str
        Why a driver that waits could not be removed, or nobody knows whether there is one; empty if
        that was not so.
    """

    directory: Place
    outcome: Cancelling
    owner: str = ""
    trouble: str = ""

    def line(self) -> str:
        """Return it in a sentence."""
        resume = f"`alignsvc resume {self.directory}` goes on with it"
        match self.outcome:
            case Cancelling.OBEYED:
                but = f"; another driver may wait, and is to be removed: {self.trouble}"
                return (
                    f"{self.directory}: cancelled; {self.owner} has stopped; {resume}"
                    f"{but if self.trouble else ''}"
                )
            case Cancelling.MARKED:
                return f"{self.directory}: cancelled; nobody was driving it; {resume}"
            case Cancelling.WITHDRAWN:
                return (
                    f"{self.directory}: cancelled; its driver, {self.owner}, had not begun and was "
                    f"removed; {resume}"
                )
            case Cancelling.WAITS:
                why = self.trouble or "it was told to end, and is still there"
                return (
                    f"{self.directory}: its driver, {self.owner}, may wait for its turn and was "
                    f"not removed ({why}); the first that begins will stop at once"
                )
            case Cancelling.ASKED:
                return (
                    f"{self.directory}: asked {self.owner} to stop, which it will do after its "
                    "present task; `alignsvc status` tells when it has"
                )
            case Cancelling.ENDED:
                return f"{self.directory}: the run has ended already; nothing to cancel"

    def as_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "directory": str(self.directory),
            "outcome": self.outcome.value,
            "driver": self.owner or None,
            "trouble": self.trouble,
        }


def cancel_run(
    run: Place,
    wait_s: float = WAIT_S,
    looking: Looking | None = None,
    submitted: Queue = QUEUE,
) -> Cancellation:
    """Ask a run to stop and wait for it; mark it as cancelled if nobody drives it.

    What is done is kept: a run that is resumed goes on. Other runs on the same scheduler go on.
    A driver that was submitted and waits for its turn is taken out of the queue; where that is not
    possible, the request waits for whoever begins.

    Parameters
    ----------
    run : Place
    wait_s : float
        How long to wait for its driver.
    looking : Looking or None
    submitted : Queue
        What is asked for a driver that was submitted, and removes it.

    Raises
    ------
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    run, looking = run.absolute(), looking or Looking(interval_s=0.5)
    require_run(run)
    objects = RunLocations(run).objects
    if _state(objects).is_finished:
        return Cancellation(run, Cancelling.ENDED)
    request = CancelRequest.new(str(LeaseOwner.this_process()), looking.clock())
    put_cancel_request(objects, request)
    last_s = looking.elapsed() + wait_s
    withdrawal = _Withdrawal(run, submitted, looking)
    owner: LeaseOwner | None = None
    while True:
        driving = live_owner(objects, looking.clock())
        owner = driving or owner
        withdrawal.go_on(is_driven=driving is not None)
        state = _state(objects)
        end: Cancelling | None = None
        if state.is_finished:
            end = Cancelling.ENDED
        elif request.id in state.obeyed:
            end = Cancelling.OBEYED
        elif driving is None and withdrawal.is_stuck:
            end = Cancelling.WAITS
        elif driving is None and withdrawal.is_over and _marked(objects, request, looking):
            end = Cancelling.WITHDRAWN if withdrawal.has_removed else Cancelling.MARKED
        elif looking.elapsed() >= last_s:
            is_left = driving is None and not withdrawal.is_over
            end = Cancelling.WAITS if is_left else Cancelling.ASKED
        if end is not None:
            who = str(owner or "") if end in (Cancelling.OBEYED, Cancelling.ASKED) else ""
            return Cancellation(run, end, who or withdrawal.driver, withdrawal.trouble)
        looking.wait()


class _Withdrawal:
    """Takes a driver that was submitted out of the queue, unless it drives the run by now."""

    def __init__(self, run: Place, queue: Queue, looking: Looking) -> None:
        self._run, self._queue, self._looking = run, queue, looking
        self._known = _submitted(run, None)
        self._asked_s: float | None = None
        self.has_removed = False
        self.trouble = ""

    @property
    def driver(self) -> str:
        """What the driver is called; empty if the run was not submitted."""
        return "" if self._known is None else str(self._known.record)

    @property
    def is_over(self) -> bool:
        """Whether no driver that was submitted waits or begins, as far as one can tell."""
        if self._known is None or self._known.state is None:
            return self._known is None
        if self._known.state.standing is DriverStanding.UNKNOWN:
            # One that drove the run, and whose lease is free, is gone unless its place says not.
            return self._known.has_begun
        return not self._known.is_there

    @property
    def is_stuck(self) -> bool:
        """Whether a driver may begin at any time, and cannot be removed from here."""
        return bool(self.trouble) and not self.is_over

    def go_on(self, *, is_driven: bool) -> None:
        """Ask how the driver is, and have it removed if it waits, or begins and nobody drives."""
        now_s = self._looking.elapsed()
        if self._known is None or (self._asked_s and now_s - self._asked_s < _ASK_AGAIN_S):
            return
        self._asked_s = now_s
        self._known = known = _submitted(self._run, self._queue.ask)
        if known is None or known.state is None:
            return
        waits = known.state.standing is DriverStanding.WAITS
        if self.is_over:
            self.trouble = ""
        elif not known.is_there:
            self.trouble = known.state.words
        elif (waits or not is_driven) and not self.has_removed:
            try:
                self._queue.remove(self._run, known.record)
                self.has_removed, self.trouble, self._asked_s = True, "", None
            except AlignError as error:
                self.trouble = str(error)


def _submitted(run: Place, ask: AskDriver | None) -> SubmittedDriver | None:
    book = Journal(RunLocations(run).objects, time.time)
    return submitted_driver(run, JournalView().read_on(book.entries()).begun_s, ask)


def _state(objects: ObjectStore) -> RunState:
    return fold(Journal(objects, time.time).events())


def _marked(objects: ObjectStore, request: CancelRequest, looking: Looking) -> bool:
    """Mark a run that nobody drives; return whether that was so."""
    patience = Patience(looking.clock, looking.sleep, lambda text: None)
    try:
        with take_lease(objects, patience):
            book = Journal(objects, time.time)
            state = fold(book.events())
            if not state.is_finished and request.id not in state.obeyed:
                book.append(journal.Cancelled(request.id, request.by))
            return not state.is_finished
    except RunStoreError:
        return False  # a driver was quicker, and finds the request
