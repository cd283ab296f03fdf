"""Where a run can be seen live: told to people, and left where `status` finds it."""

from __future__ import annotations

from contextlib import suppress

from alignsvc.engine.base import ShownPages
from alignsvc.errors import AlignError
from alignsvc.io.control import LivePages, put_live_pages
from alignsvc.io.objects import ObjectStore
from alignsvc.run.records import events


def tell_pages(
    objects: ObjectStore, epoch: int, shown: ShownPages, listener: events.Listener
) -> None:
    """Say what a scheduler shows of the run that the driver of a lease works for."""
    where = f" (on {shown.host})" if shown.host else ""
    for what, link in (("live page", shown.run), ("live dashboard", shown.dashboard)):
        if link:
            listener(events.Note(f"{what}: {link}{where}"))
    with suppress(AlignError):  # a store that fails is found out by what matters
        put_live_pages(objects, LivePages(epoch, shown.run, shown.dashboard, shown.host))
