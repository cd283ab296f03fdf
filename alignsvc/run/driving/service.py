"""A run from outside: begin it, go on with it, look at it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from threadpoolctl import threadpool_limits

from alignsvc.config.build import build_cluster, image_settings
from alignsvc.config.load import dump_config
from alignsvc.config.schema import Config
from alignsvc.engine.base import ClusterBackend, JobBackend, RunContext
from alignsvc.engine.clusters import require_here
from alignsvc.errors import ConfigError, RunStoreError
from alignsvc.io import journal
from alignsvc.io.exposure_files import absolute_pattern
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.headers_read import (
    HeadersRead,
    find_headers,
    has_headers_so_far,
    keep_headers,
    keep_headers_so_far,
)
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Lease, Patience, live_owner, take_lease
from alignsvc.io.locations import CONFIG, JOURNAL, RunLocations
from alignsvc.io.places import Place, lies_in, place_of
from alignsvc.run.driving.first_time import compiling_note
from alignsvc.run.driving.wheel import driving
from alignsvc.run.extension.extending import (
    begun_with,
    earlier_in,
    earlier_of,
    require_all_known,
    take_along,
)
from alignsvc.run.finishing.finish import end_early, finish, is_tidy, tidy
from alignsvc.run.finishing.finished import finished_result, too_late
from alignsvc.run.loop.bootstrapping import bootstrapped
from alignsvc.run.loop.driver import GoOn, run_loop
from alignsvc.run.mending.beginning_anew import forget_loop
from alignsvc.run.mending.damage import Damage, mended, told_damage
from alignsvc.run.mending.settled_products import require_whole_past
from alignsvc.run.needs.worker_memory import require_fits
from alignsvc.run.planning.failed_fraction import TooManyFailed, require_enough
from alignsvc.run.planning.header_progress import HeaderProgress, Keep
from alignsvc.run.planning.making import make_plan
from alignsvc.run.planning.outlines import write_outlines
from alignsvc.run.planning.plan import Plan, no_usable_exposure
from alignsvc.run.planning.reading_headers import ReadingListener, untold
from alignsvc.run.planning.sky_order import sky_order
from alignsvc.run.planning.unchanged import (
    difference,
    files_of,
    refuse_corrected,
    refuse_read_only,
    require_its_inputs,
    require_same,
    with_inputs_restored,
)
from alignsvc.run.records import events
from alignsvc.run.records.result import RunResult
from alignsvc.run.records.run_directory import (
    absolute_directory,
    is_occupied,
    make,
    never_began,
    require_usable,
    unusable,
)
from alignsvc.run.records.state import RunState, fold
from alignsvc.run.records.stored import is_begun_in, state_of, stored_config
from alignsvc.run.seeing import SCHEDULER_PAGE
from alignsvc.run.seeing.live_pages import tell_pages
from alignsvc.run.stages.running import ReuseCount, Tools


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is carried out; nothing here changes a number.

    Parameters
    ----------
    overrides : tuple of str
        ``section.key=value``, applied to the configuration.
    workers : int or None
    replace : bool
        Remove a run of another identity that is in the way.
    listener : Listener
    go_on : callable or None
        Asked after each pass whether to go on.
    """

    overrides: tuple[str, ...] = ()
    workers: int | None = None
    replace: bool = False
    listener: events.Listener = events.silent
    go_on: GoOn | None = None


def begin(config: Config, options: RunOptions) -> RunResult:
    """Run `config`, or go on with the run of the same identity in its directory.

    Raises
    ------
    ConfigError
        No usable exposure, or the directory holds a run of another identity.
    RunStoreError
        The directory cannot be used.
    """
    plan = ready(config, options)
    return _drive(absolute_directory(config.run.directory), plan, options)


def ready(config: Config, options: RunOptions) -> Plan:
    """Return the plan of a run whose directory is its own now, and holds its configuration.

    Raises
    ------
    ConfigError, RunStoreError
        As of `begin`.
    """
    backend = build_cluster(config, options.workers)
    run = absolute_directory(config.run.directory)
    keep = None if options.replace else _keeper(run, config)
    told = HeaderProgress(options.listener, keep)
    plan = planned(config, is_new=options.replace, told=told)
    if not plan.is_usable:
        raise no_usable_exposure(plan)
    for note in require_fits(plan, backend):
        options.listener(events.Note(note))
    stored = dump_config(_anywhere(plan, run)).encode()
    _make_room(run, plan, options, backend)
    RunLocations(run).objects.put_if_absent(CONFIG, stored)
    return plan


