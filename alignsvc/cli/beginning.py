"""What begins before the program is imported: what workers on this machine are copied from.

To import takes both a second and more, and on two cores they do it side by side.
"""

from __future__ import annotations

from pathlib import Path

from alignsvc.config.load import load_config
from alignsvc.engine.worker_server import begin_server
from alignsvc.errors import AlignError
from alignsvc.io.places import run_place


def begin_workers(config: Path, overrides: tuple[str, ...]) -> None:
    """Begin it if a configuration wants such workers, for a run in a directory that is not there.

    A run that is there may have ended, which is found out later. Whatever is wrong with the
    configuration is told then too.
    """
    try:
        wanted = load_config(config, overrides)
        run = run_place(wanted.run.directory)
        is_new = isinstance(run, Path) and not run.exists()
    except (AlignError, OSError):
        return
    if is_new and wanted.cluster.backend == "local":
        begin_server()
