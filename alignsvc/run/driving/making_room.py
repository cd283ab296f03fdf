"""The directory of a run: whose it is, and what has to go from it before the run begins."""

from __future__ import annotations

import time

from alignsvc.engine.base import ClusterBackend
from alignsvc.engine.clusters import require_here
from alignsvc.errors import ConfigError, RunStoreError
from alignsvc.io.lease import live_owner
from alignsvc.io.locations import JOURNAL, RunLocations
from alignsvc.io.places import Place, lies_in
from alignsvc.run.planning.plan import Plan
from alignsvc.run.planning.unchanged import difference, files_of, refuse_corrected, require_same
from alignsvc.run.records.run_directory import is_occupied, make, never_began, unusable
from alignsvc.run.records.state import RunState
from alignsvc.run.records.stored import is_begun_in, state_of


def require_room(run: Place, plan: Plan) -> RunState:
    """Return where the run in a directory stands, if that is this one's or can be.

    Raises
    ------
    ConfigError
        It holds another run, or something else; or corrected headers could not be written.
    """
    known = state_of(run) if is_begun_in(run) else RunState()
    if known.identity:
        require_same(run, plan, known)
    elif is_occupied(run) and not never_began(run):
        raise ConfigError(
            f"run.directory: {run} is not empty and holds no run; name another directory"
        )
    if not known.is_finished:
        refuse_corrected(plan, known.run_id)
    return known


def make_room(run: Place, plan: Plan, backend: ClusterBackend, *, is_replaced: bool) -> None:
    """See that the directory is this run's, and that it can be driven from here.

    Parameters
    ----------
    run : Place
    plan : Plan
    backend : ClusterBackend
    is_replaced : bool
        Whether a run of another identity is removed.

    Raises
    ------
    ConfigError
        As of `require_room`; or inputs lie in what is to be removed, or a package is not here.
    RunStoreError
        The directory cannot be used, or somebody drives the run in it.
    """
    try:
        known = _known_in(run, is_replaced=is_replaced)
        is_other = known is None or bool(known.identity and is_replaced and difference(plan, known))
        if is_other:
            refuse_corrected(plan, "")
            require_here(backend)
            _remove(run, plan)
        elif not require_room(run, plan).is_finished:
            require_here(backend)
        make(run)
    except OSError as error:
        raise unusable(run, error) from error


def _known_in(run: Place, *, is_replaced: bool) -> RunState | None:
    """Return the state of the run in a directory, empty if none began there.

    None: there is one that this version cannot read, and it is to be replaced.
    """
    if not is_begun_in(run):
        return RunState()
    try:
        return state_of(run)
    except RunStoreError:
        if not is_replaced or not RunLocations(run).objects.list(JOURNAL):
            raise
        return None


def _remove(run: Place, plan: Plan) -> None:
    """Remove a run, unless someone works on it or inputs lie in it."""
    owner = live_owner(RunLocations(run).objects, time.time())
    if owner is not None:
        raise RunStoreError(
            f"{run}: --new would remove a run that {owner} is driving; `alignsvc cancel` it"
        )
    for header in plan.headers:
        for file in files_of(header):
            if lies_in(file, run):
                raise ConfigError(
                    f"{run}: --new would remove {file}, which is one of images.paths; name "
                    "another run.directory"
                )
    RunLocations(run).objects.delete_below("")
