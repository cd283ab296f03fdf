"""Trying again what has failed, once files are mended or a cluster is well again.

A mended file has another fingerprint, so the run gets the identity that it would have had with that
file from the beginning. Other inputs and settings must be what they were. Corrections of all
exposures depend on who takes part, so the loop begins anew (`Retried`): the result is, bit for bit,
that of a run in which these exposures never failed. Tasks of which nothing has changed are found by
their receipts; what tasks said of the exposures that are tried again is forgotten.
"""

from __future__ import annotations

import time
from dataclasses import replace

from alignsvc.domain.outcome import Status
from alignsvc.errors import ConfigError
from alignsvc.io import journal
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Patience, take_lease
from alignsvc.io.locations import CORRECTIONS, RunLocations
from alignsvc.io.places import Place
from alignsvc.io.receipts import forget_receipts
from alignsvc.run.driving.plans import stored_plan
from alignsvc.run.driving.service import RunOptions
from alignsvc.run.planning.plan import Plan
from alignsvc.run.planning.unchanged import (
    refuse_corrected,
    require_its_inputs,
    with_inputs_restored,
)
from alignsvc.run.records import events
from alignsvc.run.records.identity import input_part
from alignsvc.run.records.result import RunResult
from alignsvc.run.records.state import RunState, fold
from alignsvc.run.records.stored import stored_config
from alignsvc.run.verbs import attaching
from alignsvc.wording import counted


def retry_failed(run: Place, options: RunOptions) -> RunResult:
    """Try the failed exposures of a run again, and bring the run to its end.

    Parameters
    ----------
    run : Place
    options : RunOptions

    Raises
    ------
    ConfigError
        No exposure has failed, none of those that have can be read now, or something else has
        changed: which, is said.
    RunStoreError
        There is no run, or a driver is alive.
    """
    run = run.absolute()
    config = stored_config(run)
    objects = RunLocations(run).objects
    patience = Patience(time.time, time.sleep, lambda text: options.listener(events.Note(text)))
    with take_lease(objects, patience):
        book = Journal(objects, time.time)
        known = fold(book.events())
        failed = _failed(run, known)
        plan = stored_plan(run, config)
        again = sorted(_retriable(run, plan, known, failed))
        plan = with_inputs_restored(plan, known, book)
        forget_receipts(objects, again)
        book.append(journal.Retried(tuple(again), plan.identity, plan.parts))
    options.listener(events.Note(f"tried again: {', '.join(again)}"))
    return attaching.resume(run, options)


def _failed(run: Place, known: RunState) -> frozenset[str]:
    """Return the exposures that have failed: by the journal, and by the table of a finished run."""
    ended = {name for name, end in known.ended.items() if end.status is Status.FAILED}
    if not known.is_finished:
        return frozenset(ended)
    rows = read_corrections(RunLocations(run).path(CORRECTIONS))
    return frozenset(ended | {row.id for row in rows if row.status is Status.FAILED})


def _retriable(run: Place, plan: Plan, known: RunState, failed: frozenset[str]) -> frozenset[str]:
    """Return the failed exposures whose files can be read now; refuse if all else is not as it was.

    Raises
    ------
    ConfigError
    """
    if not failed:
        raise ConfigError(
            f"{run}: no exposure has failed; `alignsvc resume {run}` goes on with the run, "
            f"`alignsvc report {run}` shows how exposures ended"
        )
    again = failed & {header.ref.id for header in plan.headers}
    if not again:
        reasons = "; ".join(e.message for e in plan.ended if e.exposure in failed) or "no file"
        raise ConfigError(
            f"{run}: of {counted(len(failed), 'failed exposure')} none can be read now: {reasons}; "
            "mend a file, then try again"
        )
    if known.extended is not None and known.extended.is_frozen and known.is_finished:
        raise ConfigError(
            f"{run}: extends {known.extended.run} with frozen corrections, and the part of its "
            "mosaic that it took along is gone since the run ended; run the configuration again "
            "with --new"
        )
    require_its_inputs(run, _as_it_was(plan, known, failed), known)
    refuse_corrected(plan, known.run_id)
    return again


def _as_it_was(plan: Plan, known: RunState, failed: frozenset[str]) -> Plan:
    """Return the plan as if the files of failed exposures had not changed: they may have."""
    inputs = {input_part(name) for name in failed}
    others = tuple(part for part in plan.parts if part[0] not in inputs)
    before = tuple(part for part in known.parts if part[0] in inputs)
    return replace(plan, identity="", parts=(*others, *before))
