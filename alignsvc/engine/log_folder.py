"""Where programs that write files, not objects, leave what they print."""

from __future__ import annotations

from pathlib import Path

from alignsvc.io.objects import LocalObjects, ObjectStore


def log_folder(objects: ObjectStore, run_id: str) -> Path:
    """Return a directory for the output of a run's driver and jobs; it may not exist yet.

    It is ``logs`` of the run directory. A run in a bucket has none: then it is below the home of
    whoever runs it, which the nodes of a cluster share.
    """
    if isinstance(objects, LocalObjects):
        return objects.root / "logs"
    return Path.home() / ".local" / "state" / "alignsvc" / run_id
