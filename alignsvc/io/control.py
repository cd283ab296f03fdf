"""What is said to a driver, and what it says of itself, while it works: objects of its run.

``control/cancel.json`` asks it to stop. The request carries an id, and the journal says which ids
were obeyed, so that one that is left behind, or read twice, stops nobody. ``lease/progress`` is how
far the present stage is: for people, renewed with the signs of life, and nothing depends on it.
Nor on ``lease/pages``: where a scheduler shows the run.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TypeVar

from alignsvc.errors import RunStoreError
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.locations import CONTROL, LEASE
from alignsvc.io.objects import ObjectStore

T = TypeVar("T")

_CANCEL = f"{CONTROL}cancel.json"
_PROGRESS = f"{LEASE}progress"
_PAGES = f"{LEASE}pages"


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Somebody wants the run to stop.

    Parameters
    ----------
    id : str
    by : str
        Who; for people.
    time_s : float
        When, by the clock of whoever asks; for people.
    """

    id: str
    by: str
    time_s: float

    @classmethod
    def new(cls, by: str, time_s: float) -> CancelRequest:
        """Return a request that nobody else has made."""
        return cls(uuid.uuid4().hex, by, time_s)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is.

    Parameters
    ----------
    epoch : int
        The lease of the driver that says so.
    stage : str
    pass_number : int
        0 is what is not of a pass.
    n_tasks, n_ended, n_skipped, n_failed : int
        In all; those that have ended; those of them that did not go well.
    n_reused : int
        Of those that have ended: answered by a receipt, with no work.
    n_places : int
        Tasks that can run at one time; 0 = not known.
    """

    epoch: int
    stage: str
    pass_number: int
    n_tasks: int
    n_ended: int = 0
    n_skipped: int = 0
    n_failed: int = 0
    n_reused: int = 0
    n_places: int = 0


@dataclass(frozen=True, slots=True)
class LivePages:
    """Pages that the scheduler of a run shows while its driver is there.

    Parameters
    ----------
    epoch : int
        The lease of the driver that says so.
    run, dashboard : str
        Links to the run's own page and to dask's; empty if there is none.
    host : str
        Where the links hold; empty if they do everywhere.
    """

    epoch: int
    run: str = ""
    dashboard: str = ""
    host: str = ""


def put_cancel_request(objects: ObjectStore, request: CancelRequest) -> None:
    """Ask the driver of a run to stop."""
    _put(objects, _CANCEL, request)


def cancel_request(objects: ObjectStore) -> CancelRequest | None:
    """Return the last request, obeyed or not; None if there is none.

    Raises
    ------
    RunStoreError
        It is damaged.
    """
    return _find(objects, _CANCEL, CancelRequest)


def put_progress(objects: ObjectStore, progress: Progress) -> None:
    """Say how far a stage is."""
    _put(objects, _PROGRESS, progress)


def progress_of(objects: ObjectStore) -> Progress | None:
    """Return what a driver said last; None if nothing, or nothing that this version knows.

    Nothing depends on it, and the next sign of life replaces it.
    """
    try:
        return _find(objects, _PROGRESS, Progress)
    except RunStoreError:
        return None


def put_live_pages(objects: ObjectStore, pages: LivePages) -> None:
    """Say where a run is shown."""
    _put(objects, _PAGES, pages)


def live_pages(objects: ObjectStore) -> LivePages | None:
    """Return where a driver said last that its run is shown; None if it never did.

    Raises
    ------
    RunStoreError
        It is damaged.
    """
    return _find(objects, _PAGES, LivePages)


def remove_control(objects: ObjectStore) -> None:
    """Remove what is of no use to a run that has ended."""
    objects.delete(_CANCEL)
    objects.delete(_PROGRESS)
    objects.delete(_PAGES)


def _put(objects: ObjectStore, name: str, value: CancelRequest | Progress | LivePages) -> None:
    data = json_from(value, type(value))
    assert isinstance(data, dict)
    objects.put(name, sealed(data))


def _find(objects: ObjectStore, name: str, type_: type[T]) -> T | None:
    content = objects.find(name)
    try:
        return None if content is None else value_from(unsealed(content), type_)
    except (TypeError, ValueError) as error:
        raise RunStoreError(f"{name} is damaged ({error}); delete it") from error
