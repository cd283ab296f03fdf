"""What `check` and `submit --dry-run` say: the plan of a run, if `run` would take it."""

from __future__ import annotations

from dataclasses import replace

from alignsvc.config.build import build_cluster
from alignsvc.config.schema import Config
from alignsvc.engine.base import JobBackend
from alignsvc.engine.clusters import missing_here
from alignsvc.run.driving.making_room import require_room
from alignsvc.run.driving.plans import planned
from alignsvc.run.needs.worker_memory import require_fits, unknown_memory
from alignsvc.run.planning.header_progress import HeaderProgress
from alignsvc.run.planning.plan import Plan, no_usable_exposure
from alignsvc.run.records import events
from alignsvc.run.records.run_directory import absolute_directory


def checked(config: Config, listener: events.Listener = events.silent) -> Plan:
    """Return the plan of a run that `begin` would take; its notes begin with those on its workers.

    What the configuration has wrong is refused, as `begin` refuses it. Packages and programs that
    this very machine lacks are notes: it may be a run for another one. The listener hears how far
    the reading of headers is.

    Raises
    ------
    ConfigError, RunStoreError
        As of `begin`.
    """
    backend = build_cluster(config, None)
    plan = planned(config, told=HeaderProgress(listener, None))
    if not plan.is_usable:
        raise no_usable_exposure(plan)
    memory = (*require_fits(plan, backend), *unknown_memory(plan, backend))
    require_room(absolute_directory(config.run.directory), plan)
    lacking = tuple(f"not from this machine: {text}" for text in missing_here(backend))
    told = backend.notes() if isinstance(backend, JobBackend) else ()
    return replace(plan, notes=(*memory, *lacking, *told, *plan.notes))
