"""A run from outside: begin it, go on with it, look at it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from alignsvc.config.build import build_cluster
from alignsvc.config.load import dump_config, parse_config
from alignsvc.config.schema import Config
from alignsvc.engine.base import RunContext
from alignsvc.errors import ConfigError, RunStoreError
from alignsvc.io import journal
from alignsvc.io.journal import Journal
from alignsvc.io.lease import Lease, Patience, take_lease
from alignsvc.io.locations import CONFIG, RunLocations
from alignsvc.run import events
from alignsvc.run.driver import GoOn, run_loop
from alignsvc.run.finish import finish
from alignsvc.run.finished import finished_result
from alignsvc.run.plan import Plan, make_plan, no_usable_exposure
from alignsvc.run.result import RunResult
from alignsvc.run.stages import ReuseCount, Tools
from alignsvc.run.state import RunState, fold

#: Seconds between two signs of life of the driver.
_HEARTBEAT_S = 5.0


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
    plan = make_plan(config)
    if not plan.is_usable:
        raise no_usable_exposure(plan)
    run = Path(config.run.directory).absolute()
    _make_room(run, plan, options)
    locations = RunLocations(run)
    locations.objects.put_if_absent(CONFIG, dump_config(_absolute(config)).encode())
    return _drive(run, plan, options)


def resume(run: Path, options: RunOptions) -> RunResult:
    """Go on with the run in a directory, by its own stored configuration.

    Raises
    ------
    RunStoreError
        There is no run, or its journal cannot be trusted.
    ConfigError
        Its inputs are not what they were.
    """
    run = run.absolute()
    config = stored_config(run)
    plan = make_plan(config)
    _require_same(run, plan, state_of(run))
    return _drive(run, plan, options)


def stored_config(run: Path) -> Config:
    """Return the configuration that a run was begun with."""
    require_run(run)
    content = RunLocations(run).objects.get(CONFIG)
    return parse_config(content.decode(), str(run / CONFIG))


def state_of(run: Path) -> RunState:
    """Return where the run in a directory stands."""
    require_run(run)
    return fold(Journal(RunLocations(run).objects, time.time).events())


def require_run(run: Path) -> None:
    """Raise RunStoreError unless `run` is a run directory."""
    if not (run / CONFIG).is_file():
        raise RunStoreError(
            f"{run}: not a run directory (no {CONFIG} in it); give the directory that "
            "run.directory named"
        )


def _absolute(config: Config) -> Config:
    """Return the configuration with paths that do not depend on where it is read."""
    paths = tuple(str(Path(path).expanduser().absolute()) for path in config.images.paths)
    directory = str(Path(config.run.directory).absolute())
    return config.model_copy(
        update={
            "images": config.images.model_copy(update={"paths": paths}),
            "run": config.run.model_copy(update={"directory": directory}),
        }
    )


def _make_room(run: Path, plan: Plan, options: RunOptions) -> None:
    """See that the directory is this run's, or can be."""
    if (run / CONFIG).is_file():
        known = state_of(run)
        if not known.identity or known.identity == plan.identity:
            return
        if not options.replace:
            _require_same(run, plan, known)
        shutil.rmtree(run)
    elif run.is_dir() and any(run.iterdir()):
        raise ConfigError(
            f"run.directory: {run} is not empty and holds no run; name another directory"
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunStoreError(f"run.directory: {run} cannot be made: {error.strerror}") from error


def _require_same(run: Path, plan: Plan, known: RunState) -> None:
    """Raise ConfigError, naming the first difference, unless the plan is the run's."""
    if not known.identity or known.identity == plan.identity:
        return
    before = dict(known.parts)
    now = dict(plan.parts)
    changed = [name for name in sorted(before | now) if before.get(name) != now.get(name)]
    raise ConfigError(
        f"{run}: holds another run: {changed[0] if changed else 'its plan'} differs; "
        "name another run.directory, or give --new to replace it"
    )


def _drive(run: Path, plan: Plan, options: RunOptions) -> RunResult:
    objects = RunLocations(run).objects
    patience = Patience(time.time, time.sleep, lambda text: options.listener(events.Note(text)))
    with take_lease(objects, patience) as lease:
        known = fold(Journal(objects, time.time).events())
        if known.is_finished:
            return finished_result(run, plan, known)
        book = Journal(objects, time.time)
        if not known.identity:
            book.append(journal.RunCreated(plan.identity, plan.parts))
        book.append(journal.DriverStarted(lease.epoch, str(lease.owner)))
        return _worked(run, plan, options, (book, lease, known))


def _worked(
    run: Path, plan: Plan, options: RunOptions, held: tuple[Journal, Lease, RunState]
) -> RunResult:
    book, lease, known = held
    reuse = ReuseCount()
    context = RunContext(RunLocations(run).objects, plan.identity[:16], reuse)
    for note in plan.notes:
        options.listener(events.Note(note))
    # One thread of BLAS here too: the solve's sums keep one order, whatever the machine.
    with (
        threadpool_limits(limits=1),
        build_cluster(plan.config, options.workers)(context) as executor,
    ):
        if executor.dashboard_link:
            options.listener(events.Note(f"live dashboard: {executor.dashboard_link}"))
        tools = Tools(run, plan, executor, book, options.listener, _heartbeat(lease), reuse)
        return finish(tools, run_loop(tools, known, options.go_on))


def _heartbeat(lease: Lease) -> Callable[[], None]:
    """Return what renews the lease, at most every few seconds."""
    last = [time.monotonic()]

    def beat() -> None:
        now = time.monotonic()
        if now - last[0] >= _HEARTBEAT_S:
            last[0] = now
            lease.renew(time.time())

    return beat
