"""The same run submitted twice: the second one follows the first, and takes over if that dies."""

from __future__ import annotations

from collections.abc import Callable

from alignsvc.config.schema import Config
from alignsvc.errors import RunCancelled
from alignsvc.io import journal
from alignsvc.io.journal_store import Entry
from alignsvc.io.lease import DrivenElsewhere, LeaseOwner
from alignsvc.io.places import Place
from alignsvc.run.driving import service
from alignsvc.run.driving.service import RunOptions
from alignsvc.run.records import events
from alignsvc.run.records.result import RunResult
from alignsvc.run.records.run_directory import absolute_directory
from alignsvc.run.status.run_status import RunStatus
from alignsvc.run.status.standing_now import driver_time_s
from alignsvc.run.status.watching import Looking, watched


def begin(config: Config, options: RunOptions) -> RunResult:
    """Do as `service.begin`, or follow whoever drives that very run; errors as there.

    Raises
    ------
    RunCancelled
        Somebody asked the run to stop, whoever drives it.
    """
    run = absolute_directory(config.run.directory)
    return _driven(run, options, lambda: service.begin(config, options))


def resume(run: Place, options: RunOptions) -> RunResult:
    """Do as `service.resume`, or follow whoever drives that run; errors as of `begin`."""
    return _driven(run, options, lambda: service.resume(run, options))


def _driven(run: Place, options: RunOptions, drive: Callable[[], RunResult]) -> RunResult:
    while True:
        try:
            return drive()
        except DrivenElsewhere as driven:
            end = attached(run, driven.owner, options.listener).state.cancelled
        if end is not None:
            raise RunCancelled(end.request, end.by, str(run))
        # It has ended, and is only read now; or it was left alone, and is taken over.


def attached(
    run: Place, owner: LeaseOwner, listener: events.Listener, looking: Looking | None = None
) -> RunStatus:
    """Follow a run until it goes on no more, telling the listener of it; return how it stands.

    Parameters
    ----------
    run : Place
    owner : LeaseOwner
        Who drives it.
    listener : Listener
        Hears of stages, passes and entries of the journal as if the run were its own, from now on.
    looking : Looking or None
    """
    listener(events.Note(f"{owner} drives this run already; attached to it, only reading"))
    is_first = True
    for seen in watched(run, looking):
        if is_first:
            listener(events.Begun(seen.news, seen.progress.eps_shift_px))
        else:
            for entry in seen.news:
                for event in _events(entry, seen.status):
                    listener(event)
        if seen.progress.done is not None:
            listener(events.Counted(seen.progress.done, driver_time_s(seen.status)))
        if seen.progress.sample is not None:
            listener(events.Sampled(seen.progress.sample))
        is_first = False
    return seen.status


def _events(entry: Entry, status: RunStatus) -> list[events.Event]:
    recorded = events.Recorded(entry)
    match entry.event:
        case journal.StageStarted() as stage:
            return [recorded, events.StageStarted(stage.stage, stage.pass_number, stage.n_tasks)]
        case journal.Solved() as solved:
            record = next((r for r in status.state.passes if r.number == solved.pass_number), None)
            return [
                recorded,
                events.PassSolved(
                    solved.pass_number,
                    solved.movement_px,
                    solved.n_solved,
                    0 if record is None else record.n_sources,
                    record is not None and record.is_full,
                ),
            ]
        case _:
            return [recorded]
