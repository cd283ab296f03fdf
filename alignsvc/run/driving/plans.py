"""The plan of a run in a directory, with what the run keeps of headers and took along."""

from __future__ import annotations

from collections.abc import Sequence

from alignsvc.config.build import image_settings
from alignsvc.config.schema import Config
from alignsvc.errors import ConfigError
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.headers_read import HeadersRead, find_headers, keep_headers_so_far
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.run.extension.extending import begun_with, earlier_in, earlier_of, require_all_known
from alignsvc.run.planning.header_progress import Keep
from alignsvc.run.planning.making import make_plan
from alignsvc.run.planning.plan import Plan
from alignsvc.run.planning.reading_headers import ReadingListener, untold
from alignsvc.run.planning.unchanged import refuse_read_only
from alignsvc.run.records.run_directory import (
    absolute_directory,
    is_occupied,
    never_began,
    require_usable,
    unusable,
)
from alignsvc.run.records.stored import is_begun_in, state_of


def planned(config: Config, *, is_new: bool = False, told: ReadingListener = untold) -> Plan:
    """Return what a run would do, with the run that it extends as that is now.

    Parameters
    ----------
    config : Config
    is_new : bool
        Whether a run that is in its directory already is of no account.
    told : ReadingListener
        Hears how far the reading of headers is.

    Raises
    ------
    ConfigError
        As of `make_plan`; or nothing is left to align, since all exposures are frozen.
    RunStoreError
        The directory cannot be used.
    """
    require_usable(absolute_directory(config.run.directory))
    begun = None if is_new else begun_with(config)
    run = absolute_directory(config.run.directory)
    known = None if is_new else _headers_read(run, config)
    plan = make_plan(config, begun or earlier_of(config), known, told)
    if begun is None:
        require_all_known(plan)
    if plan.earlier is not None and plan.earlier.is_frozen and not plan.moving:
        raise ConfigError(
            f"run.freeze: no exposure is new that overlaps one of {plan.earlier.directory}: "
            "nothing is left to align; name new exposures in images.paths"
        )
    refuse_read_only(plan)
    return plan


def stored_plan(run: Place, config: Config, told: ReadingListener = untold) -> Plan:
    """Return the plan of a run in a directory, with what it took along of an earlier one."""
    return make_plan(config, earlier_in(run, config), _headers_read(run, config), told)


def keeper(run: Place, config: Config) -> Keep:
    """Return what keeps headers that are read for a run, where it can have the directory."""

    def keep(headers: Sequence[ExposureHeader]) -> None:
        if may_have(run):
            settings = image_settings(config.images)
            keep_headers_so_far(RunLocations(run).objects, headers, settings)

    return keep


def may_have(run: Place) -> bool:
    """Return whether a directory is free, or of a run that goes on, for all that is known yet."""
    try:
        if not is_begun_in(run):
            return not is_occupied(run)
        known = state_of(run)
        return not known.is_finished if known.identity else never_began(run)
    except OSError as error:
        raise unusable(run, error) from error


def _headers_read(run: Place, config: Config) -> HeadersRead:
    return find_headers(RunLocations(run).objects, image_settings(config.images))
