"""Asking a run to stop, wherever it is driven."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from alignsvc.errors import RunStoreError
from alignsvc.io import journal
from alignsvc.io.control import CancelRequest, put_cancel_request
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import LeaseOwner, Patience, live_owner, take_lease
from alignsvc.io.locations import RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.run.service import require_run
from alignsvc.run.state import RunState, fold
from alignsvc.run.submitting import waiting_driver
from alignsvc.run.watching import Looking

#: How long a driver is given to obey: its heartbeat, and the task or the solve that it is in.
WAIT_S = 90.0


class Cancelling(StrEnum):
    """What came of a request to cancel."""

    OBEYED = "obeyed"  #: its driver has stopped
    MARKED = "marked"  #: nobody drove it: it was marked
    WAITS = "waits"  #: its driver waits for its turn, and will stop as soon as it begins
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
        Who drove it, if anybody did.
    """

    directory: Place
    outcome: Cancelling
    owner: str = ""

    def line(self) -> str:
        """Return it in a sentence."""
        resume = f"`alignsvc resume {self.directory}` goes on with it"
        match self.outcome:
            case Cancelling.OBEYED:
                return f"{self.directory}: cancelled; {self.owner} has stopped; {resume}"
            case Cancelling.MARKED:
                return f"{self.directory}: cancelled; nobody was driving it; {resume}"
            case Cancelling.WAITS:
                return (
                    f"{self.directory}: its driver, {self.owner}, waits for its turn; the first "
                    "that begins will stop at once"
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
        }


def cancel_run(run: Place, wait_s: float = WAIT_S, looking: Looking | None = None) -> Cancellation:
    """Ask a run to stop and wait for it; mark it as cancelled if nobody drives it.

    What is done is kept: a run that is resumed goes on. Other runs on the same scheduler go on.
    Where a driver that was submitted waits for its turn, the request waits for whoever begins.

    Parameters
    ----------
    run : Place
    wait_s : float
        How long to wait for its driver.
    looking : Looking or None

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
    owner, last_s = live_owner(objects, looking.clock()), looking.elapsed() + wait_s
    while True:
        state = _state(objects)
        if state.is_finished:
            return Cancellation(run, Cancelling.ENDED)
        if request.id in state.obeyed:
            return Cancellation(run, Cancelling.OBEYED, str(owner or ""))
        driving = live_owner(objects, looking.clock())
        owner = driving or owner
        waits = waiting_driver(run) if driving is None else None
        if waits is not None:
            return Cancellation(run, Cancelling.WAITS, str(waits))
        if driving is None and _marked(objects, request, looking):
            return Cancellation(run, Cancelling.MARKED)
        if looking.elapsed() >= last_s:
            return Cancellation(run, Cancelling.ASKED, str(owner or ""))
        looking.wait()


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
