"""A loop that begins anew: what its last attempt left is removed, what tasks learned is kept.

The second attempt is that of a fresh run, bit for bit, and leaves the same files. Receipts stay,
with the tables that they name: a task of which nothing has changed is not done again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from alignsvc.io.locations import (
    CONTRIBUTIONS,
    CORRECTIONS,
    HEADERS,
    HISTORY,
    METHOD_AGREEMENT,
    MOSAIC_FITS,
    MOSAIC_STORE,
    PREVIEW_PNG,
    PREVIEWS,
    REPORT_HTML,
    REPORT_JSON,
    SKIES,
    SOURCES,
    TABLES,
    RunLocations,
)
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.run.stages.mosaicking import EARLIER_GENERATION

#: Files and folders of a loop's result and record, mosaics and contributions apart.
_FILES = (CORRECTIONS, SOURCES, METHOD_AGREEMENT, REPORT_JSON, REPORT_HTML, PREVIEW_PNG)
_FOLDERS = (HEADERS, HISTORY, PREVIEWS, f"{TABLES}solved/", f"{TABLES}mosaic/", SKIES)


def forget_loop(run: Place) -> None:
    """Remove what the last attempt of a run's loop left; may be called again."""
    objects = RunLocations(run).objects
    for name in (*_FILES, *mosaic_files(objects)):
        objects.delete(name)
    for folder in _FOLDERS:
        objects.delete_below(folder)
    remove_pixels(run)


def mosaic_files(objects: ObjectStore) -> Iterator[str]:
    """Yield the names of the mosaic's FITS files, one a component."""
    stem, suffix = MOSAIC_FITS.split(".")
    for component in count():
        name = f"{stem}_{component}.{suffix}" if component else MOSAIC_FITS
        if not objects.exists(name):
            return
        yield name


def remove_pixels(run: Place) -> None:
    """Remove the contributions and all generations of the mosaic that this run made."""
    locations = RunLocations(run)
    locations.objects.delete_below(CONTRIBUTIONS)
    store = MosaicStore(locations.path(MOSAIC_STORE))
    if EARLIER_GENERATION not in store.generations():
        locations.objects.delete_below(f"{MOSAIC_STORE}/")
        return
    store.withdraw()
    for generation in store.generations():
        if generation != EARLIER_GENERATION:
            store.remove(generation)