def prepare(plan: Plan, options: RunOptions) -> None:
    """Write down all that `resume` needs to drive a run that is `ready`, wherever it is called.

    The configuration is renewed: what changes no number may have been mended.

    Raises
    ------
    ConfigError
        Inputs are not what they were.
    RunStoreError
        Another driver has the run.
    """
    run = absolute_directory(plan.config.run.directory)
    with _lease(run, options) as lease:
        _renew_config(run, _recorded(run, plan, options.listener).plan, lease)


def resume(run: Place, options: RunOptions) -> RunResult:
    """Go on with the run in a directory, by its own stored configuration.

    Raises
    ------
    RunStoreError
        There is no run, or its journal cannot be trusted.
    ConfigError
        Its inputs are not what they were.
    """
    run = run.absolute()
    known = state_of(run)  # first: of another format, settings may have another meaning
    config = stored_config(run)
    if known.is_finished and is_tidy(run):
        return finished_result(run, config, known)
    build_cluster(config, options.workers)
    plan = stored_plan(run, config, HeaderProgress(options.listener, _keeper(run, config)))
    require_its_inputs(run, plan, known)
    return _drive(run, plan, options)


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


def _keeper(run: Place, config: Config) -> Keep:
    """Return what keeps headers that are read for a run, where it can have the directory."""

    def keep(headers: Sequence[ExposureHeader]) -> None:
        if _may_have(run):
            settings = image_settings(config.images)
            keep_headers_so_far(RunLocations(run).objects, headers, settings)

    return keep


def _may_have(run: Place) -> bool:
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


def _anywhere(plan: Plan, run: Place) -> Config:
    """Return the configuration with names that mean the same wherever it is read."""
    config = plan.config
    images, detection = config.images, config.detection
    alignment, reference, mosaic = config.alignment, config.reference, config.mosaic
    plane = alignment.tangent_plane
    if plane is not None and all(header.ref.id != plane for header in plan.headers):
        plane = _absolute(plane)
    return config.model_copy(
        update={
            "images": images.model_copy(
                update={"paths": tuple(absolute_pattern(path) for path in images.paths)}
            ),
            "run": config.run.model_copy(
                update={"directory": str(run), "extend": _absolute(config.run.extend)}
            ),
            "detection": detection.model_copy(
                update={
                    "catalog": _absolute(detection.catalog),
                    "mask": _absolute(detection.mask),
                }
            ),
            "reference": reference.model_copy(
                update={"image": plan.reference, "catalog": _absolute(reference.catalog)}
            ),
            "mosaic": mosaic.model_copy(update={"grid": _absolute(mosaic.grid)}),
            "alignment": alignment.model_copy(update={"tangent_plane": plane}),
        }
    )


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(place_of(path))


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


def _make_room(run: Place, plan: Plan, options: RunOptions, backend: ClusterBackend) -> None:
    """See that the directory is this run's, and that it can be driven from here."""
    try:
        known = _known_in(run, is_replaced=options.replace)
        is_other = known is None or bool(
            known.identity and options.replace and difference(plan, known)
        )
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


def _drive(run: Place, plan: Plan, options: RunOptions) -> RunResult:
    if is_tidy(run) and (known := state_of(run)).is_finished:
        return _ended(run, plan, known)
    with _lease(run, options) as lease:
        return mended(lambda found: _driven(run, plan, options, lease, found))


def _ended(run: Place, plan: Plan, known: RunState) -> RunResult:
    """Return the result of a run that has ended, and what of this configuration came too late."""
    stored = stored_config(run)
    found = finished_result(run, stored, known)
    return replace(found, notes=(*found.notes, *too_late(run, stored, plan.config)))


