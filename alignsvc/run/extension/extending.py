"""Extending a finished run: take along what the new one needs of it, once."""

from __future__ import annotations

import time

from alignsvc.config.schema import Config
from alignsvc.errors import ConfigError
from alignsvc.io.journal import Extended
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import MOSAIC_STORE, RunLocations
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.places import Place, lies_in, run_place
from alignsvc.run.extension.reading_earlier import FinishedRun
from alignsvc.run.planning.earlier_run import EarlierRun, stored_earlier
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records.state import fold
from alignsvc.run.stages.mosaicking import EARLIER_GENERATION
from alignsvc.tasks.merge import mosaic_store


def begun_with(config: Config) -> EarlierRun | None:
    """Return what the run in the configuration's directory took along of the one to extend.

    None if there is no such run, or it took along another: the earlier one is to be read then.
    What the run itself has written into headers since makes no difference so.
    """
    if config.run.extend is None:
        return None
    own = run_place(config.run.directory)
    stored = stored_earlier(RunLocations(own).objects)
    run = run_place(config.run.extend)
    if stored is None or (stored.directory, stored.is_frozen) != (str(run), config.run.freeze):
        return None
    now = fold(Journal(RunLocations(run).objects, time.time).events()).identity
    return stored if now in ("", stored.identity) else None


def earlier_of(config: Config) -> EarlierRun | None:
    """Return the run that a configuration extends, as it is now; None if it extends none.

    Raises
    ------
    ConfigError
        There is no such run, it has not ended well, or its pixels mean something else.
    RunStoreError
        It is of another format, or damaged.
    """
    if config.run.extend is None:
        return None
    run = run_place(config.run.extend)
    own = run_place(config.run.directory)
    if lies_in(run, own):
        raise ConfigError(
            f"run.directory: {own} is, or holds, the run that is extended, and that is only read; "
            "name another directory"
        )
    return FinishedRun.of(run).read(config)


def take_along(run: Place, plan: Plan, *, is_known: bool) -> Extended | None:
    """Copy what a run needs of the one that it extends; return what the journal is to say.

    From then on the earlier one may go. Pixels are linked where the disk allows it; nothing is
    written into the earlier run.

    Parameters
    ----------
    run : Place
        The run directory.
    plan : Plan
    is_known : bool
        Whether the journal says it already.
    """
    earlier = plan.earlier
    if earlier is None or is_known:
        return None
    objects = RunLocations(run).objects
    if stored_earlier(objects) is None:
        there = RunLocations(run_place(earlier.directory)).objects
        for one in earlier.exposures:
            if one.rays is not None:
                objects.put_if_absent(one.rays.name, there.get(one.rays.name))
        if earlier.is_frozen and earlier.mosaic is not None:
            source = MosaicStore(RunLocations(run_place(earlier.directory)).path(MOSAIC_STORE))
            mosaic_store(run).adopt(source, earlier.mosaic.generation, EARLIER_GENERATION)
    record = earlier.store(objects)
    known = sum(one.known is not None for one in (*plan.exposures, *plan.idle))
    return Extended(
        earlier.directory,
        earlier.identity,
        record,
        earlier.is_frozen,
        known,
        len(plan.exposures) + len(plan.idle) - known,
    )


def require_all_known(plan: Plan) -> None:
    """Refuse files of which a known exposure is only a part by now: it would count twice."""
    if plan.earlier is None:
        return
    found = {one.id for one in plan.earlier.known_among(plan.headers).values()}
    for one in plan.earlier.exposures:
        if one.id not in found:
            raise ConfigError(
                f"exposure {one.id} of {plan.earlier.directory}: {one.files[0]} is part of another "
                "exposure now (images.group_by), or changed just now; leave out the files that "
                "join it, or run all exposures together without --extend"
            )


def earlier_in(run: Place, config: Config) -> EarlierRun | None:
    """Return the earlier run as a run in a directory knows it, whether that is still there or not.

    A driver that died before it had copied what it needs has to read it again.
    """
    if config.run.extend is None:
        return None
    return stored_earlier(RunLocations(run).objects) or earlier_of(config)
