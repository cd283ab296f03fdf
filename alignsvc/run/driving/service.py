"""A run from outside: begin it, go on with it, look at it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from threadpoolctl import threadpool_limits

from alignsvc.config.build import build_cluster
from alignsvc.config.schema import Config
from alignsvc.engine.base import BeginsEarly, ClusterBackend, JobBackend, RunContext
from alignsvc.io import journal
from alignsvc.io.headers_read import (
    has_headers_so_far,
    keep_headers,
)
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Lease, Patience, take_lease
from alignsvc.io.locations import CONFIG, RunLocations
from alignsvc.io.places import Place
from alignsvc.run.driving.configuration import renew_config, to_store
from alignsvc.run.driving.first_time import compiling_note
from alignsvc.run.driving.making_room import make_room
from alignsvc.run.driving.plans import keeper, may_have, planned, stored_plan
from alignsvc.run.driving.wheel import driving
from alignsvc.run.extension.extending import (
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
from alignsvc.run.planning.header_progress import HeaderProgress
from alignsvc.run.planning.outlines import write_outlines
from alignsvc.run.planning.plan import Plan, no_usable_exposure
from alignsvc.run.planning.sky_order import sky_order
from alignsvc.run.planning.unchanged import (
    require_its_inputs,
    require_same,
    with_inputs_restored,
)
from alignsvc.run.records import events
from alignsvc.run.records.result import RunResult
from alignsvc.run.records.run_directory import (
    absolute_directory,
)
from alignsvc.run.records.state import RunState, fold
from alignsvc.run.records.stored import state_of, stored_config
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
    has_own_process : bool
        Whether nothing else goes on in this process, as in one of the command line: workers on this
        machine then begin sooner, as copies of one (`engine.worker_server`).
    """

    overrides: tuple[str, ...] = ()
    workers: int | None = None
    replace: bool = False
    listener: events.Listener = events.silent
    go_on: GoOn | None = None
    has_own_process: bool = False


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
    keep = None if options.replace else keeper(run, config)
    told = HeaderProgress(options.listener, keep)
    if options.replace or may_have(run):
        _begin_early(backend, options)
    plan = planned(config, is_new=options.replace, told=told)
    if not plan.is_usable:
        raise no_usable_exposure(plan)
    for note in require_fits(plan, backend):
        options.listener(events.Note(note))
    stored = to_store(plan, run)
    make_room(run, plan, backend, is_replaced=options.replace)
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
        renew_config(run, _recorded(run, plan, options.listener).plan, lease)


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
    _begin_early(build_cluster(config, options.workers), options)
    plan = stored_plan(run, config, HeaderProgress(options.listener, keeper(run, config)))
    require_its_inputs(run, plan, known)
    return _drive(run, plan, options)


def _begin_early(backend: ClusterBackend, options: RunOptions) -> None:
    """Have a backend begin what takes its time, while the run is planned."""
    if options.has_own_process and isinstance(backend, BeginsEarly):
        backend.begin()


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
    renew_config(run, begun.plan, lease)
    begun.book.append(journal.DriverStarted(lease.epoch, str(lease.owner)))
    if begun.known.is_anew:
        forget_loop(run)
    return _worked(run, begun, options, lease, damage)


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
        context = RunContext(
            products,
            plan.run_id,
            wheel.with_tasks_of(reuse),
            (SCHEDULER_PAGE,),
            options.has_own_process,
        )
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
