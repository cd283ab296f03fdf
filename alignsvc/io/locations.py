"""Where everything of a run lies: the only place that spells names of a run directory."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.domain.outcome import TaskKey
from alignsvc.io.objects import ObjectStore, checked_name
from alignsvc.io.places import Place
from alignsvc.io.stores import objects_at

#: Version of everything that is written into a run directory; part of a run's identity.
FORMAT_VERSION = 8

CONFIG = "config.yaml"
HEADERS_READ = "headers.jsonl"
#: Headers of a first reading that goes on, or was stopped.
HEADERS_SO_FAR = "headers-so-far/"
JOURNAL = "journal/"
LEASE = "lease/"
MOSAIC_STORE = "mosaic.zarr"
CORRECTIONS = "corrections.ecsv"
SOURCES = "sources.ecsv"
METHOD_AGREEMENT = "method_agreement.ecsv"
HEADERS = "wcs/"
MOSAIC_FITS = "mosaic.fits"
#: Pictures of the mosaic: what the pages embed, and one for people who look into the folder.
PREVIEWS = "previews/"
PREVIEW_PNG = "preview.png"
REPORT_HTML = "report.html"
REPORT_JSON = "report.json"
HISTORY = "history/"
RECEIPTS = "receipts/"
CONTRIBUTIONS = "contributions/"
TABLES = "tables/"
#: Skies of exposures, each measured once.
SKIES = f"{TABLES}sky/"
CONTROL = "control/"
LOGS = "logs/"
DRIVER_RECORD = f"{CONTROL}driver.json"


@dataclass(frozen=True, slots=True)
class RunLocations:
    """Places of a run directory; every one of them lies inside it.

    Parameters
    ----------
    root : Place
        The run directory, on a disk or in a bucket.
    """

    root: Place

    @property
    def objects(self) -> ObjectStore:
        """The run directory as a store of objects, each on the disk when it is written."""
        return objects_at(self.root)

    @property
    def products(self) -> ObjectStore:
        """The same for what tasks leave, which nobody waits for: see `objects_at`.

        Of receipts and tables that a power cut took, or cut short, the checksum says so, and the
        task is done again. What people are given, and what no task makes, goes to `objects`.
        """
        return objects_at(self.root, is_scratch=True)

    def path(self, name: str) -> Place:
        """Return the place of a name of this module, or of any name below the run directory.

        Raises
        ------
        RunStoreError
            The name would leave the run directory.
        """
        return self.root.joinpath(*checked_name(name.removesuffix("/")).split("/"))


def receipt_name(key: TaskKey) -> str:
    """Return the name of a task's receipt."""
    return f"{RECEIPTS}{key.stage}/{key.digest}.json"


def table_name(key: TaskKey) -> str:
    """Return the name of the table that a task writes."""
    return f"{TABLES}{key.stage}/{key.digest}.npz"
