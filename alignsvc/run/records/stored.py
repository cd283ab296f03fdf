"""What stands in the directory of a run that began: its configuration, and where it stands."""

from __future__ import annotations

import time

from alignsvc.config.load import parse_config
from alignsvc.config.schema import Config
from alignsvc.errors import RunStoreError
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import CONFIG, RunLocations
from alignsvc.io.places import Place
from alignsvc.run.records.state import RunState, fold


def stored_config(run: Place) -> Config:
    """Return the configuration that a run was begun with."""
    require_run(run)
    content = RunLocations(run).objects.get(CONFIG)
    return parse_config(content.decode(), str(run / CONFIG))


def state_of(run: Place) -> RunState:
    """Return where the run in a directory stands."""
    require_run(run)
    return fold(Journal(RunLocations(run).objects, time.time).events())


def require_run(run: Place) -> None:
    """Raise RunStoreError unless `run` is a run directory."""
    if not is_begun_in(run):
        raise RunStoreError(
            f"{run}: not a run directory (no {CONFIG} in it); give the directory that "
            "run.directory named"
        )


def is_begun_in(run: Place) -> bool:
    """Return whether a run began in a directory: whether its configuration is there."""
    return RunLocations(run).objects.exists(CONFIG)
