"""What settled passes have left and later work reads: looked through once damage was found.

In a pass that goes on receipts say what is to be made again. What a settled one left nobody would
look after: its tables of cosmic rays, its mosaic, and the measurements by which corrections are
judged and, with what was held out, solved once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from alignsvc.domain.measurement import Displacements, Factors
from alignsvc.domain.task import TableRef
from alignsvc.errors import RunStoreError
from alignsvc.io.journal import SourcesFound
from alignsvc.io.locations import RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.table_cells import tables_of
from alignsvc.io.tables import content_is_whole, table_is_whole
from alignsvc.run.mending.remaking import Past
from alignsvc.run.mending.segments import mend_segments
from alignsvc.run.records.published import Publication
from alignsvc.run.records.state import PassRecord, RunState
from alignsvc.run.stages.cataloguing import SourceTables
from alignsvc.run.stages.loop_state import LoopState, PassSettings
from alignsvc.run.stages.measuring import measure_tasks
from alignsvc.run.stages.mosaicking import load_mosaic
from alignsvc.run.stages.running import Tools
from alignsvc.run.stages.solved_table import load_solved, restored
from alignsvc.tasks.measure import MeasureTask, displacements_name


def require_whole_past(tools: Tools, known: RunState) -> None:
    """Make again what settled passes have left, as far as it is read again and not whole.

    Parameters
    ----------
    tools : Tools
        With the plan that the loop goes by.
    known : RunState
        As the driver found it.

    Raises
    ------
    RunStoreError
        What only a driver wrote is damaged: all of that is named.
    DamagedProduct
        Something was damaged meanwhile.
    """
    settled = known.settled
    if settled.solution is None or settled.generation is None:
        return
    _require_drivers_own(tools, known)
    past = Past.of(tools)
    past.require_rays(restored(tools, settled).rays)
    if _is_read(tools, known, settled.generation):
        _require_mosaic(past, settled.generation)
    for record in _read_again(known):
        _require_measured(past, record)


def _is_read(tools: Tools, known: RunState, generation: int) -> bool:
    """Return whether the mosaic of the last settled pass is still needed.

    For the next one, which has tiles and maps in common with it; or the methods are compared on
    it, and it may be gone by now.
    """
    compared = tools.plan.algorithms.comparison is not None and known.loop_end is not None
    return compared or known.generation == generation


def _require_mosaic(past: Past, generation: int) -> None:
    mend_segments(past.tools, past.required_mosaic(generation))


def _read_again(known: RunState) -> Iterator[PassRecord]:
    """Yield the passes whose measurements are read when the loop has ended."""
    if known.loop_end is None:
        return
    kept, solved = known.loop_end.kept_pass, known.solved_passes
    wanted = {1, min(kept + 1, len(solved)), kept}
    yield from (record for record in solved if record.number in wanted)


def _require_drivers_own(tools: Tools, known: RunState) -> None:
    """Refuse to go on without what no task makes, all of which is named."""
    objects = RunLocations(tools.run).objects
    solutions = (*(one.solution for one in known.passes), known.settled.solution)
    refs = [TableRef(one.table, one.digest) for one in solutions if one is not None]
    for record in known.solved_passes:
        refs += _tables_of(objects, record.sources)
    lost = {one.name: None for one in refs if not content_is_whole(objects, one.name, one.checksum)}
    if lost:
        raise RunStoreError(
            f"{', '.join(lost)}: missing or damaged, and written by the driver alone, so that no "
            "task can make it again; restore it, or start a new run"
        )


def _tables_of(objects: ObjectStore, event: SourcesFound | None) -> list[TableRef]:
    if event is None:
        return []
    in_cells = [one for one in (event.chosen, event.kinds) if one is not None]
    return [event.found, *(part for one in in_cells for part in tables_of(objects, one))]


@dataclass(frozen=True, slots=True)
class _Names:
    """The tables that a measurement has left: of displacements, of factors."""

    displacements: str
    factors: str


def _require_measured(past: Past, record: PassRecord) -> None:
    """Measure exposures of a pass again whose tables are damaged, as the pass did it."""
    tools = past.tools
    assert record.solution is not None
    start = LoopState.at_start(tools.plan.exposures, tools.plan.algorithms.geometry)
    after = load_solved(tools, start, record.solution.table, record.solution.digest)
    lost = _lost(tools, after)
    for publication in past.published.values():
        if not lost or publication.pass_number != record.number:
            continue
        tasks = _tasks(past, record, publication, after, lost)
        if tasks:
            _require_mosaic(past, publication.generation)
            past.remade("measure", record.number, list(tasks.values()))
        lost = {name: one for name, one in lost.items() if name not in tasks}
    if lost:
        raise RunStoreError(
            f"measurements of pass {record.number} are damaged and cannot be made again, of: "
            f"{', '.join(sorted(lost))}; restore tables/measure/, or start a new run"
        )


def _lost(tools: Tools, after: LoopState) -> dict[str, _Names]:
    """Return the exposures whose tables of the last measurement cannot be read."""
    objects = RunLocations(tools.run).objects
    names = {
        one: _Names(after.displacements[one], factors) for one, factors in after.factors.items()
    }
    return {
        one: found
        for one, found in names.items()
        if not table_is_whole(objects, found.displacements, Displacements)
        or not table_is_whole(objects, found.factors, Factors)
    }


def _tasks(
    past: Past,
    record: PassRecord,
    publication: Publication,
    after: LoopState,
    lost: Mapping[str, _Names],
) -> dict[str, MeasureTask]:
    """Return what measured exposures on a mosaic of a pass, of those that it did measure there."""
    if publication.sources is None:
        return {}
    tools = past.tools
    mosaic = load_mosaic(tools, publication.generation)
    state = replace(
        past.state_at(publication),
        sources=SourceTables.from_event(publication.sources),
        mosaic=mosaic,
        last_movement_px=after.last_movement_px,
    )
    exposures = [
        one for one in tools.plan.exposures if one.id in lost and one.id in mosaic.contributions
    ]
    tasks = measure_tasks(tools, PassSettings(record.number, record.is_full), state, exposures)
    return {
        one.id: replace(task, history="")
        for one, task in zip(exposures, tasks, strict=True)
        if displacements_name(task.key) == lost[one.id].displacements
    }
