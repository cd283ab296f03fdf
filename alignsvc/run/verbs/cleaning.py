"""Removing what a run needs no more: pixels, and tables that only a loop that goes on reads.

What stays: configuration, journal, lease, receipts and logs; corrections, headers, tables of
sources and reports; the corrections of each pass. So everything can still be asked of a run that
has ended, and it can be applied. Without its mosaic it cannot be extended any more.

A run that has not ended begins its loop anew when it is resumed, unless its mosaic is kept: then
all that it goes on from stays, and only leftovers of drivers that died go.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from alignsvc.errors import RunStoreError
from alignsvc.io import journal
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Patience, live_owner, take_lease
from alignsvc.io.locations import CONTRIBUTIONS, MOSAIC_STORE, TABLES, RunLocations
from alignsvc.io.mosaic_arrays import generation_name
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.run.finishing.finish import tidy
from alignsvc.run.mending.beginning_anew import remove_pixels
from alignsvc.run.records.state import RunState, fold
from alignsvc.run.records.stored import require_run, stored_config
from alignsvc.run.stages.mosaicking import EARLIER_GENERATION
from alignsvc.wording import counted

#: Tables that a run is asked for which has ended: corrections of passes, what mosaics were made of,
#: sources, where the loop began, what was taken along of an earlier run.
_KEPT_TABLES = tuple(
    TABLES + name for name in ("solved/", "mosaic/", "sources/", "start.npz", "earlier.json")
)


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What a cleaning removed.

    Parameters
    ----------
    directory : Place
    n_objects, n_bytes : int
        Whole objects only; what killed writers left of files is not counted.
    begins_anew : bool
        Whether the run has not ended, and its loop will begin anew.
    """

    directory: Place
    n_objects: int
    n_bytes: int
    begins_anew: bool

    def line(self) -> str:
        """Return it in a sentence."""
        removed = counted(self.n_objects, "object")
        freed = f"{self.directory}: {removed} removed, {self.n_bytes / 1e6:.1f} MB"
        anew = f"; `alignsvc resume {self.directory}` begins its loop anew"
        return freed + (anew if self.begins_anew else "")

    def as_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "directory": str(self.directory),
            "objects": self.n_objects,
            "bytes": self.n_bytes,
            "begins_anew": self.begins_anew,
        }


def clean_run(run: Place, *, keep_mosaic: bool) -> Cleaning:
    """Remove what a run that nobody drives needs no more; nothing is left to do the second time.

    Parameters
    ----------
    run : Place
    keep_mosaic : bool
        Whether ``mosaic.zarr`` stays, with all that a run needs to be extended or to go on.

    Raises
    ------
    RunStoreError
        There is no run, or a driver is alive.
    """
    run = run.absolute()
    require_run(run)
    objects = RunLocations(run).objects
    owner = live_owner(objects, time.time())
    if owner is not None:
        raise RunStoreError(
            f"{run}: {owner} is driving it; `alignsvc cancel {run}` first, or wait for its end"
        )
    with take_lease(objects, Patience(time.time, time.sleep, lambda text: None)):
        book = Journal(objects, time.time)
        known = fold(book.events())
        sizes = dict(_unneeded(objects, known, keep_mosaic=keep_mosaic))
        begins_anew = not known.is_finished and not keep_mosaic
        if begins_anew and known.passes:
            book.append(journal.Cleaned())
        if known.is_finished:
            tidy(run, stored_config(run).run.keep_mosaics if keep_mosaic else "none")
        elif begins_anew:
            remove_pixels(run)
        for name in sizes:
            if name.startswith(TABLES):
                objects.delete(name)
        objects.remove_partial()
    n_bytes = sum(sizes.values())
    return Cleaning(run, len(sizes), n_bytes, begins_anew and bool(known.parts))


def _unneeded(
    objects: ObjectStore, known: RunState, *, keep_mosaic: bool
) -> Iterator[tuple[str, int]]:
    """Yield the objects that go, and how large they are."""
    if known.is_finished or not keep_mosaic:
        yield from objects.sizes(CONTRIBUTIONS).items()
    if keep_mosaic:
        return
    taken_along = f"{MOSAIC_STORE}/{generation_name(EARLIER_GENERATION)}/"
    going_on = (taken_along, f"{MOSAIC_STORE}/zarr.json", TABLES)
    kept = _KEPT_TABLES if known.is_finished else going_on
    for folder in (f"{MOSAIC_STORE}/", TABLES):
        for name, size in objects.sizes(folder).items():
            if not name.startswith(kept):
                yield name, size
