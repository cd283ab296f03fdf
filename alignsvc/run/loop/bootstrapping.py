"""Before the loop: exposures whose headers are far off are found by their sources.

The loop sees displacements of a few pixels, so what is farther off is found first (`start_search`).
Exposures that agree with their headers within what the loop can find begin as they are; if all do,
nothing changes at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from alignsvc.domain.correction import Correction
from alignsvc.domain.outcome import Status
from alignsvc.domain.task import TableRef
from alignsvc.io import journal
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.journal import ExposureEnded
from alignsvc.io.locations import RunLocations
from alignsvc.io.tables import read_table, write_table
from alignsvc.reasons import FailureKind
from alignsvc.run.loop.catalogue_tie import tie_notes
from alignsvc.run.loop.start_search import StartSearch
from alignsvc.run.loop.start_table import START_NAME, StartTable
from alignsvc.run.planning.making import plane_for, with_starts
from alignsvc.run.planning.plan import comparable
from alignsvc.run.records import events
from alignsvc.run.records.result import copies_warning
from alignsvc.run.records.state import RunState
from alignsvc.run.stages.running import Tools


def bootstrapped(tools: Tools, known: RunState) -> Tools:
    """Return the tools with the plan of a loop that begins where the sources are.

    Without a row in the table the plan is the very same. What was found once is taken from the
    store ever after, so that a resumed run begins with the same bits.
    """
    settings, headers = tools.plan.algorithms.bootstrap, comparable(tools.plan)
    if settings is None or len(headers) < 2:
        return tools
    objects, table = RunLocations(tools.run).objects, known.start
    if table is None:
        found = StartSearch(tools, settings, headers, _known(tools, headers))()
        table = TableRef(START_NAME, write_table(objects, START_NAME, found))
        tools.journal.append(journal.Bootstrapped(table))
    rows = read_table(objects, table.name, StartTable, table.checksum)
    planes = {header.ref.id: plane_for(tools.plan, header) for header in headers}
    geometry = tools.plan.algorithms.geometry
    starts, ended = dict[str, Correction](), list[ExposureEnded]()
    for k, name in enumerate(str(name) for name in rows.id):
        if rows.reason[k]:
            ended.append(_ended(name, str(rows.reason[k]), str(rows.message[k])))
        else:
            starts[name] = Correction.from_parameters(planes[name], rows.parameters[k], geometry)
    plan = with_starts(tools.plan, starts, ended)
    if starts:
        note = (
            f"{len(starts)} of {len(headers)} headers are far off; the loop begins where the "
            f"sources of these exposures match: {', '.join(sorted(starts)[:5])}"
            + (", ..." if len(starts) > 5 else "")
        )
        plan = replace(plan, notes=(*plan.notes, note))
    plan = replace(
        plan,
        notes=(*plan.notes, *tie_notes(rows, settings.matcher)),
        off_catalog=frozenset(rows.off_catalog),
    )
    plan = replace(plan, copies=rows.copies)
    for note in (*plan.notes[len(tools.plan.notes) :], *copies_warning(plan.copies)):
        tools.listener(events.Note(note))
    return replace(tools, plan=plan)


def _known(tools: Tools, headers: Sequence[ExposureHeader]) -> dict[int, Correction]:
    everyone = (*tools.plan.exposures, *tools.plan.idle)
    totals = {one.id: one.known.total for one in everyone if one.known is not None}
    ids = [header.ref.id for header in headers]
    return {k: totals[name] for k, name in enumerate(ids) if name in totals}


def _ended(exposure: str, reason: str, message: str) -> ExposureEnded:
    failed = reason in {kind.value for kind in FailureKind}
    return ExposureEnded(exposure, Status.FAILED if failed else Status.SKIPPED, reason, message)
