"""Whose pixels are whose, made again where a map of it was damaged after its detection.

In passes that detect nothing the maps are those of an earlier mosaic, which is gone. What the
journal tells of that pass leads to it again: its corrections give the contributions, these the
tiles around the damaged one, and these the map, bit for bit, since no task has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alignsvc.domain.grid import TileId
from alignsvc.errors import RunStoreError
from alignsvc.io import journal
from alignsvc.io.journal import Event
from alignsvc.run import events
from alignsvc.run.cataloguing import detect_tasks
from alignsvc.run.loop_state import LoopState
from alignsvc.run.mosaicking import (
    Mosaic,
    Turn,
    load_mosaic,
    merged_again,
    remove_superseded,
    resample_task,
    view_of,
)
from alignsvc.run.solved_table import load_solved
from alignsvc.run.stages import Tools, run_required
from alignsvc.tasks.detect import DetectTask
from alignsvc.tasks.merge import mosaic_store
from alignsvc.tasks.resample import ResampleTask

_Solution = journal.Solved | journal.StepSolved | journal.RaysFound


@dataclass(frozen=True, slots=True)
class Detection:
    """The last time that sources were detected.

    Parameters
    ----------
    pass_number : int
    generation : int
        Of the mosaic on which they were.
    solution : Solved, StepSolved, RaysFound or None
        Names the table with what that mosaic was made by; None: as the loop began.
    """

    pass_number: int
    generation: int
    solution: _Solution | None


def last_detection(told: Iterable[Event]) -> Detection | None:
    """Return the last detection that a journal tells of in its present loop; None before it."""
    found, is_full, solution, made_by, generation = None, False, None, None, 0
    for event in told:
        match event:
            case journal.Cleaned() | journal.Retried():
                found, solution = None, None
            case journal.PassStarted():
                is_full = event.is_full
            case journal.Solved() | journal.StepSolved() | journal.RaysFound():
                solution = event
            case journal.Published():
                generation, made_by = event.generation, solution
            case journal.SourcesFound() if is_full:
                found = Detection(event.pass_number, generation, made_by)
    return found


def mend_segments(tools: Tools, turn: Turn, mosaic: Mosaic) -> None:
    """Make the maps of a mosaic again that are damaged or missing; they are read for that.

    For a mosaic that an earlier attempt published: what it found damaged, or what has been damaged
    since, is whole afterwards.

    Parameters
    ----------
    tools : Tools
    turn : Turn
        In which the mosaic was made, without a detection of its own.
    mosaic : Mosaic

    Raises
    ------
    RunStoreError
        What it was made of is not what it was.
    """
    store = mosaic_store(tools.run)
    damaged = [t for t in mosaic.parts if not store.segmentation_is_whole(mosaic.generation, t)]
    detection = last_detection(tools.journal.events()) if damaged else None
    if detection is None:
        return
    names = ", ".join(str(tile) for tile in damaged)
    tools.listener(
        events.Note(
            f"segmentation of mosaic generation {mosaic.generation}, tile {names}: made again "
            f"from the exposures, as in pass {detection.pass_number}"
        )
    )
    _made_again(tools, turn, detection, frozenset(damaged))
    for tile in damaged:
        store.link_segmentation(detection.generation, mosaic.generation, tile)
    remove_superseded(tools, mosaic)


def _made_again(tools: Tools, turn: Turn, detection: Detection, tiles: frozenset[TileId]) -> None:
    """Detect sources of tiles once more, on the mosaic on which they were detected."""
    then = load_mosaic(tools, detection.generation)
    tasks = [
        task for task in detect_tasks(tools, turn.pass_number, then) if task.view.tile in tiles
    ]
    near = {tile for task in tasks for tile in _around(task)}
    in_them = {part.name for task in tasks for part in task.view.parts}
    resampling = _resample_tasks(tools, detection, then)
    again = [task for task in resampling if task.key.digest in in_them]
    if {task.key.digest for task in again} != in_them:
        raise RunStoreError(
            f"segmentation of pass {detection.pass_number} cannot be made again: its exposures "
            "are not what they were; start a new run"
        )
    run_required(tools, "resample", turn.pass_number, again)
    merged_again(tools, turn.pass_number, then, near)
    run_required(tools, "detect", turn.pass_number, tasks)


def _around(task: DetectTask) -> Iterator[TileId]:
    view = task.view
    return view.grid.tiles_touching(task.detector.box_for(view.core, view.grid))


def _resample_tasks(tools: Tools, detection: Detection, then: Mosaic) -> list[ResampleTask]:
    """Return the tasks that made what was in a mosaic."""
    state = LoopState.at_start(tools.plan.exposures, tools.plan.algorithms.geometry)
    if detection.solution is not None:
        made_by = detection.solution
        state = load_solved(tools, state, made_by.table, made_by.digest)
    return [
        resample_task(tools, detection.pass_number, view_of(tools, one, state.standing_of(one.id)))
        for one in tools.plan.exposures
        if one.id in then.contributions
    ]
