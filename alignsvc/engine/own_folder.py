"""Where what is no object of a run lies: what batch systems and drivers print, keys for a while."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alignsvc.io.objects import LocalObjects, ObjectStore

_KEYS = "keys"


def own_folder(objects: ObjectStore, run_id: str) -> Path:
    """Return a directory of the run that the nodes of a cluster share; it may not exist yet.

    It is the run directory. A run in a bucket has none: then it is below the home of whoever runs
    it.
    """
    if isinstance(objects, LocalObjects):
        return objects.root
    return Path.home() / ".local" / "state" / "alignsvc" / run_id


def log_folder(objects: ObjectStore, run_id: str) -> Path:
    """Return a directory for the output of a run's driver and jobs; it may not exist yet."""
    return own_folder(objects, run_id) / "logs"


@contextmanager
def key_folder(objects: ObjectStore, run_id: str) -> Iterator[Path]:
    """Yield a directory that its owner alone can read, and remove it with all that is in it.

    One that a driver left which was killed goes first: its keys open nothing any more.
    """
    folder = own_folder(objects, run_id) / _KEYS
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