def _lease(run: Place, options: RunOptions) -> Lease:
    tell = options.listener
    patience = Patience(time.time, time.sleep, lambda text: tell(events.Note(text)))
    return take_lease(RunLocations(run).objects, patience)


def _driven(run: Place, plan: Plan, options: RunOptions, lease: Lease, damage: Damage) -> RunResult:
    """Go on from where the journal ends, after damage was found or without."""
    begun = _recorded(run, plan, options.listener)
    if begun.known.is_finished:
        tidy(run, plan.config.run.keep_mosaics)
        return _ended(run, plan, begun.known)
    _renew_config(run, begun.plan, lease)
    begun.book.append(journal.DriverStarted(lease.epoch, str(lease.owner)))
    if begun.known.is_anew:
        forget_loop(run)
    return _worked(run, begun, options, lease, damage)


def _renew_config(run: Place, plan: Plan, lease: Lease) -> None:
    """Store the configuration as it is now: `resume` and whoever takes over go by it."""
    lease.check()
    RunLocations(run).objects.put(CONFIG, dump_config(_anywhere(plan, run)).encode())


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """A run in whose journal it stands what it is."""

    plan: Plan
    book: Journal
    known: RunState


def _recorded(run: Place, plan: Plan, listener: events.Listener) -> _Begun:
    """See that the journal of a run whose lease is held says what it is.

    It is read to its end, so that an event of somebody else since then stops this driver.
    """
    book = Journal(
        RunLocations(run).objects, time.time, lambda entry: listener(events.Recorded(entry))
    )
    entries = tuple(book.entries())
    known = fold(entry.event for entry in entries)
    if known.is_finished:
        return _Begun(plan, book, known)
    listener(events.Begun(entries, plan.config.alignment.eps_shift))
    plan = with_inputs_restored(plan, known, book)
    require_same(run, plan, known)
    objects = RunLocations(run).objects
    if plan.planned.n_read or has_headers_so_far(objects):
        keep_headers(objects, plan.headers, plan.algorithms.images)
    write_outlines(objects, plan)
    extended = take_along(run, plan, is_known=known.extended is not None)
    if not known.identity:
        book.append(journal.RunCreated(plan.identity, plan.parts))
    if plan.planned.n_read:
        book.append(plan.planned)
    if extended is not None:
        book.append(extended)
    return _Begun(plan, book, known)


def _notes(backend: ClusterBackend) -> tuple[str, ...]:
    """Return what is to be known of jobs of workers, or of workers on this machine."""
    return backend.notes() if isinstance(backend, JobBackend) else compiling_note()


def _worked(
    run: Place, begun: _Begun, options: RunOptions, lease: Lease, damage: Damage
) -> RunResult:
    plan, book, known = begun.plan, begun.book, begun.known
    backend = build_cluster(plan.config, options.workers)
    # One thread of BLAS here too: the solve's sums keep one order, whatever the machine.
    with driving(run, book, lease, known, options.listener) as wheel, threadpool_limits(limits=1):
        for note in (*plan.notes, *_notes(backend)):
            wheel.listener(events.Note(note))
        reuse = ReuseCount(wheel.listener)
        objects, products = RunLocations(run).objects, RunLocations(run).products
        context = RunContext(products, plan.run_id, wheel.with_tasks_of(reuse), (SCHEDULER_PAGE,))
        with backend(context) as executor:
            tell_pages(objects, lease.epoch, executor.pages, wheel.listener)
            tools = Tools(
                run, plan, executor, book, wheel.listener, wheel.keeper, reuse, sky_order(plan)
            )
            with told_damage(tools, damage):
                return _looped(tools, known, options.go_on, damage)


def _looped(tools: Tools, known: RunState, go_on: GoOn | None, damage: Damage) -> RunResult:
    """Go through the passes that are left, and write what comes of them."""
    tools = bootstrapped(tools, known)
    if damage.found:
        require_whole_past(tools, known)
    for end in tools.plan.ended:
        if end.exposure not in known.settled.ended:
            tools.journal.append(end)
    try:
        require_enough(tools.plan, ())
        return finish(tools, run_loop(tools, known, go_on))
    except TooManyFailed as error:
        return end_early(tools, error, fold(tools.journal.events()))
